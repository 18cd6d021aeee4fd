"""Transactions that stay open on a database server (P2, P5, P6, P7): readers skip nothing and stop for nothing, and
writers of other runs do not wait. At named moments; test_gap_reader.py does it by chance and in numbers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from caller import call, told
from served import PATIENCE_S, Served
from story import asset, line, text_of

from foldlog.engine.events.event import Event
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import NEW
from foldlog.engine.open import open_log

AT_ONCE_S = 2.0  #: on a busy machine; what waits for a transaction that is held waits for ever, or till a limit of 10 s


def begun(deed: Any, *arguments: Any, **named: Any) -> Future[Any]:
    """It runs in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(deed, *arguments, **named)
    pool.shutdown(wait=False)
    return future


def sound(log: EventLog) -> list[str]:
    """The timeline's texts, whole and dense, agreeing with the shards, and without damage."""
    records = log.read(limit=10_000).events
    assert [record.position for record in records] == list(range(1, len(records) + 1))
    ends: dict[str, int] = {}
    for record in records:
        ends[record.shard] = ends.get(record.shard, 0) + 1
        assert record.seq == ends[record.shard]
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    return [text_of(record) for record in records]


@pytest.mark.parametrize("known", [False, True], ids=["new-run", "known-run"])
@pytest.mark.parametrize("end", ["goes on", "session ended", "killed"])
def test_an_append_that_stays_open_is_not_skipped(served: Served, known: bool, end: str) -> None:
    """P5: A writes first and commits last, again, or never; a reader that has passed B misses nothing."""
    with open_log(served.url) as log, served.hold("append") as hold:
        before = ["0"] if known else []
        if known:
            log.append("run-a", [line("0")])
        child = call(served.url, "held", "run-a", "A")
        (session,) = hold.stopped()
        log.append("run-b", [line("B")])
        page = log.read()
        assert [text_of(record) for record in page.events] == [*before, "B"]
        if end == "killed":
            child.kill()
            child.wait()
        if end != "goes on":
            served.end_session(session)
        hold.release()
        if end == "killed":
            time.sleep(0.2)
            assert ("run-a" in {shard.name for shard in log.shards()}) is known, "a run that nothing was appended to"
            log.append("run-a", [line("A")], expected=len(before) or NEW)  # nothing of the dead one is in the way
        else:
            assert told(child) == [len(before) + 1]
        log.append("run-b", [line("C")])
        later = log.read(after=page.cursor)
        assert [(record.position, text_of(record)) for record in later.events] == [
            (len(before) + 2, "A"),
            (len(before) + 3, "C"),
        ]
        assert sound(log) == [*before, "B", "A", "C"]


def test_a_follower_gets_what_committed_behind_its_back(served: Served) -> None:
    """P5: three appends stay open together and commit in another order than they began in."""
    with open_log(served.url) as log, contextlib.ExitStack() as stack:
        for name in "abc":
            log.append(f"run-{name}", [line(f"{name}0")])
        hold = stack.enter_context(served.hold("append"))
        writers = []
        for name in "ab":
            writers.append(begun(log.append, f"run-{name}", [asset(f"{name}1")]))
            hold.stopped(len(writers))
        seen: list[str] = []
        done = threading.Event()

        def follow() -> None:
            with open_log(served.url) as reader, reader.follow(page=2) as follower:
                for record in follower:
                    seen.append(text_of(record))
                    if seen[-1] == "end":
                        done.set()
                        return

        reader = begun(follow)
        log.append("run-c", [line("c1")])
        until = time.monotonic() + PATIENCE_S
        while "c1" not in seen:
            assert time.monotonic() < until, "the reader waits for an append that is open"
            time.sleep(0.01)
        hold.release()
        for writer in writers:
            writer.result(PATIENCE_S)
        log.append("run-c", [line("end")])
        reader.result(PATIENCE_S)
        assert done.is_set()
        assert seen == sound(log)
        assert sorted(seen) == sorted(["a0", "b0", "c0", "a1", "b1", "c1", "end"])


