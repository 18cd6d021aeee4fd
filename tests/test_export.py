"""A log in one file and out of it again; a file that is not as it was written is refused, with the place."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest
from moves import PAIRS, SERVED, at, end_at, everything, fill

from foldlog import AssetKey, Event, EventLog, events, moving, open_log
from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import (
    ConflictError,
    CorruptLogError,
    FoldlogError,
    HistoryDiverged,
    LogMoved,
    UnavailableError,
    UsageError,
)
from foldlog.engine.events import Opaque
from foldlog.engine.log.port import CanMove, CanRepair, GateState, ShardState
from foldlog.migrations.moving import comparing, transfer
from foldlog.migrations.moving.portable import HEAD_BYTES, MAGIC, BlockReader, BlockWriter, Kind
from foldlog.serdes import Codec

LINE = [Event.now(events.LogMessage(text="x"))]


def memory() -> EventLog:
    return EventLog(MemoryBackend(), Codec())


def exported(log: EventLog, **more: Any) -> bytes:
    stream = io.BytesIO()
    moving.export_log(log, stream, **more)
    return stream.getvalue()


@pytest.fixture
def log() -> EventLog:
    log = memory()
    fill(log, seed=4, steps=90)
    return log


@pytest.mark.parametrize(("start", "to"), PAIRS)
def test_a_log_goes_through_a_file(start: str, to: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """P10, P11: everything is equal, cursors and keys hold, and the new place takes appends in an epoch of its own."""
    if start == to and start in SERVED:
        pytest.skip("one empty database a test")
    file = tmp_path / "log.foldlog"
    with at(end_at(start, tmp_path / "old", request)) as old:
        fill(old, seed=8, steps=90)
        before = everything(old)
        cursors = [old.cursor(position) for position in range(0, before["head"][1], 5)]
        done = moving.export_log(old, file)
        assert (done.position, done.events, done.bytes) == (before["head"][1], before["head"][1], file.stat().st_size)
        new = end_at(to, tmp_path / "new", request)
        made = moving.import_log(file, new)
        with at(new) as there:
            assert everything(there) == before
            assert moving.compare_logs(there, old).same
            assert (made.open, made.imported, made.epoch) == (True, before["head"][1], 2)
            for cursor in cursors:
                there.read(after=cursor, limit=1)
            there.append("run-more", LINE, wait="ordered")
            assert not isinstance(there.backend, CanRepair) or there.backend.diagnose(full=True) == []
            with pytest.raises(HistoryDiverged):
                old.read(after=there.cursor())


@pytest.mark.parametrize("compression", ["zlib", "lzma", "none"])
def test_compressions(log: EventLog, compression: str) -> None:
    target = memory()
    moving.import_log(io.BytesIO(exported(log, compression=compression)), target)
    assert everything(target) == everything(log)
    with pytest.raises(UsageError, match="zstd"):
        exported(log, compression="zstd")


def test_parts_follow_each_other(log: EventLog, tmp_path: Path) -> None:
    """P10: an export of what came since is imported behind the one before; until the last the log stays closed."""
    first = moving.export_log(log, tmp_path / "1")
    log.append("gone", [Event.now(events.RunStarted())])
    log.append("run-1b", LINE)
    middle = moving.export_log(log, tmp_path / "2", after=first.cursor)
    log.purge("gone", Event.now(events.RunDeleted(run_id="gone")))
    last = moving.export_log(log, tmp_path / "3", after=middle.cursor)
    assert (middle.after, last.after) == (first.position, middle.position)
    target = memory()
    with pytest.raises(UsageError, match="begins behind position"):
        moving.import_log(tmp_path / "2", target)
    moving.import_log(tmp_path / "1", target, more=True)
    with pytest.raises(LogMoved, match="is being imported"):
        target.append("run-1", LINE)
    with pytest.raises(UsageError, match="begins behind position"):
        moving.import_log(tmp_path / "3", target, more=True)
    for _ in range(2):
        moving.import_log(tmp_path / "2", target, more=True)
    assert moving.import_log(tmp_path / "3", target).open
    assert moving.compare_logs(target, log).same
    assert target.backend.find_shard("gone").state is ShardState.PURGED  # type: ignore[union-attr]


def test_a_cursor_inside_a_receipt_begins_before_it(log: EventLog, tmp_path: Path) -> None:
    log.append("long", LINE * 9, wait="ordered")
    end = log.head().position
    done = moving.export_log(log, tmp_path / "part", after=log.cursor(end - 4))
    assert (done.after, done.events) == (end - 9, 9)


def test_an_import_may_be_a_fork(log: EventLog) -> None:
    """P11: cursors of the exported log are refused."""
    target = memory()
    own = target.head().log_id
    made = moving.import_log(io.BytesIO(exported(log)), target, fork=True)
    assert made.log_id == own == target.head().log_id
    with pytest.raises(HistoryDiverged):
        target.read(after=log.cursor())
    assert moving.compare_logs(target, log).same


def test_another_history_is_left_as_it_is(log: EventLog) -> None:
    """P11: a log in use, one that receives something else, one that diverged."""
    used, other, part = memory(), memory(), memory()
    fill(used, seed=1)
    fill(other, seed=2)
    before = everything(used)
    for target in (used, log):
        with pytest.raises((ConflictError, UsageError)) as error:
            moving.import_log(io.BytesIO(exported(log)), target)
        assert "destination" in error.value.remedy or "place" in error.value.remedy
    assert everything(used) == before
    moving.import_log(io.BytesIO(exported(other)), part, more=True)
    with pytest.raises(UsageError, match="another log"):
        moving.import_log(io.BytesIO(exported(log)), part)


def test_an_import_that_was_interrupted_goes_on(log: EventLog, tmp_path: Path) -> None:
    """P10: behind what is there, wherever it was cut off; what was put in by then is closed."""
    data = exported(log, compression="none")
    for end in sorted(random.Random(1).sample(range(len(MAGIC) + 300, len(data)), 12)):
        target = memory()
        with pytest.raises(CorruptLogError):
            moving.import_log(io.BytesIO(data[:end]), target)
        assert target.backend.gate().state is GateState.RECEIVING  # type: ignore[attr-defined]
        moving.import_log(io.BytesIO(data), target)
        assert everything(target) == everything(log)


def test_memory_does_not_grow_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB of bodies go through a copy, an export and an import in pages of 2 MiB; a tenth of that at once is plenty
    for two pages a side and what is made of them."""
    for module, name in ((transfer, "BYTES"), (comparing, "BYTES")):
        monkeypatch.setattr(module, name, 2 * 1024 * 1024)
    url = f"sqlite:///{tmp_path}/old"
    with open_log(url) as log:
        for number in range(128):
            log.append(f"run-{number % 7}", [Event.now(events.LogMessage(text="x" * 524_288))])
        log.catch_up()
    tracemalloc.start()
    try:
        for deed in (
            lambda: moving.copy_log(url, f"sqlite:///{tmp_path}/new?layout=consolidated", fork=True),
            lambda: moving.export_log(url, tmp_path / "file", compression="none"),
            lambda: moving.import_log(tmp_path / "file", f"sqlite:///{tmp_path}/back"),
            lambda: moving.export_table(url, tmp_path / "rows", "jsonl"),
        ):
            tracemalloc.reset_peak()
            deed()
            peak = tracemalloc.get_traced_memory()[1]
            assert peak < 24 * 1024 * 1024, f"{peak:,}"
    finally:
        tracemalloc.stop()


