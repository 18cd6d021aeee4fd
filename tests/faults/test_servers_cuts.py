"""A connection to a database server that is cut at every turn of the talk (P1, P2, P3, P5): before the server hears a
statement, after it has carried it out and before the answer arrives, or late, when the client has tried again already.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from caller import told
from served import KINDS, PATIENCE_S, Served
from story import STORY, Known, asset, check, check_end, line, tell, text_of
from test_servers_holes import begun, sound
from test_servers_restart import follow, writing
from wire import CUTS, LATE_S, Cut, Wire

from foldlog.engine.errors import AppendKeyConflict, ConflictError, UnavailableError
from foldlog.engine.events.event import Event
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import NEW
from foldlog.engine.open import open_log

KEY = UUID(int=7)
LIVES = 4
MANY = 60  #: turns that no single call of this module comes to


@pytest.fixture
def wire(served: Served) -> Iterator[Wire]:
    with contextlib.closing(Wire(served.url)) as wire:
        yield wire


def turns_of(wire: Wire, how: Cut, deed: Callable[[int], Any], *, step: int = 1) -> int:
    """Do a deed again and again, cut at its first turn, its second, and so on to its last; how many it has. `step`:
    every how manieth turn, where there are many; each way of cutting begins with another one."""
    for turn in range(1 + CUTS.index(how) % step, MANY, step):
        wire.cut(turn, how)
        deed(turn)
        if wire.waits:
            return turn - 1
    raise AssertionError(f"more than {MANY} turns for one call")


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("known", [False, True], ids=["new-run", "known-run"])
def test_an_append_is_recorded_once(served: Served, wire: Wire, how: Cut, known: bool) -> None:
    """P2, P3: without a key and with one. Where it can still be found out, the caller is told nothing but the receipt;
    else he is told that the answer is unknown, and with his key he can ask again."""
    with open_log(wire.url) as log, open_log(served.url) as judge:

        def with_and_without(turn: int) -> None:
            for key in (None, KEY):
                shard = f"run-{turn}-{bool(key)}" if not known else "run-1"
                if key is not None and known:
                    key = UUID(int=turn)
                text = f"{turn} {key}"
                wire.cut(turn, how)
                try:
                    log.append(shard, [line(text), line(f"{text}'")], key=key)
                except UnavailableError:
                    if key is None:  # whether it landed could have been found out
                        raise
                    assert log.append(shard, [line(text), line(f"{text}'")], key=key).first_seq
                held = [text_of(record) for record in judge.read_shard(shard, limit=10_000).records]
                assert held[-2:] == [text, f"{text}'"]
                assert held.count(text) == 1, f"turn {turn}: recorded {held.count(text)} times"
                if key is not None:
                    with pytest.raises(AppendKeyConflict):
                        log.append(shard, [line("other")], key=key)

        log.append("run-1", [line("first")])
        assert turns_of(wire, how, with_and_without) >= 1
        sound(judge)


@pytest.mark.parametrize("how", CUTS)
def test_a_condition_is_not_broken_by_its_own_success(served: Served, wire: Wire, how: Cut) -> None:
    """P3, P4: an append with `expected` that has landed is not told that the run has moved on, by itself."""
    with open_log(wire.url) as log, open_log(served.url) as judge:

        def conditional(turn: int) -> None:
            shard = f"run-{turn}"
            for expected, text in ((NEW, "a"), (1, "b")):
                wire.cut(turn, how)
                assert log.append(shard, [line(text)], expected=expected).first_seq == (1 if text == "a" else 2)
            assert [text_of(record) for record in judge.read_shard(shard).records] == ["a", "b"]

        assert turns_of(wire, how, conditional) >= 1


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in-a-group"])
def test_an_append_that_lands_while_it_is_looked_for(served: Served, grouped: bool) -> None:
    """P3: the client is cut off while the server is still at it, and the append lands at any turn of the search for it:
    between two questions, it is not taken for another's and recorded again. Without a key, so that nothing helps."""
    with open_log(served.url) as judge:
        judge.append("run-1", [line("first")])
        for turn in range(1, MANY):
            text, late = f"{turn}", []

            def land(text: str = text, late: list[bool] = late) -> None:
                hold.release()
                late.append(True)
                end = time.monotonic() + 1
                while text not in texts_of(judge, "run-1") and time.monotonic() < end:
                    time.sleep(0.005)

            with contextlib.closing(Wire(served.url)) as wire, open_log(wire.url) as log:
                log.append("run-1", [line(f"before {text}")])  # it knows the run, and where it ends
                with served.hold("append", anew=turn > 1) as hold:
                    if grouped:
                        appends = [
                            log.prepare("run-1", [asset(text), asset(f"{text}'")]),
                            log.prepare("run-2", [line(text)]),
                        ]
                        future = begun(log.backend.append_group, appends)  # type: ignore[attr-defined]
                    else:
                        future = begun(log.append, "run-1", [asset(text), asset(f"{text}'")])
                    hold.stopped()
                    wire.at(turn, land)
                    wire.sever()
                    with contextlib.suppress(TimeoutError, UnavailableError):  # the second try waits for the first one
                        future.result(1)
                    wire.rest()
                    hold.release()
                    with contextlib.suppress(UnavailableError):  # where it can find out nothing
                        future.result(PATIENCE_S)
                assert texts_of(judge, "run-1").count(text) <= 1, f"recorded twice: it landed at turn {turn}"
                assert texts_of(judge, "run-1")[-1] == f"{text}'"
            if not late:
                break
        assert turn > 2


