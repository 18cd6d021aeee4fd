"""Reading a shard: order, paging, types, and that nothing changes on the way through the store."""

from __future__ import annotations

import random

import pytest

from ..engine.log.names import check_shard_name
from ..engine.log.port import Backend, Record, Stored
from .store import PLENTY, Store, SuiteBase, bodies, held, put, record, sequence, timeline

#: names that a careless file name, collation or quoting takes for another one; each pair differs
NAMES = [
    "run-1",
    "Run-1",
    "RUN-1",
    "9b2d3c1e-58a1-4cf2-9f0e-0c8d1a2b3c4d",
    "9B2D3C1E-58A1-4CF2-9F0E-0C8D1A2B3C4D",
    "@queue",
    "queue",
    "@partitions/daily",
    "@partitions/Daily",
    "@partitions/a/b c",
    "@asset-events/3",
    "caf\u00e9",
    "cafe\u0301",
    "cafe",
    "stra\u00dfe",
    "strasse",
    "STRASSE",
    "\u0130stanbul",
    "istanbul",
    "\u540d\u524d",
    "\uff5e",
    "\U0001f600",
    "a b",
    "a%20b",
    "a%",
    "a_",
    "ab",
    "it's",
    'say "hi"',
    "a;DROP TABLE x",
    "a:b*c?",
    "con",
    ".hidden",
    "-rf",
    "~",
    "x.db",
    "x" * 200,
    "x" * 199 + "y",
    "\u00e9" * 100,
    "\U0001f600" * 50,
    "%" * 200,
]

BODIES = [
    b"",
    b"\0",
    b"\0\0a\0",
    bytes(range(256)),
    bytes(range(255, -1, -1)) * 7,
    b"\\x00\\",
    b"'\"`;--\r\n\t",
    b"\xff\xfe\x80",
    "\u540d\u524d \U0001f600".encode(),
    b"\n",
    b" ",
]