# -- damage ---------------------------------------------------------------------------------------------------------


def blocks(data: bytes) -> list[tuple[int, int]]:
    """Where each block begins and ends."""
    found, offset = [], len(MAGIC)
    while offset < len(data):
        size = HEAD_BYTES + struct.unpack(">BBIIII", data[offset : offset + HEAD_BYTES - 4])[3]
        found.append((offset, offset + size))
        offset += size
    return found


@pytest.fixture
def small() -> bytes:
    log = memory()
    for number in range(4):
        log.append(f"run-{number}", LINE * 3)
    return exported(log, compression="none")


def test_every_byte_counts(small: bytes) -> None:
    """A byte that was altered is found, wherever it is; so is a file that ends too early."""
    for place in range(len(small)):
        altered = bytearray(small)
        altered[place] ^= 0x41
        with pytest.raises(FoldlogError):
            moving.import_log(io.BytesIO(bytes(altered)), memory())
    for end in range(len(small)):
        with pytest.raises((CorruptLogError, UsageError)):
            moving.import_log(io.BytesIO(small[:end]), memory())


def test_damage_is_told_with_its_place(small: bytes) -> None:
    ends = blocks(small)
    offset = ends[1][0]
    cases = {
        offset + 2: "the head of block 1 was altered",
        offset + HEAD_BYTES - 1: "the head of block 1 was altered",
        offset + HEAD_BYTES + 9: "block 1 was altered",
    }
    for place, words in cases.items():
        altered = bytearray(small)
        altered[place] ^= 1
        with pytest.raises(CorruptLogError, match=f"the stream is damaged at byte {offset}: {words}") as error:
            moving.import_log(io.BytesIO(bytes(altered)), memory())
        assert "Export the log again" in error.value.remedy
    with pytest.raises(CorruptLogError, match=f"at byte {offset}: it ends within block 1, which is cut off"):
        moving.import_log(io.BytesIO(small[: offset + 40]), memory())
    with pytest.raises(CorruptLogError, match="something follows its end"):
        moving.import_log(io.BytesIO(small + b"x"), memory())


