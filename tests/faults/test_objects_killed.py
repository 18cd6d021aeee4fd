"""A process that uses a log on objects ends at each request that changes something, before it or after it, and others
go on (P1, P2, P3, P5, P10, P11): writers, sequencers, deleters, packers, whoever shuts the gate, and copies.

All that a dead process leaves is in the store. So nearly all die in memory: from one request on, none of theirs is
done. Some really die by SIGKILL, at a store in a folder.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from children import start
from hooked import Hooked
from moves import everything, fill
from story import STORY, Known, Note, Step, append, check, check_end, line, tell, text_of

from foldlog import EventLog, moving, open_log
from foldlog.backends.memory import MemoryBackend
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.landing import Landing
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import LogMoved, UnavailableError
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState
from foldlog.migrations.moving import transfer
from foldlog.serdes import Codec

MOVED = Gate(GateState.MOVED, "elsewhere")
VICTIM = Path(__file__).with_name("objects_victim.py")


class Killed(BaseException):
    """The process is no more."""


class Life:
    """Hooks of a process that ends at its n-th request that changes something."""

    def __init__(self, end: int, *, after: bool) -> None:
        self.requests = 0
        self.is_over = False
        self._end, self._after = end, after
        self._lock = threading.Lock()

    def objects(self, objects: MemoryObjects) -> Hooked:
        return Hooked(objects, before=self.before, after=self.after)

    def before(self, operation: str, name: str) -> None:
        with self._lock:
            if operation in ("create", "put", "delete"):
                self.requests += 1
                self.is_over |= self.requests == self._end and not self._after
            if self.is_over:
                raise Killed

    def after(self, operation: str, name: str) -> None:
        with self._lock:
            self.is_over |= self.requests == self._end and operation in ("create", "put", "delete")
            if self.is_over:
                raise Killed


def opened(objects: Any) -> EventLog:
    return EventLog(ObjectBackend(objects), Codec())


def dies(objects: MemoryObjects, deed: Callable[[EventLog], None], end: int, *, after: bool) -> Life:
    """Open the log and do something, up to the end; `end` 0: it lives."""
    life = Life(end, after=after)
    try:
        log = opened(life.objects(objects))
        deed(log)
        log.close()
    except Killed:
        pass
    assert life.is_over == bool(end)
    return life


def found(log: EventLog, known: Known) -> None:
    """P1, P2, P5, P11: what was acknowledged has its place on the timeline, and that is dense. (A run may have
    more than the timeline: what landed and was not announced.)"""
    records = log.read(limit=1000).events
    assert [record.position for record in records] == list(range(1, len(records) + 1)) or known.purging
    held = {(record.shard, record.seq): text_of(record) for record in records}
    for shard, first_seq, texts in known.acknowledged:
        for seq, text in enumerate(texts, start=first_seq):
            assert shard in known.purging or held.get((shard, seq)) == text, f"{shard} {seq} {text}"
    for cursor in known.cursors:
        log.read(after=cursor)


# -- a story -----------------------------------------------------------------------------------------------------------


def pack(log: EventLog, note: Note) -> None:
    log.backend.compact()  # type: ignore[attr-defined]


#: what goes through a writer in STORY: its thread would not die with the others here
SINGLY = [("run-1", "f"), ("run-2", "g"), ("run-1", "h"), ("@queue", "r"), ("run-3", "i")]
PLAIN: list[Step] = [*STORY[:5], *(append(shard, text) for shard, text in SINGLY), *STORY[6:]]
PACKED: list[Step] = [*PLAIN[:16], pack, *PLAIN[16:-1], PLAIN[-1], pack]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_story_cut_short_at_each_request(after: bool) -> None:
    """P1, P2, P3, P5, P11: what was acknowledged is there, and the story comes to its end."""
    total = dies(MemoryObjects(), partial(tell, note=lambda note: None, story=PACKED), 0, after=after).requests
    assert total > 60
    for end in range(1, total):
        notes: list[Any] = []
        objects = MemoryObjects("memory:objects")
        dies(objects, partial(tell, note=notes.append, story=PACKED), end, after=after)
        known = Known(notes)
        try:
            log = opened(objects)
            found(log, known)
            tell(log, notes.append, start=known.at, story=PACKED)
            check(log, Known(notes))
            check_end(log)
            log.close()
            log = opened(objects)
            check_end(log)
            assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
            log.close()
        except BaseException as error:
            error.add_note(f"killed {'after' if after else 'before'} request {end}")
            raise


# -- the gate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("opens", [False, True], ids=["shutting", "opening"])
def test_the_gate_cut_short_at_each_request(opens: bool, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: appends are taken or refused, none is lost; the same call completes it."""
    wanted, expected = (OPEN_GATE, MOVED) if opens else (MOVED, OPEN_GATE)

    def begin() -> tuple[MemoryObjects, EventLog]:
        objects = MemoryObjects("memory:objects")
        log = opened(objects)
        log.append("run-1", [line("a")])
        opened(objects).append("run-2", [line("b")], wait="ordered")
        if opens:
            _refused_segment(objects)
            assert log.backend.set_gate(MOVED, expected=OPEN_GATE)  # type: ignore[attr-defined]
        return objects, log

    def move(log: EventLog) -> None:
        log.backend.set_gate(wanted, expected=expected)  # type: ignore[attr-defined]

    monkeypatch.setattr(Landing, "SETTLED_S", 0.02)
    total = dies(begin()[0], move, 0, after=after).requests
    assert total > (0 if opens else 3)
    for end in range(1, total + 1):
        objects, log = begin()
        dies(objects, move, end, after=after)
        taken = 2
        refused: list[Exception] = []
        for shard in ("run-1", "run-2", "run-new"):
            try:
                log.append(shard, [line("c")])
                taken += 1
            except (LogMoved, UnavailableError) as error:
                refused.append(error)
        other = opened(objects)
        if other.backend.gate() == expected:  # type: ignore[attr-defined]
            move(other)
        assert other.backend.gate() == wanted  # type: ignore[attr-defined]
        if not opens:
            for one in (log, other):
                with pytest.raises(LogMoved):
                    one.append("run-1", [line("d")])
            assert other.backend.set_gate(OPEN_GATE, expected=MOVED)  # type: ignore[attr-defined]
        for shard in ("run-1", "run-2", "run-new", "run-void"):
            assert log.append(shard, [line("e")], wait="ordered")
            taken += 1
        assert len(other.read().events) == taken, end
        check(other, Known([]))


