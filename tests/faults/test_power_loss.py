"""Power loss at every point, by replay of recorded writes, syncs and names (P1).

kill -9 cannot tell FULL from NORMAL: what was written is there, synced or not. Here the story's tape is played up to
each step, and then only what a sync has made durable is sure to be left: the rest may be gone, there, or torn by
sectors, and a name is there for sure only once its folder was synced. What was acknowledged with `durability=full`
must be there in each case, and the story must come to its end.
"""

from __future__ import annotations

import random
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from story import LAYOUTS, Known, append, reopen, sequence, tell, text_of, url_of
from tape import Tape, disks, lay_out, recording, telling
from test_crash_points import examine, told

from foldlog.engine.errors import HistoryDiverged
from foldlog.engine.open import open_log

PARTS = 3


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tape]:
    return {layout: told(tmp_path_factory.mktemp("tape"), layout) for layout in LAYOUTS}


def rebooted(files: dict[str, bytes]) -> dict[str, bytes]:
    """The doorbell as a machine finds it that has booted since: the boot it names is another."""
    return {
        path: data[:8] + bytes(16) + data[24:] if path.endswith("doorbell") and len(data) > 24 else data
        for path, data in files.items()
    }


def examine_all(tape: Tape, folder: Path, part: int, parts: int, seeds: int) -> None:
    marks = []
    for index, disk in disks(tape):
        if index and tape.steps[index - 1].deed == "mark":
            marks.append(tape.steps[index - 1].mark)
            continue
        if index % parts != part or not (seeds > 1 or telling(tape, index)):
            continue
        for seed in range(-1, seeds):  # -1: all that was not synced is lost
            dice = random.Random(f"{index} {seed}") if seed >= 0 else None
            home = lay_out(rebooted(disk.after_power_loss(dice)), folder / "left") / "home"
            try:
                examine(home, Known(marks))
            except BaseException as error:
                step = tape.steps[index - 1] if index else None
                error.add_note(f"power lost after step {index}, seed {seed}: {step and step._replace(data=b'')}; "
                               f"{marks[-1:]}")  # fmt: skip
                raise


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_power_lost_after_any_step(tapes: dict[str, Tape], scratch: Path, layout: str, part: int) -> None:
    """P1: with the default durability, nothing acknowledged is lost, whatever of the rest comes back."""
    examine_all(tapes[layout], scratch, part, PARTS, 1)


@pytest.mark.long
@pytest.mark.parametrize("part", range(12))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_power_lost_many_ways(tapes: dict[str, Tape], scratch: Path, layout: str, part: int) -> None:
    """P1: the same, each step with many random disks."""
    examine_all(tapes[layout], scratch, part, 12, 12)


def losses(tape: Tape, folder: Path) -> int:
    """On how many of the disks a power loss leaves an acknowledged append is missing, and the log still opens."""
    marks, found = [], 0
    for index, disk in disks(tape):
        if index and tape.steps[index - 1].deed == "mark":
            marks.append(tape.steps[index - 1].mark)
            home = lay_out(rebooted(disk.after_power_loss(None)), folder / "left") / "home"
            wanted = {text for note in marks if note[0] == "acknowledged" for text in note[3]}
            log = reopen(home)
            held = {text_of(record) for record in log.read().events}
            log.close()
            found += not wanted <= held
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("durability", "loses"), [("full", False), ("process", True)])
def test_control_less_durability_loses(scratch: Path, layout: str, durability: str, loses: bool) -> None:
    """The harness can fail: with `durability=process` it finds acknowledged appends lost, with `full` none.

    What was lost was acknowledged and not yet on the timeline; a position is never taken back.
    """
    root = scratch / "told"
    root.mkdir()
    story = [append("run-1", "a"), append("run-1", "b"), append("run-2", "c"), append("run-1", "d")]
    with recording(root) as tape:
        log = open_log(url_of(root / "home", layout, durability))
        tell(log, tape.mark, story=story)
        log.close()
    assert (losses(tape, scratch) > 0) is loses


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_log_that_lost_its_end_goes_on(scratch: Path, layout: str) -> None:
    """P1, P2, P11: with `durability=process`, a power loss takes the last appends and nothing else; what has a position
    keeps it, or its cursor is refused, and the log can be read and written."""
    root = scratch / "told"
    root.mkdir()
    story = [append("run-1", "a"), append("run-2", "b"), sequence, append("run-1", "c"), append("run-1", "d"), sequence]
    with recording(root) as tape:
        log = open_log(url_of(root / "home", layout, "process"))
        tell(log, tape.mark, story=story)
        log.close()
    marks = []
    for index, disk in disks(tape):
        if index and tape.steps[index - 1].deed == "mark":
            marks.append(tape.steps[index - 1].mark)
        for seed in (None, 1) if telling(tape, index) else ():
            dice = random.Random(f"{index} {seed}") if seed else None
            home = lay_out(rebooted(disk.after_power_loss(dice)), scratch / "left") / "home"
            log = reopen(home)
            for cursor in Known(marks).cursors:
                with suppress(HistoryDiverged) if layout == "consolidated" else nullcontext():
                    log.read(after=cursor)
            tell(log, lambda note: None, story=story)
            assert sorted(text_of(record) for record in log.read().events) == ["a", "b", "c", "d"]
            log.close()