class ShardTests(SuiteBase):
    def test_an_empty_store(self, backend: Backend) -> None:
        """P5: nothing was recorded, and every question has an answer."""
        assert held(backend, "run-1") == []
        assert backend.find_shard("run-1") is None
        assert backend.shards(after="", limit=9) == []
        assert backend.pending(limit=9) == []
        assert backend.read(after=0, limit=9, types=None) == []
        assert backend.read(after=0, limit=9, types=frozenset(["MARK"])) == []
        assert backend.placed(after=0, limit=9) == []
        assert backend.head().position == 0

    def test_an_unknown_shard_is_empty(self, backend: Backend) -> None:
        """P2: reading a shard does not make it."""
        put(backend, "run-1", b"a")
        assert held(backend, "run-2") == []
        assert held(backend, "RUN-1") == []
        assert backend.find_shard("run-2") is None
        assert [shard.name for shard in backend.shards(after="", limit=9)] == ["run-1"]

    @pytest.mark.parametrize("sequenced", [False, True], ids=["pending", "sequenced"])
    @pytest.mark.parametrize("limit", [1, 3, 7, 8, 100])
    def test_pages_meet(self, backend: Backend, limit: int, sequenced: bool) -> None:
        """P2: page by page, forward and backward, each record comes once."""
        for count in (1, 3, 2, 1):
            put(backend, "run-1", *[b"x"] * count)
        if sequenced:
            sequence(backend)
        for newest_first, wanted in ((False, list(range(1, 8))), (True, list(range(7, 0, -1)))):
            seqs: list[int] = []
            while part := backend.read_shard(
                "run-1", after_seq=seqs[-1] if seqs else 0, limit=limit, types=None, newest_first=newest_first
            ):
                assert len(part) <= limit
                seqs += [item.seq for item in part]
                if seqs[-1] == 1 and newest_first:
                    break  # `after_seq=0` would begin at the end again
            assert seqs == wanted

    @pytest.mark.parametrize("after_seq", [0, 1, 4, 5, 6, 99])
    def test_after_seq(self, backend: Backend, after_seq: int) -> None:
        """P2: past it going up; below it going down, from the end when it is 0."""
        put(backend, "run-1", *[b"x"] * 5)
        up = backend.read_shard("run-1", after_seq=after_seq, limit=9, types=None, newest_first=False)
        down = backend.read_shard("run-1", after_seq=after_seq, limit=9, types=None, newest_first=True)
        assert [item.seq for item in up] == [seq for seq in range(1, 6) if seq > after_seq]
        assert [item.seq for item in down] == [seq for seq in range(5, 0, -1) if not after_seq or seq < after_seq]

    @pytest.mark.parametrize("newest_first", [False, True], ids=["up", "down"])
    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_types(self, backend: Backend, limit: int, newest_first: bool) -> None:
        """P2: only these kinds, page by page; a full page is full of them."""
        kinds = ["A", "B", "a", "C", "A", "A", "\u00c4"] * 3
        put(backend, "run-1", *[record(type=kind) for kind in kinds])
        for types in ({"A"}, {"a"}, {"A", "C"}, {"\u00c4"}, {"Z"}, set()):
            wanted = [seq for seq, kind in enumerate(kinds, 1) if kind in types]
            found: list[int] = []
            while part := backend.read_shard(
                "run-1",
                after_seq=found[-1] if found else 0,
                limit=limit,
                types=frozenset(types),
                newest_first=newest_first,
            ):
                found += [item.seq for item in part]
                if newest_first and found[-1] == 1:
                    break
            assert found == (wanted[::-1] if newest_first else wanted)

    def test_a_shard_is_read_before_it_is_sequenced(self, backend: Backend) -> None:
        """P5: what is not placed has no position yet, and is there all the same."""
        put(backend, "run-1", b"a", b"b")
        sequence(backend)
        put(backend, "run-1", b"c")
        assert held(backend, "run-1") == [
            Stored("run-1", 1, 1, record(b"a")),
            Stored("run-1", 2, 2, record(b"b")),
            Stored("run-1", 3, None, record(b"c")),
        ]

    def test_bodies_are_kept_byte_for_byte(self, store: Store) -> None:
        """P12: whatever bytes a codec makes come back as they were, from the shard and from the timeline."""
        backend = store.open()
        put(backend, "run-1", *BODIES)
        for body in BODIES:
            put(backend, "run-2", body)
        assert bodies(held(backend, "run-1")) == bodies(held(backend, "run-2")) == BODIES
        sequence(backend)
        backend = store.reopen()
        assert bodies(held(backend, "run-1")) == bodies(held(backend, "run-2")) == BODIES
        assert bodies(timeline(backend)) == BODIES * 2

    @pytest.mark.parametrize("count", [1, 3])
    def test_large_bodies(self, backend: Backend, count: int) -> None:
        """P12: 1 MiB in one event, alone and in a batch."""
        big = [random.Random(number).randbytes(1024 * 1024) for number in range(count)]
        put(backend, "run-1", *big)
        sequence(backend)
        assert bodies(held(backend, "run-1")) == bodies(timeline(backend)) == big

    def test_records_are_kept_whole(self, backend: Backend) -> None:
        """P12: kind, time and topics come back as they were."""
        wanted = [
            Record("STEP_START", 0, 0, b"a"),
            Record("step_start", 2**63 - 1, 1023, b"b"),
            Record("\u540d\u524d \U0001f600", 1 << 60, 255, b"c"),
            Record("it's %s", 1, 512, b"d"),
            Record("T" * 200, 1_700_000_000_000_001, 256, b"e"),
        ]
        put(backend, "run-1", *wanted)
        put(backend, "run-2", wanted[2])
        assert [item.record for item in held(backend, "run-1")] == wanted
        sequence(backend)
        assert [item.record for item in timeline(backend)] == [*wanted, wanted[2]]
        assert bodies(timeline(backend, types=frozenset(["\u540d\u524d \U0001f600"]))) == [b"c", b"c"]
        assert bodies(timeline(backend, types=frozenset(["step_start"]))) == [b"b"]

    def test_shard_names_are_told_apart(self, store: Store) -> None:
        """P2: by code points; no case, accent, blank or quote makes two names one, or leads out of a folder."""
        backend = store.open()
        for name in NAMES:
            check_shard_name(name)
            assert put(backend, name, name.encode()).first_seq == 1, name
        for handle in store.and_reopened(backend):
            for name in NAMES:
                assert held(handle, name) == [Stored(name, 1, None, record(name.encode()))]
                assert (found := handle.find_shard(name)) is not None
                assert found.name == name
            assert [shard.name for shard in handle.shards(after="", limit=PLENTY)] == sorted(NAMES)
        assert sequence(handle) == len(NAMES)
        assert sorted(item.shard for item in timeline(handle)) == sorted(NAMES)

    def test_shards_are_listed_in_pages(self, backend: Backend) -> None:
        """P9: by name in code point order, past `after`, pending and placed ones alike."""
        names = sorted(NAMES)
        for name in names[::2]:
            put(backend, name, b"x")
        sequence(backend)
        for name in names[1::2]:
            put(backend, name, b"x", b"y")
        for limit in (1, 7, PLENTY):
            found: list[str] = []
            while part := backend.shards(after=found[-1] if found else "", limit=limit):
                assert len(part) <= limit
                found += [shard.name for shard in part]
            assert found == names
        listed = backend.shards(after="", limit=PLENTY)
        assert [shard.ordered_seq for shard in listed] == [1 - index % 2 for index in range(len(names))]
        assert [backend.find_shard(shard.name) for shard in listed] == listed
        assert backend.shards(after="run", limit=1)[0].name == next(name for name in names if name > "run")