def _refused_segment(objects: MemoryObjects) -> None:
    """Somebody could not announce what it had written."""

    def before(operation: str, name: str) -> None:
        if operation == "create" and name.startswith("pending/"):
            raise UnavailableError("nothing was done, by plan")

    with pytest.raises(UnavailableError):
        opened(Hooked(objects, before=before)).append("run-void", [line("void")])


# -- opening and copies ------------------------------------------------------------------------------------------------


def test_a_log_whose_making_was_cut_short() -> None:
    """P1: whoever comes next makes it."""
    for end, after in ((1, False), (1, True), (2, False), (2, True), (3, False)):
        objects = MemoryObjects("memory:objects")
        dies(objects, lambda log: log.append("run-1", [line("a")]) and None, end, after=after)
        log = opened(objects)
        log.append("run-2", [line("b")], wait="ordered")
        check(log, Known([["acknowledged", "run-2", 1, ["b"]]]))
        assert str(opened(objects).head().log_id) == str(log.head().log_id)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_copy_cut_short_at_each_request(after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: what is there is a beginning of the log or nothing, takes no appends, and the same copy completes it."""
    monkeypatch.setattr(transfer, "EVENTS", 25)
    source = EventLog(MemoryBackend(), Codec())
    fill(source, seed=12, steps=50)
    source.catch_up()
    before = everything(source)

    def copy(target: EventLog) -> None:
        try:
            moving.copy_log(source, target, cut_over=True)
        finally:
            source.backend._gate = OPEN_GATE  # type: ignore[attr-defined]

    total = dies(MemoryObjects(), copy, 0, after=after).requests
    assert total > 30
    for end in range(1, total + 1, 1 if total < 120 else 3):
        objects = MemoryObjects("memory:objects")
        dies(objects, copy, end, after=after)
        log = opened(objects)
        gate, position = log.backend.gate(), log.head().position  # type: ignore[attr-defined]
        placed = source.backend.placed(after=0, limit=10_000)
        assert log.backend.placed(after=0, limit=10_000) == [p for p in placed if p.last_position <= position]
        if gate.state is GateState.OPEN and position:
            assert position == source.head().position, "it was opened before it was whole"
        else:
            copy(log)
        assert everything(log) == before
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
        log.append("run-new", [line("x")], wait="ordered")
        log.close()


# -- by SIGKILL --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_number", [2, 7, 17, 29, 41])
def test_killed_in_a_folder(scratch: Path, request_number: int) -> None:
    """P1, P5: really dead, beside one that has the log open all the time."""
    url = f"file://{scratch}/log"
    stays = open_log(url)
    stays.append("@queue", [line("open here too")])
    child = start(url, request_number, script=VICTIM)
    told, _ = child.communicate(timeout=60)
    assert child.returncode == -9
    known = Known([json.loads(note) for note in told.splitlines()])
    found(stays, known)
    stays.append("@queue", [line("after")], wait="ordered")
    found(stays, known)
    stays.close()
    log = open_log(url)
    notes = [json.loads(note) for note in told.splitlines()]
    tell(log, notes.append, start=known.at, story=[*STORY, append("run-9", "end")])
    check(log, Known(json.loads(json.dumps(notes))))
    log.close()
