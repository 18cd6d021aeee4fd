"""Bits that flip and files that end too soon, at every byte of a small home (DESIGN 8; P1, P5).

Whatever is damaged, reading gives what was written, or a FoldlogError that names the place; of a WAL, which ends where
its checksums do, it may also give all that was written up to some moment. Never other events, never an error of
SQLite's, never a crash. By default at some thousand places; at every byte under `-m long`.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from story import LAYOUTS, append, group, line, purge, seal, sequence, tell, text_of, url_of
from tape import disks, lay_out, recording

from foldlog.backends.sqlite.repair import diagnose
from foldlog.engine.errors import FoldlogError
from foldlog.engine.log.chain import link
from foldlog.engine.log.log import EventLog, EventRecord, Purged
from foldlog.engine.open import open_log

PLACES = 110  #: in each file, spread evenly; besides the start of each page

STORY = [
    append("run-1", "a", "b"),
    append("run-2", "asset c", "d"),
    append("run-3", "e"),
    append("@queue", "q"),
    sequence,
    seal("run-1"),
    purge("run-2"),
    group(("run-3", "f"), ("@ticks", "t"), ("run-3", "g")),
    sequence,
    append("run-3", "h"),
    append("run-4", "i"),
]


class Read(NamedTuple):
    """All that a home tells: the timeline, and each shard."""

    timeline: list[Any]
    shards: dict[str, list[Any]]


@pytest.fixture(scope="module", params=LAYOUTS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], ...]:
    """The files of a home: as killed, with WALs, and as closed, without."""
    root = tmp_path_factory.mktemp("damage") / "made"
    root.mkdir()
    with recording(root) as tape:
        log = open_log(url_of(root / "home", request.param))
        tell(log, tape.mark, story=STORY)
        tape.mark("end")
        log.close()
    killed: dict[str, bytes] = {}
    for index, disk in disks(tape):
        if index and tape.steps[index - 1].mark == "end":
            killed = disk.after_kill()
    return killed, disk.after_kill()


def read_all(log: EventLog, names: list[str]) -> Read:
    timeline: list[Any] = []
    cursor = None
    while True:
        page = log.read(after=cursor, limit=3)
        timeline += page.records
        cursor = page.cursor
        if page.at_head:
            break
    log.shards()
    shards = {}
    for name in names:
        shards[name] = [record.event for record in log.read_shard(name, limit=100).records]
    return Read(timeline, shards)


def read_each(log: EventLog, names: list[str]) -> tuple[list[Any] | None, dict[str, list[Any] | None]]:
    """The timeline and each shard, None where that is refused."""

    def tried(deed: Callable[[], Any]) -> Any:
        try:
            return deed()
        except FoldlogError:
            return None

    return tried(lambda: read_all(log, []).timeline), {
        name: tried(lambda: [record.event for record in log.read_shard(name, limit=100).records])  # noqa: B023
        for name in names
    }


def brief(timeline: list[Any] | None) -> str:
    """A timeline as one reads it."""
    texts = [f"{r.position}={text_of(r)}" if isinstance(r, EventRecord) else f"-{r.position}" for r in timeline or ()]
    return " ".join(texts)


def honest(truth: list[Any], found: list[Any] | None, wal: str, log: EventLog) -> bool:
    """Whether what was found is the truth, or was refused; of a WAL, the truth up to some moment.

    A damaged page of an index may hide whole rows, which no checksum of a row can tell: then what was found is true,
    and `foldlog doctor --full` says what is wrong.
    """
    if found is None or found == truth or (wal and found == truth[: len(found)]):
        return True
    left = iter(said(truth))
    missing_only = all(text in left for text in said(found))
    if wal == "shard":  # the shard itself must be cut short; on the timeline others come after it
        return missing_only
    try:
        return missing_only and bool(diagnose(log.backend, full=True, link=link))  # type: ignore[arg-type]
    except FoldlogError:
        return missing_only


def said(found: list[Any]) -> list[str]:
    """The events alone, as text, in their order."""
    events = [getattr(item, "event", item) for item in found if not isinstance(item, Purged)]
    return [str(event.fact) for event in events]


def mutations(data: bytes, exhaustive: bool, dice: random.Random, wal: bool = False) -> Iterator[tuple[str, bytes]]:
    """The data with a bit flipped, and cut, at many places."""
    size = len(data)
    # Every byte that says something: what SQLite has not given out is zero, and nobody reads it. A WAL is longer, and
    # has checksums of its own.
    step = 7 if wal else 1
    places = {at for at in range(0, size, step) if data[at] or at % 32 == 0}
    if not exhaustive:
        step = max(1, size // PLACES)
        places = set(range(dice.randrange(step), size, step)) | {
            at for page in range(0, size, 4096) for at in range(page, min(page + 24, size), 3)
        }
    for at in sorted(places):
        yield f"bit flipped at {at}", data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    for at in range(0, size, 48) if exhaustive else sorted(dice.sample(sorted(places), min(len(places), 40))):
        yield f"cut at {at}", data[:at]


def sequenced(files: dict[str, bytes], root: Path, damaged: str) -> dict[str, bytes]:
    """The files once all events have positions, with the WAL that is to be damaged."""
    lay_out(files, root)
    log = open_log(f"sqlite:///{root / 'home'}")
    log.catch_up()
    if not damaged.endswith("-wal"):
        log.close()
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    log.close()
    return files


def try_all(files: dict[str, bytes], damaged: str, folder: Path, *, writing: bool, exhaustive: bool) -> list[str]:
    """What reading says for each mutation of one file; the unforeseen, told."""
    home = lay_out(files, folder / "whole") / "home"
    with open_log(f"sqlite:///{home}") as log:
        names = [shard.name for shard in log.shards()]
        log.catch_up()
        truth = read_all(log, names)
    assert len(truth.timeline) >= 10
    if not writing:  # what has no position stays without one: damage the files in which all have theirs
        files = sequenced(files, folder / "whole", damaged)
    wrong = []
    home = lay_out(files, folder / "damaged") / "home"
    target = folder / "damaged" / damaged
    wal = (
        ""
        if not damaged.endswith("-wal")
        else "prefix"
        if damaged.endswith(("order.db-wal", "log.db-wal"))
        else "shard"
    )
    for what, data in mutations(files[damaged], exhaustive, random.Random(damaged), bool(wal)):
        if writing:
            shutil.rmtree(home)
            lay_out(files, folder / "damaged")
        target.write_bytes(data)
        try:
            with open_log(f"sqlite:///{home}", read_only=not writing) as log:
                timeline, shards = read_each(log, names)
                if not honest(truth.timeline, timeline, wal, log):
                    wrong.append(f"{damaged} {what}: {brief(timeline)} for {brief(truth.timeline)}")
                for name, found in shards.items():
                    if not honest(truth.shards[name], found, wal and "prefix", log):
                        wrong.append(f"{damaged} {what}: {name} is {found}")
                if writing:
                    for name in ("run-3", "@queue"):
                        log.append(name, [line("new")])
                    log.catch_up()
        except FoldlogError:
            continue
        except Exception as error:
            wrong.append(f"{damaged} {what}: {type(error).__module__}.{type(error).__name__}: {error}")
    return wrong


def run(files: dict[str, bytes], folder: Path, kind: str, *, writing: bool, exhaustive: bool) -> None:
    wrong = []
    for path in sorted(files):
        name = Path(path).name
        kind_here = "wal" if name.endswith("-wal") else "doorbell" if name == "doorbell" else "db"
        if kind_here == kind and (name.endswith((".db", "-wal")) or kind == "doorbell"):
            wrong += try_all(files, path, folder, writing=writing, exhaustive=exhaustive)
    assert not wrong, f"{len(wrong)} of them:\n" + "\n".join(text[:300] for text in wrong[:25])


@pytest.mark.parametrize("kind", ["db", "wal", "doorbell"])
@pytest.mark.parametrize("writing", [False, True], ids=["reading", "writing"])
def test_damage_is_told(made: tuple[dict[str, bytes], ...], scratch: Path, kind: str, writing: bool) -> None:
    """P1, P5: what is read is what was written, or an error says where the damage is."""
    killed, closed = made
    run(killed if kind == "wal" else closed, scratch, kind, writing=writing or kind == "doorbell", exhaustive=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["db", "wal", "doorbell"])
@pytest.mark.parametrize("writing", [False, True], ids=["reading", "writing"])
def test_damage_is_told_everywhere(made: tuple[dict[str, bytes], ...], scratch: Path, kind: str, writing: bool) -> None:
    """P1, P5: the same at each byte."""
    killed, closed = made
    run(killed if kind == "wal" else closed, scratch, kind, writing=writing or kind == "doorbell", exhaustive=True)
