"""A copy that is killed, or loses its power, at every step it takes at the files of its destination (P10).

The tape of a copy in small pages is played up to each step. What is left is a beginning of the log or nothing; it takes
no appends; and the same copy, asked for again, comes to its end, with nothing left to repair. The same for the fence
that a source gets. Full disks: at the end.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moves import everything, fill
from story import LAYOUTS, url_of
from tape import Tape, disks, lay_out, recording, telling
from test_full_disk import small_disk  # noqa: F401
from test_power_loss import rebooted

from foldlog import Event, EventLog, events, moving, open_log
from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import LogMoved, UnavailableError
from foldlog.engine.log.chain import link
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState
from foldlog.migrations.moving import transfer
from foldlog.serdes import Codec

LINE = [Event.now(events.LogMessage(text="x"))]
MOVED = Gate(GateState.MOVED, "elsewhere")
SOME = 7  #: of so many steps one is looked at; the long tests look at all


@pytest.fixture(scope="module", autouse=True)
def small_pages() -> Iterator[None]:
    before = transfer.EVENTS
    transfer.EVENTS = 25
    yield
    transfer.EVENTS = before


@pytest.fixture(scope="module")
def source() -> EventLog:
    """A log with runs that are sealed, deleted, and go on and on; every page touches some of each."""
    log = EventLog(MemoryBackend(), Codec())
    fill(log, seed=12, steps=90)
    assert 200 < log.catch_up().position < 800
    return log


@pytest.fixture(scope="module")
def tapes(source: EventLog, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tape]:
    return {layout: copied(source, tmp_path_factory.mktemp("tape"), layout) for layout in LAYOUTS}


def copied(source: EventLog, folder: Path, layout: str) -> Tape:
    """The tape of a whole move."""
    root = folder / "told"
    root.mkdir()
    with recording(root) as tape:
        moving.copy_log(source, url_of(root / "home", layout), cut_over=True)
    source.backend._gate = OPEN_GATE  # type: ignore[attr-defined]
    return tape


def examine(source: EventLog, home: Path, layout: str) -> None:
    """What is left is a beginning; the same copy completes it."""
    url = url_of(home, layout)
    with open_log(url) as log:
        gate = log.backend.gate()  # type: ignore[attr-defined]
        position = log.catch_up().position
        if position or gate != OPEN_GATE:
            placed = source.backend.placed(after=0, limit=10_000)
            assert log.backend.placed(after=0, limit=10_000) == [p for p in placed if p.last_position <= position]
            assert log.backend.pending(limit=9) == []
        if gate == OPEN_GATE and position:
            assert position == source.head().position, "it was opened before it was whole"
            return
        if gate != OPEN_GATE:
            with pytest.raises(LogMoved):
                log.append("run-0", LINE)
    try:
        moving.copy_log(source, url, cut_over=True)
    finally:
        source.backend._gate = OPEN_GATE  # type: ignore[attr-defined]
    with open_log(url) as log:
        assert everything(log) == everything(source)
        from foldlog.backends.sqlite.repair import diagnose

        assert diagnose(log.backend, full=True, link=link) == []  # type: ignore[arg-type]
        log.append("run-new", LINE, wait="ordered")


def examine_all(
    source: EventLog, tape: Tape, folder: Path, layout: str, part: int, *, power: bool, parts: int = SOME
) -> None:
    looked_at = 0
    for index, disk in disks(tape):
        if not telling(tape, index):
            continue
        looked_at += 1
        if looked_at % parts != part:
            continue
        for seed in (-1, 0) if power else (-1,):
            dice = random.Random(f"{index} {seed}") if seed >= 0 else None
            files = rebooted(disk.after_power_loss(dice)) if power else disk.after_kill()
            home = lay_out(files, folder / "left") / "home"
            try:
                examine(source, home, layout)
            except BaseException as error:
                step = tape.steps[index - 1] if index else None
                error.add_note(f"cut short after step {index}, seed {seed}: {step and step._replace(data=b'')}")
                raise
    assert looked_at > 60


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cut_short_after_many_a_step(
    source: EventLog, tapes: dict[str, Tape], scratch: Path, layout: str, power: bool
) -> None:
    """P1, P10: resumable after a kill at any point; and the timeline never names events that are gone from their files,
    though files are synced by the batch."""
    examine_all(source, tapes[layout], scratch, layout, 0, power=power)


@pytest.mark.long
@pytest.mark.parametrize("part", range(1, SOME))
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cut_short_after_every_step(
    source: EventLog, tapes: dict[str, Tape], scratch: Path, layout: str, power: bool, part: int
) -> None:
    """P1, P10: the same, after all the other steps."""
    examine_all(source, tapes[layout], scratch, layout, part, power=power)


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fence_that_was_cut_short(scratch: Path, layout: str, power: bool) -> None:
    """P10: before it is said to be up, appends are taken or refused, and nothing is lost; once it is, none is taken, in
    whatever shard; and the same call puts it up."""
    root = scratch / "told"
    root.mkdir()
    shards = ("run-1", "run-2", "@queue", "run-sealed")
    with recording(root) as tape:
        with open_log(url_of(root / "home", layout)) as log:
            for shard in shards:
                log.append(shard, LINE, wait="ordered")
            log.seal("run-sealed")
            log.append("run-pending", LINE)
            tape.mark("begins")
            assert log.backend.set_gate(MOVED, expected=OPEN_GATE)  # type: ignore[attr-defined]
            tape.mark("is up")
    marks: list[Any] = []
    looked_at = 0
    for index, disk in disks(tape):
        if index and tape.steps[index - 1].deed == "mark":
            marks.append(tape.steps[index - 1].mark)
        if not marks or not telling(tape, index):
            continue
        looked_at += 1
        files = rebooted(disk.after_power_loss(random.Random(index))) if power else disk.after_kill()
        home = lay_out(files, scratch / "left") / "home"
        with open_log(url_of(home, layout)) as log:
            assert len(log.read().events) == 5
            taken = 0
            for shard in (*shards, "run-pending", "run-new"):
                try:
                    log.append(shard, LINE)
                    taken += 1
                except LogMoved:
                    assert marks == ["begins"] or log.backend.gate() == MOVED  # type: ignore[attr-defined]
            assert not taken or marks == ["begins"]
            if marks == ["begins"]:
                log.backend.set_gate(MOVED, expected=log.backend.gate())  # type: ignore[attr-defined]
            for shard in (*shards, "run-pending", "run-new", "run-newer"):
                with pytest.raises(LogMoved):
                    log.append(shard, LINE)
            assert len(log.read().events) == 5 + taken
            assert log.backend.set_gate(OPEN_GATE, expected=MOVED)  # type: ignore[attr-defined]
            for shard in (*shards, "run-pending", "run-new"):
                log.append(shard, LINE)
            assert len(log.read().events) == 11 + taken
    assert looked_at > 5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_destination_whose_disk_is_full(source: EventLog, small_disk: Path, layout: str) -> None:  # noqa: F811
    """P10: a clear error, the source is not fenced, and the same copy goes on when there is room."""
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_500_000))
    url = url_of(small_disk / "home", layout)
    with pytest.raises(UnavailableError):
        moving.copy_log(source, url, cut_over=True)
    assert source.backend.gate() == OPEN_GATE  # type: ignore[attr-defined]
    filler.unlink()
    try:
        assert moving.copy_log(source, url, cut_over=True).state == "moved"
    finally:
        source.backend._gate = OPEN_GATE  # type: ignore[attr-defined]
    with open_log(url) as log:
        assert everything(log) == everything(source)
    assert not list(small_disk.rglob("*.tmp"))


def test_two_copies_at_once(source: EventLog, tmp_path: Path) -> None:
    """P10: of one log to one place: they go on behind each other, and the log is there once."""
    url = f"sqlite:///{tmp_path}/new"
    stop = threading.Event()
    stop.set()
    failed: list[BaseException] = []

    def guarded(deed: Callable[[], Any]) -> None:
        try:
            deed()
        except BaseException as error:
            failed.append(error)

    copies = [
        threading.Thread(target=guarded, args=(lambda: moving.copy_log(source, url, follow=True, stop=stop),))
        for _ in range(3)
    ]
    moving.copy_log(source, url, follow=True, stop=stop)
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert failed == []
    with open_log(url) as log:
        assert log.backend.placed(after=0, limit=10_000) == source.backend.placed(after=0, limit=10_000)