def texts_of(log: EventLog, shard: str) -> list[str]:
    return [text_of(record) for record in log.read_shard(shard, limit=10_000).records]


@pytest.mark.parametrize("how", ["before", "after"])
def test_what_cannot_be_found_out_is_told(served: Served, wire: Wire, how: Cut) -> None:
    """P3: the server does not come back: UnavailableError; the caller's own retry, with its key, is recorded once."""
    with open_log(wire.url) as log, open_log(served.url) as judge:
        log.append("run-1", [line("first")])

        def asked_again(turn: int) -> None:
            key = UUID(int=turn)
            wire.refuses = True
            with contextlib.suppress(UnavailableError):
                log.append("run-1", [line(f"{turn}")], key=key)
                assert wire.waits, "it came to an answer without a server"
            wire.refuses = False
            held = [text_of(record) for record in judge.read_shard("run-1").records]
            assert log.append("run-1", [line(f"{turn}")], key=key).duplicate is (f"{turn}" in held)
            held = [text_of(record) for record in judge.read_shard("run-1").records]
            assert held == ["first", *(f"{n}" for n in range(1, turn + 1))]

        assert turns_of(wire, how, asked_again) >= 1


@pytest.mark.parametrize("how", CUTS)
def test_a_group_is_recorded_once(served: Served, wire: Wire, how: Cut) -> None:
    """P2, P3: each append of it, with a key and without; what is refused stays refused."""
    with open_log(wire.url) as log, open_log(served.url) as judge:
        log.append("run-0", [line("first")])

        def grouped(turn: int) -> None:
            one, other = f"run-{turn}-1", f"run-{turn}-2"
            answers = log.backend.append_group(  # type: ignore[attr-defined]
                [
                    log.prepare(other, [line("a")]),
                    log.prepare("run-0", [line("never")], expected=NEW),
                    log.prepare(one, [line("b")], key=KEY),
                    log.prepare(other, [line("c"), line("d")]),
                    log.prepare(one, [line("e")], expected=1),
                ]
            )
            assert isinstance(answers.pop(1), ConflictError)
            assert [(receipt.shard, receipt.first_seq) for receipt in answers] == [
                (other, 1), (one, 1), (other, 2), (one, 2),
            ]  # fmt: skip
            held = [[text_of(record) for record in judge.read_shard(shard).records] for shard in (one, other)]
            assert held == [["b", "e"], ["a", "c", "d"]]

        assert turns_of(wire, how, grouped) >= 1
        sound(judge)


@pytest.mark.parametrize("how", CUTS)
def test_a_writer_records_once(served: Served, wire: Wire, how: Cut) -> None:
    """P2, P3: through a writer, which commits one group while it collects the next."""
    with open_log(wire.url) as log, open_log(served.url) as judge:

        def written(turn: int) -> None:
            with log.writer() as writer:
                futures = [writer.append(f"run-{turn}-{n % 2}", [line(f"{n}")]) for n in range(6)]
                writer.flush()
            assert [future.result().first_seq for future in futures] == [1, 1, 2, 2, 3, 3]
            for n in range(2):
                held = [text_of(record) for record in judge.read_shard(f"run-{turn}-{n}").records]
                assert held == [f"{n}", f"{n + 2}", f"{n + 4}"]

        log.append("run-0", [line("first")])
        assert turns_of(wire, how, written) >= 1
        sound(judge)


def purge(log: EventLog, turn: int) -> None:
    log.append(f"run-{turn}", [line("gone")])
    log.purge(f"run-{turn}", Event(RunDeleted(run_id=f"run-{turn}"), 0))


def sealed(log: EventLog, turn: int) -> None:
    log.append(f"run-{turn}", [line("sealed")], wait="ordered")
    log.seal(f"run-{turn}")


Deed = Callable[[EventLog, int], Any]

WRITING: dict[str, Deed] = {
    "order": lambda log, turn: log.append("run-1", [line(f"{turn}")], key=UUID(int=turn), wait="ordered"),
    "seal": sealed,
    "purge": purge,
}
READING: dict[str, Deed] = {
    "read": lambda log, turn: log.read(),
    "read by type": lambda log, turn: log.read_back(types=["LOG_MESSAGE"]),
    "read the run": lambda log, turn: log.read_shard("run-1"),
    "list": lambda log, turn: (log.shards(), log.head(), log.stats()),
}


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("deed", WRITING)
def test_what_may_be_done_twice_is_done_once(served: Served, wire: Wire, how: Cut, deed: str) -> None:
    """P1, P5: one cut is nothing a caller hears of, and leaves no trace."""
    done_through(wire, served.url, how, WRITING[deed], step=3)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("deed", READING)