def test_blocks_out_of_their_order_are_found(small: bytes) -> None:
    (a, b), (c, d), *rest = blocks(small)
    without = small[:c] + small[d:]
    twice = small[:d] + small[c:d] + small[d:]
    for data in (without, twice, small[:a] + small[c:d] + small[a:b] + small[d:]):
        with pytest.raises(CorruptLogError, match="stands where block"):
            moving.import_log(io.BytesIO(data), memory())
    other = memory()
    other.append("other", LINE)
    mixed = exported(other, compression="none")
    begin = blocks(mixed)[-1][0]
    footer = bytearray(mixed[begin:])
    assert len(blocks(mixed)) == len(rest) + 2
    with pytest.raises(CorruptLogError, match="its footer is that of other blocks"):
        moving.import_log(io.BytesIO(small[: rest[-1][0]] + bytes(footer)), memory())


def test_what_is_no_export_is_told(log: EventLog, tmp_path: Path) -> None:
    for data, kind, words in (
        (b"", CorruptLogError, "it is empty"),
        (b"PK\x03\x04 and so on", UsageError, "no export of a log"),
        (b"foldlog\x02and so on", CorruptLogError, "export format 2"),
    ):
        url = f"sqlite:///{tmp_path}/new"
        with pytest.raises(kind, match=words):
            moving.import_log(io.BytesIO(data), url)
        assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="there is no file"):
        moving.import_log(tmp_path / "none", memory())


def test_a_block_that_swells_is_refused() -> None:
    """Memory is bounded by what the head says, and that is bounded too."""
    stored = zlib.compress(bytes(10_000_000))
    for plain, words in ((100, "block 0 cannot be unpacked"), (2**31, "of a kind that no export has")):
        head = struct.pack(">BBIIII", 1, 1, 0, len(stored), plain, zlib.crc32(stored))
        data = MAGIC + head + struct.pack(">I", zlib.crc32(head)) + stored
        with pytest.raises(CorruptLogError, match=words):
            list(BlockReader(io.BytesIO(data), "it"))


@pytest.mark.parametrize(
    "content",
    [
        {"states": {}, "entries": [[1, "run-1", 1, 1, bytes(16), 5, bytes(16), bytes(16), False, [["A", 1, 1, b"x"]]]]},
        {"states": {}, "entries": [[1, "run-1"]]},
        {"states": {"run-1": "asleep"}, "entries": []},
        {"states": {}, "entries": [[1, "run-1", 1, 2, bytes(16), 5, bytes(16), bytes(16), False, [None]]]},
        {"states": {}, "entries": [[-1, "run-1", 1, 1, bytes(16), 5, bytes(16), bytes(16), False, [None]]]},
        {"states": {}, "entries": [[1, "run-1", 1, 1, b"short", 5, bytes(16), bytes(16), False, [None]]]},
        {"entries": 7},
        [],
    ],
    ids=["chain", "short", "state", "count", "position", "key", "fields", "list"],
)
def test_a_block_that_makes_no_sense(content: Any) -> None:
    """Whole and wrong: as of a program that writes the format and is mistaken."""
    stream = io.BytesIO()
    writer = BlockWriter(stream, "none")
    header = {"format": 1, "log_id": bytes(16), "after": 0, "after_chain": bytes(16), "gate": 0}
    writer.block(Kind.HEADER, {**header, "epochs": [[1, 0, bytes(16), 5, "created"]]})
    writer.block(Kind.ENTRIES, content)
    writer.end({})
    with pytest.raises(CorruptLogError):
        moving.import_log(io.BytesIO(stream.getvalue()), memory())


