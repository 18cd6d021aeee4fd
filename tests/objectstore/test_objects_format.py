"""The bytes of objects are those that docs/format.md shows, and can be read by what it says of them."""

from __future__ import annotations

import re
import struct
import zlib
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import msgpack

from foldlog import Event, events
from foldlog.backends.objectstore import checkpoint, markers, names, segment, state, step
from foldlog.engine.log.port import Receipt
from foldlog.serdes import Codec

MANUAL = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
LOG_ID = UUID("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
NONCE = b"abcdefgh"


def shown() -> bytes:
    """The segment in the manual: what stands at the beginning of each line of its block, together."""
    (block,) = re.findall(r"^```hex\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)
    return bytes.fromhex("".join(re.findall(r"^[0-9a-f]+", block, re.MULTILINE)))


def item() -> segment.Item:
    (record,), digest = Codec().encode([Event(events.RunStarted(), 1_796_000_000_000_000)])
    receipt = Receipt("run-1", 1, 1, UUID(int=0x42), 1_796_000_000_000_007, digest)
    return segment.Item(receipt, True, 0, [record])


def test_the_segment_of_the_manual_is_what_the_code_reads() -> None:
    name = names.slot("run-1", 1, 0)
    assert f"`{name}`" in MANUAL
    data = shown()
    segment.check_whole(data, name)
    found = segment.parse(data, name)
    assert found is not None
    (part,) = found.parts
    assert (found.log_id, found.shard, found.nonce, found.types) == (LOG_ID, "run-1", NONCE, ("RUN_START",))
    assert (part.receipt, part.keyed, part.position) == (item().receipt, True, 0)
    assert segment.records(found, part, data[part.start : part.start + part.length]) == item().records


def test_the_segment_of_the_manual_is_what_the_code_writes() -> None:
    """But for the compressed bytes, which another zlib may make otherwise."""
    written, data = segment.encode(LOG_ID, "run-1", [item()], nonce=NONCE), shown()
    assert _header(written) == _header(data)
    chunk, of_manual = written[_header_end(written) + 4 : -24], data[_header_end(data) + 4 : -24]
    assert zlib.decompress(chunk) == zlib.decompress(of_manual)


def test_a_segment_is_read_by_what_the_manual_says() -> None:
    data = segment.encode(LOG_ID, "run-1", [item()], nonce=NONCE)
    end = _header_end(data)
    log_id, shard, nonce, types, [append] = msgpack.unpackb(data[13:end], strict_map_key=False)
    assert (UUID(bytes=log_id), shard, nonce, types) == (LOG_ID, "run-1", NONCE, ["RUN_START"])
    assert struct.unpack(">I", data[end : end + 4])[0] == zlib.crc32(data[:end])
    assert data[-24:-8] == blake2b(data[:-24], digest_size=16).digest()
    plain = zlib.decompress(data[end + 4 : end + 4 + append[7]])
    number, ts_us, topics, size, crc = struct.unpack_from(">iqIII", plain)
    body = plain[24:]
    assert (types[number], ts_us, topics, size, crc) == ("RUN_START", 1_796_000_000_000_000, 1, 16, zlib.crc32(body))
    assert append[8:] == [[0], {0: [1, len(body)]}]


def test_steps_blocks_and_markers_are_read_by_what_the_manual_says() -> None:
    first = step.encode(bytes(16), NONCE, 7, [["made", 1, LOG_ID.bytes, 7]])
    assert first[:8] == b"foldord1"
    assert msgpack.unpackb(first[8:-4]) == [bytes(16), NONCE, 7, [["made", 1, LOG_ID.bytes, 7]]]
    assert struct.unpack(">I", first[-4:])[0] == zlib.crc32(first[:-4])
    block = step.encode_block([first] * 64)
    assert (block[:8], msgpack.unpackb(zlib.decompress(block[8:]))) == (b"foldblk1", [first] * 64)
    marker = markers.encode([("run-1", 1, 3)], NONCE)
    assert (marker[:8], msgpack.unpackb(marker[8:-4])) == (b"foldmrk1", [NONCE, [["run-1", 1, 3]]])
    assert struct.unpack(">I", marker[-4:])[0] == zlib.crc32(marker[:-4])
    assert (markers.guard()[:8], len(markers.guard())) == (b"foldgrd1", 16)


def test_a_checkpoint_is_read_by_what_the_manual_says() -> None:
    whole = state.State()
    made = step.encode(bytes(16), NONCE, 7, [["made", 1, LOG_ID.bytes, 7]])
    whole.apply(step.decode(made, "order/0", 0))
    line = whole.line("run-1")
    line.ordered_seq, line.reach = 3, 5
    line.slots.append(1)
    whole.openings.append(7)
    line.packs.append(state.Pack(1, 2, "id", 99, 0))
    data = checkpoint.encode(whole)
    assert (data[:8], data[-16:]) == (b"foldckp1", blake2b(data[:-16], digest_size=16).digest())
    head, epochs, gate, closing, openings, blocks, writers, [shard] = msgpack.unpackb(zlib.decompress(data[8:-16]))
    assert head == [1, blake2b(made, digest_size=16).digest(), LOG_ID.bytes, 0, bytes(16), 0]
    assert (epochs, gate, closing, writers) == ([[1, 0, bytes(16), 7, "created"]], [0, ""], None, {})
    assert openings == (7).to_bytes(8, "little")
    assert blocks == [bytes(8), bytes(16), [b""], []]
    one = (1).to_bytes(8, "little")
    assert shard == ["run-1", "open", 3, 5, 0, 0, one, b"", b"", [[1, 2, "id", 99, 0]], [], [], {}]


def test_every_operation_is_in_the_manual() -> None:
    objects = MANUAL.partition("\n## 12. Objects\n")[2]
    assert set(re.findall(r'`\["(\w+)"', objects)) == set(state._APPLY)


def test_names_are_those_of_the_manual() -> None:
    hashed = blake2b(b"Run 1", digest_size=16).hexdigest()
    assert names.folder("Run 1") == f"runs/{hashed[:2]}/=52un=201/"
    long = "x" * 200
    hashed = blake2b(long.encode(), digest_size=16).hexdigest()
    assert names.folder(long) == f"runs/{hashed[:2]}/{'x' * 117}~{hashed}/"
    shard = "a"
    assert names.pack(shard, 1, 2, "0" * 16).endswith(f"/{1:020d}-{2:020d}.{'0' * 16}.pack")


def _header_end(data: bytes) -> int:
    assert data[:9] == b"foldseg1\x01"
    return 13 + int.from_bytes(data[9:13])


def _header(data: bytes) -> object:
    """All of it but how long the chunk is."""
    *about, [append] = msgpack.unpackb(data[13 : _header_end(data)], strict_map_key=False)
    return about, append[:7], append[8:]