def test_readers_notice_nothing(served: Served, wire: Wire, how: Cut, deed: str) -> None:
    """P5: the same of questions."""
    done_through(wire, served.url, how, READING[deed])


def done_through(wire: Wire, url: str, how: Cut, deed: Deed, *, step: int = 1) -> None:
    with open_log(wire.url) as log, open_log(url) as judge:
        for n in range(3):
            log.append("run-1", [line(f"before {n}")])
        assert turns_of(wire, how, lambda turn: deed(log, turn), step=step) >= 1
        records = judge.read(limit=10_000).events
        assert len({(record.shard, record.seq) for record in records}) == len(records)
        assert judge.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


# -- a crowd, cut all the time ---------------------------------------------------------------------------------------


def haunted(served: Served, folder: Path, seed: int, seconds: float) -> None:
    """Five writers, with keys and without, and a reader; one in some twenty turns of theirs is cut. What was
    acknowledged is there, nothing is there twice, and the reader has seen it all, in order."""
    with contextlib.closing(Wire(served.url)) as wire, open_log(served.url) as judge:
        wire.haunt(random.Random(seed), 40)
        reader = begun(follow, wire.url)
        with writing(wire.url, folder, ["write", "write", "write", "scribble", "scribble"]) as children:
            answers = [begun(told, child, timeout=120) for child in children]
            time.sleep(seconds)
        acknowledged = [answer for future in answers for answer in future.result(120)]
        time.sleep(3 * LATE_S)  # what was sent late has come
        wire.rest()
        judge.append("run-end", [line("end")])
        seen = reader.result(60)
        texts = sound(judge)
        assert [text_of(record) for record in seen] == texts
        twice = [(r.shard, r.seq, text_of(r)) for r in seen if texts.count(text_of(r)) > 1]
        assert not twice, f"recorded twice: {twice}"
        held = {(record.shard, record.seq): text_of(record) for record in seen}
        for shard, first_seq, batch in acknowledged:
            assert [held[shard, first_seq + n] for n in range(len(batch))] == batch
        assert wire.cuts > 5 * seconds, "it was too quiet"
        assert len(acknowledged) > wire.cuts


def test_a_crowd_whose_wire_is_cut_all_the_time(served: Served, tmp_path: Path) -> None:
    """P1, P2, P3, P5: for two seconds."""
    haunted(served, tmp_path, 1, 2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 8))
def test_a_crowd_whose_wire_is_cut_for_long(served: Served, tmp_path: Path, seed: int) -> None:
    """P1, P2, P3, P5: for a quarter of a minute each."""
    haunted(served, tmp_path, seed, 15)


# -- a whole life, cut everywhere ------------------------------------------------------------------------------------


@contextlib.contextmanager
def lives(request: pytest.FixtureRequest, kind: str) -> Iterator[Callable[[], Any]]:
    """Makes databases, one for each life."""
    import servers

    server = request.getfixturevalue(f"{kind}_server_url")
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(servers.kind_of(kind).fresh(server))


def told_through(url: str, turn: int, how: Cut) -> int:
    """Tell the story over a wire that is cut at a turn, its opening included; each step again if it must be. How many
    turns it took."""
    notes: list[Any] = []
    with contextlib.closing(Wire(url)) as wire:
        wire.cut(turn, how)
        try:
            log = open_log(wire.url)
        except UnavailableError:
            log = open_log(wire.url)
        with log:
            try:
                tell(log, notes.append)
            except UnavailableError:
                tell(log, notes.append, start=Known(notes).at)
        assert not wire.waits, f"the story was over before turn {turn}"
        turns = wire.turns
    with open_log(url) as log:
        check(log, Known(notes))
        check_end(log)
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    return turns


def length(url: str) -> int:
    with contextlib.closing(Wire(url)) as wire, open_log(wire.url) as log:
        tell(log, lambda note: None)
        return wire.turns


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_life_that_is_cut(request: pytest.FixtureRequest, kind: str, how: Cut) -> None:
    """P1, P2, P3, P5: some lives, each cut at another turn."""
    with lives(request, kind) as database:
        turns = length(database()) * 9 // 10
        assert turns > len(STORY)
        for number in range(LIVES):
            told_through(database(), 1 + number * turns // LIVES, how)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_life_that_is_cut_at_every_turn(request: pytest.FixtureRequest, kind: str, how: Cut, part: int) -> None:
    """P1, P2, P3, P5: the same at each of them."""
    with lives(request, kind) as database:
        for turn in range(1 + part, length(database()) * 9 // 10, 4):
            told_through(database(), turn, how)
