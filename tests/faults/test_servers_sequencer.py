"""A sequencer that dies or stops on a database server between its lock and its commit (P5): at every moment of its
pass, by the end of its process, of its session, or by a pause after which it believes to be in office still.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from caller import call, told
from served import PATIENCE_S, SEQUENCING, Served
from story import line, text_of
from test_servers_holes import begun, sound

from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

PAUSED_S = 1  #: after which the server ends the transaction of a stopped process, in these tests


def fill(log: EventLog) -> list[str]:
    """Two runs with positions and two appends that wait for theirs."""
    log.append("run-a", [line("a0")])
    log.append("run-b", [line("b0"), line("b1")])
    log.catch_up()
    log.append("run-a", [line("a1"), line("a2")])
    log.append("run-c", [line("c0")])
    return ["a0", "b0", "b1", "a1", "a2", "c0"]


@pytest.mark.parametrize("moment", SEQUENCING)
@pytest.mark.parametrize("death", ["process", "session"])
def test_a_sequencer_dies_between_its_lock_and_its_commit(served: Served, moment: str, death: str) -> None:
    """P5: nothing of its pass is left, nobody who has seen a part of it, and the next one gives the positions."""
    with open_log(served.url) as log, open_log(served.url, read_only=True) as reader:
        texts = fill(log)
        with served.hold(moment) as hold:
            child = call(served.url, "place")
            (session,) = hold.stopped()
            if death == "process":
                child.kill()
                child.wait()
            log.append("run-c", [line("meanwhile")])
            assert [text_of(record) for record in reader.read().events] == texts[:3]
            served.end_session(session)
            hold.release()
        if death == "session":
            assert told(child) == [6], "the same pass once more, on another connection"
        assert sound(log) == [*texts, "meanwhile"]
        assert [text_of(record) for record in reader.read().events] == [*texts, "meanwhile"]


@pytest.mark.parametrize("moment", ["placing", "moving"])
def test_a_stopped_sequencer_loses_its_office(served: Served, moment: str) -> None:
    """P5: paused inside its pass, it comes back when another has given the positions; its commit does no harm, and
    none of the two has given a position twice. Nobody appends less meanwhile."""
    with open_log(served.url) as log:
        texts = fill(log)
        with served.hold(moment, idle_s=PAUSED_S) as hold:
            child = call(served.url, "place")
            hold.stopped()
            os.kill(child.pid, signal.SIGSTOP)
            hold.release()
        log.append("run-d", [line("d0")])
        begin = time.monotonic()
        page = begun(log.read).result(PATIENCE_S)
        assert time.monotonic() - begin > PAUSED_S / 2, "the stopped one held nothing"
        assert [text_of(record) for record in page.events] == [*texts, "d0"]
        log.append("run-d", [line("d1")])
        os.kill(child.pid, signal.SIGCONT)
        assert told(child) == [8], "its pass was refused, and the next one took in what was new"
        assert log.read(after=page.cursor).events == log.read().events[-1:]
        assert sound(log) == [*texts, "d0", "d1"]


@pytest.mark.long
def test_a_stopped_sequencer_loses_its_office_by_itself(served: Served) -> None:
    """P5: the same with the limits that the backend sets; whoever waits meanwhile waits long enough."""
    with open_log(served.url) as log:
        texts = fill(log)
        with served.hold("moving") as hold:
            child = call(served.url, "place")
            hold.stopped()
            os.kill(child.pid, signal.SIGSTOP)
            hold.release()
        page = begun(log.read).result(60)
        assert [text_of(record) for record in page.events] == texts
        os.kill(child.pid, signal.SIGCONT)
        assert told(child) == [len(texts)]
        assert sound(log) == texts
