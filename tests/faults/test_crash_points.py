"""kill -9 at every point: after each single thing the process did to its files (P1, P2, P3, P5).

A story of appends, groups, passes, seals and purges is told once, on tape. For each step of the tape the folder is laid
out as kill -9 would have left it there, and opened: what was acknowledged by then is there, once, on a dense timeline;
told from the step that was cut short on, the story comes to its end; and nothing is left to repair.
The same with processes that are really killed, beside one that stays: test_kill_processes.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from story import END, LAYOUTS, Known, check, check_end, reopen, tell, url_of
from tape import Tape, disks, lay_out, recording, telling

from foldlog.engine.log.chain import link
from foldlog.engine.open import open_log

PARTS = 3


def told(folder: Path, layout: str, durability: str = "full") -> Tape:
    """The tape of the whole story."""
    root = folder / "told"
    root.mkdir()
    with recording(root) as tape:
        log = open_log(url_of(root / "home", layout, durability))
        tell(log, tape.mark)
        log.close()
    return tape


def examine(home: Path, known: Known) -> None:
    """Open what a crash has left, check it, tell the rest, check again."""
    from foldlog.backends.sqlite.repair import diagnose

    log = reopen(home)
    try:
        check(log, known)
        tell(log, lambda note: None, start=known.at)
        check_end(log)
        assert diagnose(log.backend, full=True, link=link) == []
    finally:
        log.close()


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tape]:
    return {layout: told(tmp_path_factory.mktemp("tape"), layout) for layout in LAYOUTS}


def test_the_tape_misses_nothing(tmp_path: Path) -> None:
    """The method: what the tape says is in the folder is there, byte for byte, and nothing else is."""
    tape = told(tmp_path, "sharded")
    disk = [disk for _, disk in disks(tape)][-1]
    real = {
        str(path.relative_to(tape.root)): path.read_bytes() for path in Path(tape.root).rglob("*") if path.is_file()
    }
    assert disk.after_kill() == real
    deeds = [step.deed for step in tape.steps]
    assert {"create", "write", "truncate", "sync", "syncdir", "link", "unlink", "mkdir", "content"} <= set(deeds)
    assert deeds.count("write") > 100
    assert END


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_killed_after_any_step(tapes: dict[str, Tape], scratch: Path, layout: str, part: int) -> None:
    """P1, P2, P3, P5: wherever it is cut, the story can be told to its end."""
    cut_everywhere(tapes[layout], scratch, part, telling)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_killed_after_each_write(tapes: dict[str, Tape], scratch: Path, layout: str, part: int) -> None:
    """P1, P2, P3, P5: the same, also between two pages of one transaction."""
    cut_everywhere(tapes[layout], scratch, part, lambda tape, index: True)


def cut_everywhere(tape: Tape, folder: Path, part: int, wanted: Callable[[Tape, int], bool]) -> None:
    marks = []
    for index, disk in disks(tape):
        if index and tape.steps[index - 1].deed == "mark":
            marks.append(tape.steps[index - 1].mark)
            continue
        if index % PARTS == part and wanted(tape, index):
            home = lay_out(disk.after_kill(), folder / "left") / "home"
            try:
                examine(home, Known(marks))
            except BaseException as error:
                step = tape.steps[index - 1] if index else None
                error.add_note(f"killed after step {index}: {step and step._replace(data=b'')}; {marks[-1:]}")
                raise