def test_a_file_is_there_as_a_whole_or_not_at_all(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a disk that is full."""
    path = tmp_path / "log.foldlog"
    path.write_bytes(b"older")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match="No space left"):
            moving.export_log(log, path)
    assert path.read_bytes() == b"older"

    class Stop(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        moving.export_log(log, path, progress=stop)
    assert path.read_bytes() == b"older"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log.foldlog"]
    moving.export_log(log, path)
    assert path.read_bytes()[:8] == MAGIC


# -- rows for analysis ------------------------------------------------------------------------------------------------


@pytest.fixture
def told(tmp_path: Path) -> EventLog:
    """Events of many shapes; position 3 is deleted."""
    log = memory()
    made = events.AssetMaterialization(
        asset_key=AssetKey(("raw", "orders")), partition="p1", metadata={"rows": 7, "ratio": float("nan")}
    )
    (future,), _ = Codec().encode([Event(events.EngineEvent(text="hi"), 5, step_key="later")])
    opaque = Opaque(name="OF_THE_FUTURE", version=1, body=future.body)
    log.append("run-1", [Event(made, 1_700_000_000_000_001, step_key="load", job_name="etl", message="m\u2028n")])
    log.append("@instance", [Event(opaque, 5, step_key="later")])
    log.append("run-2", LINE)
    log.append("run-1", [Event(events.LogMessage(text="l\u00ef\x00ne"), 7, level=20)])
    log.catch_up()
    log.purge("run-2", Event(events.RunDeleted(run_id="run-2"), 9))
    return log


def test_rows_as_json_lines(told: EventLog) -> None:
    stream = io.BytesIO()
    done = moving.export_table(told, stream, "jsonl")
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["position"] for row in rows] == [1, 2, 4, 5]
    assert (done.events, done.position) == (4, 5)
    first, second, third, _ = rows
    assert first == {
        "position": 1, "shard": "run-1", "seq": 1, "run_id": "run-1", "type": "ASSET_MATERIALIZATION",
        "timestamp_us": 1_700_000_000_000_001, "step_key": "load", "job_name": "etl", "level": None,
        "message": "m\u2028n", "asset": "raw/orders", "partition": "p1", "version": 1,
        "fact": {
            "asset_key": [["raw", "orders"]], "partition": "p1",
            "metadata": {"rows": 7, "ratio": {"type": "float", "value": "nan"}},
        },
    }  # fmt: skip
    assert (second["type"], second["fact"], second["step_key"]) == ("OF_THE_FUTURE", {"text": "hi"}, "later")
    assert (second["run_id"], second["shard"]) == (None, "@instance")
    assert (third["fact"]["text"], third["level"]) == ("l\u00ef\x00ne", 20)


def test_rows_as_parquet(told: EventLog, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = moving.export_table(told, tmp_path / "events.parquet", "parquet")
    table = parquet.read_table(tmp_path / "events.parquet")
    assert table.num_rows == done.events == 4
    row = table.to_pylist()[0]
    assert (row["position"], row["asset"], row["partition"], row["job_name"]) == (1, "raw/orders", "p1", "etl")
    assert row["timestamp"].isoformat() == "2023-11-14T22:13:20.000001+00:00"
    assert json.loads(row["fact"])["metadata"]["rows"] == 7
    told.append("run-1", LINE)
    moving.export_table(told, tmp_path / "more.parquet", "parquet", after=done.cursor)
    assert parquet.read_table(tmp_path / "more.parquet")["position"].to_pylist() == [6]


def test_parquet_without_pyarrow_names_what_to_install(told: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs the package pyarrow") as error:
        moving.export_table(told, io.BytesIO(), "parquet")
    assert "pip install foldlog[parquet]" in error.value.remedy
    with pytest.raises(UsageError, match="csv"):
        moving.export_table(told, io.BytesIO(), "csv")


def test_an_export_is_what_the_manual_says(told: EventLog) -> None:
    """Read with msgpack and the standard library alone, as docs/format.md has it."""
    data = exported(told)
    assert data[:8] == b"foldlog\x01"
    found = []
    for number, (start, end) in enumerate(blocks(data)):
        kind, compression, counted, stored, plain, crc = struct.unpack(">BBIIII", data[start : start + 18])
        assert (counted, stored, zlib.crc32(data[start + 22 : end])) == (number, end - start - 22, crc)
        assert struct.unpack(">I", data[start + 18 : start + 22]) == (zlib.crc32(data[start : start + 18]),)
        content = zlib.decompress(data[start + 22 : end])
        assert (compression, len(content)) == (1, plain)
        found.append((kind, msgpack.unpackb(content)))
    assert [kind for kind, _ in found] == [1, 2, 3, 4]
    header, entries, shards, footer = [content for _, content in found]
    assert (header["format"], header["after"]) == (1, 0)
    assert [entry[0] for entry in entries["entries"]] == [1, 2, 3, 4, 5]
    assert entries["states"] == {"run-2": "purged"}
    assert ["run-2", "purged", 1, False] in shards
    assert (footer["position"], footer["entries"], footer["events"]) == (5, 5, 5)
    assert isinstance(told.backend, CanMove)


def test_an_export_while_others_write(tmp_path: Path) -> None:
    """P9: it holds what was there when it began; a deletion meanwhile does no harm."""
    url = f"sqlite:///{tmp_path}/log"
    with open_log(url) as log:
        fill(log, seed=6)
        head = log.catch_up().position
        log.append("run-late", [Event.now(events.RunStarted())], wait="ordered")
        done: list[int] = []

        def progress(what: str, at_: int, total: int) -> None:
            if not done:
                done.append(1)
                log.purge("run-late", Event.now(events.RunDeleted(run_id="run-late")))

        exported_ = moving.export_log(log, tmp_path / "file", progress=progress)
        assert exported_.position == head + 1
        target = memory()
        moving.import_log(tmp_path / "file", target)
        assert target.head().position == head + 1
        assert moving.compare_logs(target, log).differences == 0
