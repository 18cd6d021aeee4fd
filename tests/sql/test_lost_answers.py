"""A commit whose answer was lost lands while its writer already looks for it: it is recorded once, and acknowledged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from foldlog.backends import open_backend
from foldlog.backends.sql import writing
from foldlog.backends.sql.backend import SqlBackend
from foldlog.backends.sql.database import Database
from foldlog.backends.sql.errors import OutcomeUnknownError
from foldlog.engine.errors import UnavailableError
from foldlog.engine.log.port import ANY, OPEN_GATE, Append, Gate, GateState, Receipt, Record


@pytest.fixture(params=["postgres", "mysql"])
def backend(request: pytest.FixtureRequest) -> Iterator[SqlBackend]:
    with contextlib.closing(open_backend(request.getfixturevalue(f"{request.param}_url"))) as backend:
        assert isinstance(backend, SqlBackend)
        yield backend


def an_append(body: bytes, shard: str = "run-1", expected=ANY) -> Append:
    return Append(shard, [Record("MARK", 1, 1, body)], body.ljust(16), expected, None)


def held(backend: SqlBackend, shard: str = "run-1") -> list[bytes]:
    stored = backend.read_shard(shard, after_seq=0, limit=100, types=None, newest_first=False)
    return [item.record.body for item in stored if item.record]


class Late:
    """Loses the answer to commits; they land when they are told to."""

    def __init__(self, backend: SqlBackend, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
        self._commit = backend._writer._commit
        self.waiting: list[Callable[[], object]] = []
        self._lost = lost
        monkeypatch.setattr(backend._writer, "_commit", self)

    def __call__(self, going):
        if not self._lost:
            return self._commit(going)
        self._lost -= 1
        self.waiting.append(lambda: self._commit(going))
        for order, end in going:
            order.tried.add(end.last_seq + 1)
        raise OutcomeUnknownError("the connection was lost during the commit")

    def land(self) -> None:
        while self.waiting:
            self.waiting.pop()()


@pytest.fixture
def lands_behind_the_first_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[Late], None]:
    def arrange(late: Late) -> None:
        asked = writing.landed

        def landed(*arguments):
            found = asked(*arguments)
            late.land()
            return found

        monkeypatch.setattr(writing, "landed", landed)

    return arrange


@pytest.mark.parametrize("expected", [ANY, 1])
def test_it_lands_between_two_looks(backend, monkeypatch, lands_behind_the_first_look, expected):
    backend.append(an_append(b"first"))
    late = Late(backend, monkeypatch, lost=1)
    lands_behind_the_first_look(late)
    receipt = backend.append(an_append(b"second", expected=expected))
    assert (receipt.last_seq, receipt.duplicate) == (2, False)
    assert held(backend) == [b"first", b"second"]


def test_a_group_lands_when_its_appends_go_one_by_one(backend, monkeypatch):
    for shard in ("run-1", "run-2"):
        backend.append(an_append(b"first", shard))
    late = Late(backend, monkeypatch, lost=writing.TRIES - 1)
    commit = late._commit

    def raced(going):  # the group's last try meets another writer, and all lands before its appends are written anew
        late._commit = commit
        raise writing.RacedError

    late._commit = raced
    looked = writing.look

    def look(*arguments):
        found = looked(*arguments)
        if late._commit is commit:
            waiting, late.waiting = late.waiting[:1], []
            for lands in waiting:
                lands()
        return found

    monkeypatch.setattr(writing, "look", look)
    outcomes = backend.append_group([an_append(b"second", "run-1"), an_append(b"second", "run-2")])
    assert [outcome.last_seq for outcome in outcomes if isinstance(outcome, Receipt)] == [2, 2]
    assert held(backend, "run-1") == held(backend, "run-2") == [b"first", b"second"]


def test_who_loses_every_answer_is_told(backend, monkeypatch):
    Late(backend, monkeypatch, lost=20)
    with pytest.raises(UnavailableError):
        backend.append(an_append(b"x"))


@pytest.mark.parametrize("landed", [True, False])
def test_a_gate_is_set_whether_its_answer_was_lost(backend, monkeypatch, landed):
    once, lost = Database._once, 1

    def lose(self, deed, work, mode):
        nonlocal lost
        answer = once(self, deed, work, mode) if landed or not lost else None
        if lost:
            lost -= 1
            raise OutcomeUnknownError(deed)
        return answer

    monkeypatch.setattr(Database, "_once", lose)
    moved = Gate(GateState.MOVED, "to another place")
    assert backend.set_gate(moved, expected=OPEN_GATE)
    assert backend.gate() == moved
    assert not backend.set_gate(Gate(GateState.MOVED, "elsewhere"), expected=OPEN_GATE)
