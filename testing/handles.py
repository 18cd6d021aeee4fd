"""Several handles on one store: stale knowledge, races, and what all of them must agree on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TypeVar

import pytest

from ..engine.errors import AppendKeyConflict, ConflictError, FoldlogError
from ..engine.log.port import ANY, NEW, Backend, CanTell, Receipt
from ..engine.log.sequencer import Sequencer
from .store import Store, SuiteBase, bodies, held, put, sequence, timeline

T = TypeVar("T")


def at_once(deeds: Sequence[Callable[[], T]]) -> list[T]:
    """Run each in a thread of its own, all let go at the same moment; their answers, or the first error."""
    gate = threading.Barrier(len(deeds))

    def run(deed: Callable[[], T]) -> T:
        gate.wait()
        return deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return [future.result() for future in [pool.submit(run, deed) for deed in deeds]]


class HandleTests(SuiteBase):
    def test_handles_see_one_log(self, backend: Backend, other: Backend) -> None:
        """P5: what one handle was told is recorded, another reads."""
        put(backend, "run-1", b"a")
        assert bodies(held(other, "run-1")) == [b"a"]
        assert other.find_shard("run-1") is not None
        assert backend.head().log_id == other.head().log_id
        sequence(other)
        assert backend.head() == other.head()
        assert timeline(backend) == timeline(other) != []

    def test_a_mark_tells_of_every_append(self, backend: Backend, other: Backend) -> None:
        """P8: who trusts a mark misses no acknowledged append, whichever handle made it; looking alone changes none."""
        if not isinstance(backend, CanTell):
            pytest.skip("this backend is asked for its head")
        marks = [backend.mark()]
        for number in range(4):
            put((backend, other)[number % 2], f"run-{number // 2}", b"x")
            marks.append(backend.mark())
            assert marks[-1] not in marks[:-1]
            sequence((other, backend)[number % 2])
            timeline(backend)
            assert backend.mark() == marks[-1]

    def test_a_stale_handle_appends_behind_the_other(self, backend: Backend, other: Backend) -> None:
        """P2: seq is where the shard ends, not where this handle last saw it end."""
        put(backend, "run-1", b"1")
        put(other, "run-1", b"2", b"3")
        assert put(backend, "run-1", b"4").first_seq == 4
        assert put(other, "run-1", b"5").first_seq == 5
        assert bodies(held(backend, "run-1")) == [b"1", b"2", b"3", b"4", b"5"]

    def test_a_stale_expectation_is_refused(self, backend: Backend, other: Backend) -> None:
        """P4: what a handle remembers does not make its expectation true, nor false."""
        put(backend, "run-1", b"1", expected=NEW)
        put(other, "run-1", b"2", expected=1)
        with pytest.raises(ConflictError):
            put(backend, "run-1", b"x", expected=1)
        with pytest.raises(ConflictError):
            put(other, "run-1", b"x", expected=NEW)
        put(backend, "run-1", b"3", expected=2)
        put(other, "run-1", b"4", expected=3)
        assert bodies(held(other, "run-1")) == [b"1", b"2", b"3", b"4"]

    def test_new_is_new_for_one_of_two(self, backend: Backend, other: Backend) -> None:
        """P4: a handle that found the shard empty is refused when another has begun it."""
        assert held(other, "run-1") == []
        assert other.find_shard("run-1") is None
        put(backend, "run-1", b"a", expected=NEW)
        with pytest.raises(ConflictError):
            put(other, "run-1", b"b", expected=NEW)
        assert bodies(held(other, "run-1")) == [b"a"]

    def test_a_retry_through_another_handle(self, backend: Backend, other: Backend) -> None:
        """P3: a key is known to every handle, also one that had the shard open before."""
        put(other, "run-1", b"0")
        first = put(backend, "run-1", b"a", key=1)
        assert put(other, "run-1", b"a", expected=NEW, key=1) == first._replace(duplicate=True)
        with pytest.raises(AppendKeyConflict):
            put(other, "run-1", b"b", key=1)
        assert bodies(held(other, "run-1")) == [b"0", b"a"]

    def test_times_rise_across_handles(self, backend: Backend, other: Backend) -> None:
        """P6: strictly, within a shard, whichever handle appends."""
        times = [put(handle, "run-1", b"x").at_us for _ in range(10) for handle in (backend, other)]
        assert all(a < b for a, b in pairwise(times)), times

    # -- races ---------------------------------------------------------------------------------------------------

    def test_a_race_on_one_shard_stays_dense(self, backend: Backend, other: Backend) -> None:
        """P2: every append lands once, whole, and the receipts are the shard."""

        def writer(handle: Backend, name: str) -> Callable[[], list[Receipt]]:
            return lambda: [put(handle, "run-1", *[f"{name}{n}".encode()] * (1 + n % 3)) for n in range(15)]

        each = at_once([writer(backend, "a"), writer(other, "b"), writer(backend, "c"), writer(other, "d")])
        receipts = sorted((receipt for part in each for receipt in part), key=lambda receipt: receipt.first_seq)
        ends = [0] + [receipt.last_seq for receipt in receipts]
        assert [receipt.first_seq for receipt in receipts] == [end + 1 for end in ends[:-1]]
        assert all(a.at_us < b.at_us for a, b in pairwise(receipts))
        stored = held(backend, "run-1")
        assert [item.seq for item in stored] == list(range(1, ends[-1] + 1))
        for name, part in zip("abcd", each, strict=True):
            for n, receipt in enumerate(part):
                mine = bodies(stored[receipt.first_seq - 1 : receipt.last_seq])
                assert mine == [f"{name}{n}".encode()] * (1 + n % 3)

    @pytest.mark.parametrize("turn", range(5))
    def test_a_race_for_one_seq_has_one_winner(self, backend: Backend, other: Backend, turn: int) -> None:
        """P4: of writers who expect the same, one lands and the others learn of it."""
        put(backend, "run-1", *[b"x"] * turn) if turn else None

        def attempt(handle: Backend, name: bytes) -> Callable[[], Receipt | FoldlogError]:
            def deed() -> Receipt | FoldlogError:
                try:
                    return put(handle, "run-1", name, expected=turn)
                except ConflictError as error:
                    return error

            return deed

        outcomes = at_once([attempt(backend, b"a"), attempt(other, b"b"), attempt(backend, b"c")])
        winners = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert [winner.first_seq for winner in winners] == [turn + 1]
        assert len(held(other, "run-1")) == turn + 1

    @pytest.mark.parametrize("turn", range(5))
    def test_a_race_under_one_key_lands_once(self, backend: Backend, other: Backend, turn: int) -> None:
        """P3: retries that run beside the first attempt answer with one receipt."""
        put(backend, "run-1", *[b"x"] * turn) if turn else None
        receipts = at_once([partial(put, handle, "run-1", b"a", b"b", key=1) for handle in (backend, other) * 2])
        assert {receipt._replace(duplicate=True) for receipt in receipts} == {receipts[0]._replace(duplicate=True)}
        assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True, True]
        assert bodies(held(backend, "run-1")) == [b"x"] * turn + [b"a", b"b"]

    def test_writers_of_many_shards(self, backend: Backend, other: Backend) -> None:
        """P2, P7: threads that each write shards of their own, while two sequence."""

        def writer(handle: Backend, name: str) -> Callable[[], None]:
            def deed() -> None:
                for n in range(20):
                    put(handle, f"{name}-{n % 3}", b"%d" % n, expected=ANY)

            return deed

        def sequencer(handle: Backend) -> Callable[[], None]:
            def deed() -> None:
                mine = Sequencer(handle, batch=7)
                for _ in range(10):
                    mine.catch_up()

            return deed

        at_once([*(writer(handle, f"w{n}") for n, handle in enumerate([backend, other] * 2)),
                 sequencer(backend), sequencer(other)])  # fmt: skip
        assert sequence(backend) == 80
        found = timeline(other, page=13)
        assert [item.position for item in found] == list(range(1, 81))
        for name in {item.shard for item in found}:
            assert [item for item in found if item.shard == name] == held(backend, name)

    def test_two_hundred_shards(self, store: Store) -> None:
        """P5, P9: more shards than a backend keeps open find their way to the timeline, also after reopening."""
        backend = store.open()
        names = [f"run-{number:03}" for number in range(200)]
        for turn in range(2):
            for name in names:
                put(backend, name, b"%d" % turn)
        backend = store.reopen()
        assert len(backend.pending(limit=1000)) == 400
        assert sequence(backend) == 400
        found = timeline(backend, page=77)
        assert [item.position for item in found] == list(range(1, 401))
        assert sorted((item.shard, item.seq) for item in found) == [(name, seq) for name in names for seq in (1, 2)]
        assert [shard.name for shard in backend.shards(after="", limit=1000)] == names