def test_an_open_transaction_elsewhere_holds_up_nobody(served: Served) -> None:
    """P5, P7: in another database of the server, and in another table of this one. A reader that waits for the oldest
    transaction of the whole server to end, as transaction ids suggest, would stop here."""
    with open_log(served.url) as log, served.beside() as other, contextlib.ExitStack() as stack:
        for url in (other, served.url):
            connection = stack.enter_context(contextlib.closing(served.connect(url)))
            cursor = connection.cursor()
            cursor.execute("CREATE TABLE elsewhere (n int)")
            connection.commit()
            cursor.execute("INSERT INTO elsewhere VALUES (1)")
        for n in range(3):
            log.append(f"run-{n}", [line(f"{n}")])
        assert begun(sound, log).result(PATIENCE_S) == ["0", "1", "2"]
        assert log.seal("run-1")
        log.purge("run-2", Event(RunDeleted(run_id="run-2"), 0))
        assert [text_of(record) for record in log.read().events] == ["0", "1", "RUN_DELETED"]


def grouped(log: EventLog) -> None:
    with log.writer() as writer:
        futures = [writer.append(shard, [line("grouped")]) for shard in ("run-b", "run-new", "run-a1")]
        writer.flush()
        for future in futures:
            future.result()


def purged(log: EventLog) -> None:
    log.append("run-gone", [line("gone")])
    log.purge("run-gone", Event(RunDeleted(run_id="run-gone"), 0))


DEEDS = {
    "append": lambda log: log.append("run-b", [line("beside")]),
    "append to a new run": lambda log: log.append("run-new", [line("beside")]),
    "append to a run between": lambda log: log.append("run-a1", [line("beside")]),
    "expected": lambda log: log.append("run-c", [line("beside")], expected=1),
    "ordered": lambda log: log.append("run-b", [line("beside")], wait="ordered"),
    "group": grouped,
    "read": lambda log: log.read(),
    "read the run": lambda log: log.read_shard("run-a"),
    "read by type": lambda log: log.read_back(types=["LOG_MESSAGE"]),
    "seal": lambda log: log.seal("run-b"),
    "purge": purged,
    "list": lambda log: (log.shards(), log.stats(), log.head()),
    "check": lambda log: log.backend.diagnose(full=True),
}


@pytest.mark.parametrize("known", [False, True], ids=["new-run", "known-run"])
def test_nobody_waits_for_the_append_of_another_run(served: Served, known: bool) -> None:
    """P7: while one transaction is open, everything that does not concern its run goes on: no lock on a table, on the
    end of an index, on the gaps beside a row."""
    with open_log(served.url) as log, open_log(served.url) as other, served.hold("append") as hold:
        for name in ("a0", "b", "c") + (("a",) if known else ()):
            log.append(f"run-{name}", [line("0")])
        log.catch_up()
        open_one = begun(log.append, "run-a", [asset("A")])
        hold.stopped()
        slow = {}
        for name, deed in DEEDS.items():
            start = time.monotonic()
            begun(deed, other).result(PATIENCE_S)
            if (took := time.monotonic() - start) > AT_ONCE_S:
                slow[name] = took
        assert not slow, f"these waited: {slow}"
        assert not open_one.done(), "nothing was open meanwhile"
        hold.release()
        open_one.result(PATIENCE_S)
        assert "A" in [text_of(record) for record in log.read().events]


def test_appends_do_not_wait_for_the_sequencer(served: Served) -> None:
    """P7: while positions are being given, and the pass is stuck, writers go on, in old runs and new ones."""
    with open_log(served.url) as log, open_log(served.url) as other:
        log.append("run-a", [line("0")])
        with served.hold("placing") as hold:
            stuck = begun(log.catch_up)
            hold.stopped()
            start = time.monotonic()
            for n in range(3):
                begun(other.append, "run-a", [line(f"a{n}")]).result(PATIENCE_S)
                begun(other.append, f"run-b{n}", [line(f"b{n}")]).result(PATIENCE_S)
            with open_log(served.url, read_only=True) as reader:
                assert reader.read().records == [], "nothing is shown that could still be rolled back"
            assert time.monotonic() - start < AT_ONCE_S
            assert not stuck.done()
            hold.release()
            stuck.result(PATIENCE_S)
        assert sound(log) == ["0", "a0", "b0", "a1", "b1", "a2", "b2"]
