"""A process that lives on little: started by the tests beside it, answers on stdout with one document of JSON.

lodger.py fill HOME LAYOUT     appends under a limit on the size of files until that is refused, then without it
lodger.py read HOME [NAME]     as a user without rights: reads the log, tries to write NAME, tells what happened
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from story import key_of, line, text_of, url_of

from foldlog.engine.errors import FoldlogError
from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

NOBODY = 65534
BIG = "x" * 20_000


def fill(home: Path, layout: str) -> dict[str, Any]:
    log = open_log(url_of(home, layout))
    log.append("run-1", [line("first")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # as ENOSPC, but for one process and without a mount
    acknowledged, refused = fill_up(log)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return {"refused": refused, "acknowledged": acknowledged, "held": go_on(log, acknowledged)}


def fill_up(log: EventLog) -> tuple[int, str]:
    """Append until the disk is full: how many were acknowledged, and what was said then."""
    number = 0
    while True:
        number += 1
        shard = f"run-{number % 3}"
        try:
            log.append(shard, [line(f"{number}{BIG}")], key=key_of(shard, [str(number)]))
        except FoldlogError as error:
            return number - 1, f"{type(error).__name__}: {error}"


def go_on(log: EventLog, acknowledged: int) -> list[int]:
    """With room again: the append that was refused is asked again; the numbers that are there, in order."""
    for number in (acknowledged + 1, acknowledged + 2):
        shard = f"run-{number % 3}"
        log.append(shard, [line(f"{number}{BIG}")], key=key_of(shard, [str(number)]))
    texts = [text_of(record) for record in log.read(limit=10_000).events]
    return sorted(int(text.removesuffix(BIG)) for text in texts if text.endswith(BIG))


def read(home: Path, name: str = "") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:  # load all modules first: they may lie where nobody may look
        with open_log(url_of(Path(folder) / "home", "sharded")) as log:
            log.append("run-1", [line("x")], wait="ordered")
            assert log.read().events
            assert log.seal("run-1")
        with open_log(url_of(Path(folder) / "home", "sharded"), read_only=True) as log:
            assert log.read().events
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    answer: dict[str, Any] = {"read": attempt(lambda: texts_of(home)), "shards": attempt(lambda: shards_of(home))}
    if name:
        answer["write"] = attempt(lambda: write(home, name))
    return answer


def attempt(deed: Any) -> Any:
    try:
        return deed()
    except FoldlogError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"UNFORESEEN {type(error).__name__}: {error}"


def texts_of(home: Path) -> list[str]:
    with open_log(f"sqlite:///{home}", read_only=True) as log:
        return [text_of(record) for record in log.read().events]


def shards_of(home: Path) -> dict[str, list[str]]:
    with open_log(f"sqlite:///{home}", read_only=True) as log:
        return {shard.name: [text_of(r) for r in log.read_shard(shard.name).records] for shard in log.shards()}


def write(home: Path, name: str) -> str:
    with open_log(f"sqlite:///{home}") as log:
        log.append(name, [line("new")])
    return "written"


if __name__ == "__main__":
    deeds = {"fill": fill, "read": read}
    print(json.dumps(deeds[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
