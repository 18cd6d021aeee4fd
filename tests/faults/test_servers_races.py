"""Two who want the same of one run on a database server, while the first is in its transaction (P2, P3, P4, P9).

They append to the same seq, or with one key, or one of them ends the run's life.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from served import PATIENCE_S, Served
from story import asset, line, text_of
from test_servers_holes import begun, sound

from foldlog.engine.errors import AppendKeyConflict, ConflictError, ShardPurged
from foldlog.engine.events.event import Event
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog, Purged
from foldlog.engine.log.port import NEW, Receipt, ShardState
from foldlog.engine.open import open_log

KEY = UUID(int=7)
A_WHILE_S = 0.3  #: in which whoever does not wait would be done


def waits(future: Future[Any]) -> None:
    time.sleep(A_WHILE_S)
    assert not future.done(), f"it did not wait: {future.exception() or future.result()}"


@pytest.mark.parametrize("known", [False, True], ids=["new-run", "known-run"])
@pytest.mark.parametrize("end", ["lands", "is undone"])
def test_the_second_writer_of_a_run_goes_behind_the_first(served: Served, known: bool, end: str) -> None:
    """P2: or takes its place, where the first one came to nothing; no seq is left out."""
    with open_log(served.url) as log, open_log(served.url) as other:
        if known:
            log.append("run-1", [line("0")])
        with served.hold("append") as hold:
            first = begun(log.append, "run-1", [asset("A")])
            (session,) = hold.stopped()
            second = begun(other.append, "run-1", [line("B")])
            waits(second)
            if end == "is undone":
                served.end_session(session)  # then A is tried again, and finds B there or not
            hold.release()
            seqs = {"A": first.result(PATIENCE_S).first_seq, "B": second.result(PATIENCE_S).first_seq}
        assert sorted(seqs.values()) == [1 + known, 2 + known]
        if end == "lands":
            assert seqs["A"] < seqs["B"]
        assert sound(log) == ["0"] * known + sorted(seqs, key=seqs.__getitem__)


@pytest.mark.parametrize("same", [True, False], ids=["same-facts", "other-facts"])
def test_one_key_at_once(served: Served, same: bool) -> None:
    """P3: the second waits until it can tell, and is then a duplicate, or told of the conflict."""
    with open_log(served.url) as log, open_log(served.url) as other:
        with served.hold("append") as hold:
            first = begun(log.append, "run-1", [asset("A")], key=KEY)
            hold.stopped()
            second = begun(other.append, "run-1", [asset("A" if same else "B")], key=KEY)
            waits(second)
            hold.release()
            receipt = first.result(PATIENCE_S)
            if same:
                assert second.result(PATIENCE_S) == receipt._replace(duplicate=True)
            else:
                with pytest.raises(AppendKeyConflict):
                    second.result(PATIENCE_S)
        assert sound(log) == ["A"]


@pytest.mark.parametrize("expected", [NEW, 0, 1])
def test_one_condition_at_once(served: Served, expected: Any) -> None:
    """P4: of two who expect the same, one wins."""
    with open_log(served.url) as log, open_log(served.url) as other:
        if expected == 1:
            log.append("run-1", [line("0")])
        with served.hold("append") as hold:
            first = begun(log.append, "run-1", [asset("A")], expected=expected)
            hold.stopped()
            second = begun(other.append, "run-1", [line("B")], expected=expected)
            waits(second)
            hold.release()
            assert first.result(PATIENCE_S).last_seq == 1 + (expected == 1)
            with pytest.raises(ConflictError):
                second.result(PATIENCE_S)
        assert sound(log)[-1] == "A"


def test_a_deletion_beside_an_append(served: Served) -> None:
    """P5, P9: nothing is acknowledged behind a tombstone: the deletion waits for an append under way, whose events go
    with the run, or the append is refused."""
    with open_log(served.url) as log, open_log(served.url) as other:
        log.append("run-1", [line("0")], wait="ordered")
        other.append("run-1", [line("1")])  # it remembers where the run ends
        with served.hold("append") as hold:
            first = begun(log.append, "run-1", [asset("A")])
            hold.stopped()
            deletion = begun(other.purge, "run-1", Event(RunDeleted(run_id="run-1"), 0))
            waits(deletion)
            hold.release()
            assert first.result(PATIENCE_S).last_seq == 3
            deletion.result(PATIENCE_S)
        for writer in (log, other):
            with pytest.raises(ShardPurged):
                writer.append("run-1", [line("late")])
        kept, tombstone = other.read().events
        assert (text_of(kept), kept.position, text_of(tombstone), tombstone.position) == ("A", 3, "RUN_DELETED", 4)
        assert other.read().records[0] == Purged(1, 2)
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


def test_a_seal_beside_an_append(served: Served) -> None:
    """P5: a sealed run is never one that has an event which waits for its position for ever."""
    with open_log(served.url) as log, open_log(served.url) as other:
        log.append("run-1", [line("0")], wait="ordered")
        with served.hold("append") as hold:
            first = begun(log.append, "run-1", [asset("A")])
            hold.stopped()
            seal = begun(other.seal, "run-1")
            time.sleep(A_WHILE_S)
            hold.release()
            first.result(PATIENCE_S)
            sealed = seal.result(PATIENCE_S)
        assert sound(other) == ["0", "A"]
        (shard,) = other.shards()
        assert (shard.state, shard.ordered_seq) == (ShardState.OPEN, 2)
        assert other.seal("run-1"), f"the first seal said {sealed}"
        log.append("run-1", [line("late")])
        assert sound(other) == ["0", "A", "late"]


def test_groups_that_cross(served: Served) -> None:
    """P2, P7: the same runs in opposite orders, each in one commit, again and again: no deadlock is ever seen."""
    shards = [f"run-{n}" for n in range(6)]

    def grouped(log: EventLog, turn: int, order: list[str]) -> list[Any]:
        appends = [log.prepare(shard, [line(f"{turn} {shard}")]) for shard in order]
        return log.backend.append_group(appends)  # type: ignore[attr-defined,no-any-return]

    with open_log(served.url) as log, open_log(served.url) as other, ThreadPoolExecutor(2) as pool:
        for turn in range(15):
            work = [pool.submit(grouped, log, turn, shards), pool.submit(grouped, other, turn, shards[::-1])]
            assert all(isinstance(answer, Receipt) for future in work for answer in future.result(PATIENCE_S))
        assert len(sound(log)) == 2 * 15 * len(shards)


def test_one_run_of_many(served: Served) -> None:
    """P2, P3, P6: eight writers of one run, each append twice under its key: dense, once, in the order of each."""
    with open_log(served.url) as log, open_log(served.url) as other, ThreadPoolExecutor(8) as pool:

        def write(name: int) -> list[int]:
            seqs = []
            for n in range(10):
                key = UUID(int=name * 100 + n + 1)
                answers = [
                    (log, other)[turn % 2].append("run-1", [line(f"{name} {n}")], key=key) for turn in (n, n + 1)
                ]
                assert answers[1] == answers[0]._replace(duplicate=True)
                seqs.append(answers[0].first_seq)
            return seqs

        told = list(pool.map(write, range(8)))
        assert all(seqs == sorted(seqs) for seqs in told)
        assert sorted(seq for seqs in told for seq in seqs) == list(range(1, 81))
        assert len(set(sound(log))) == 80
