"""A process with a log of its own, to be killed or stopped; answers with a line of JSON for each deed.

caller.py append SHARD TEXT    one append
caller.py held SHARD TEXT      one append that `Served.hold("append")` holds
caller.py place                a sequencer: the position it came to
caller.py write NAME           appends to shards of its own and to one of all until the file NAME.stop appears
caller.py scribble NAME        the same without keys: what it was not told of may have been recorded, or not

The URL comes in FOLDLOG_CALLER_URL, for a command line can be read by everybody. Says "ready" when the log is open.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from children import start
from story import asset, key_of, line

from foldlog.engine.errors import FoldlogError, UnavailableError
from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

URL = "FOLDLOG_CALLER_URL"
GIVE_UP_S = 60  #: a server that is away for longer is an error


def tell(mark: Any) -> None:
    os.write(1, json.dumps(mark).encode() + b"\n")


def insist(deed: Callable[[], Any]) -> Any:
    """Again and again while the server is away, as the remedy of UnavailableError says."""
    end = time.monotonic() + GIVE_UP_S
    while True:
        try:
            return deed()
        except UnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def append(log: EventLog, shard: str, text: str) -> None:
    tell(log.append(shard, [line(text)]).first_seq)


def held(log: EventLog, shard: str, text: str) -> None:
    tell(log.append(shard, [asset(text)]).first_seq)


def place(log: EventLog) -> None:
    tell(log.catch_up().position)


def write(log: EventLog, name: str) -> None:
    stop = Path(f"{name}.stop")
    own = Path(name).name
    for number in count():
        if stop.exists():
            break
        shard = ("run-all", f"run-{own}", f"run-{own}-{number // 10}")[number % 3]
        texts = [f"{own} {number} {part}" for part in range(1 + number % 3)]
        events = [line(text) for text in texts]
        receipt = insist(partial(log.append, shard, events, key=key_of(shard, texts)))
        tell([shard, receipt.first_seq, texts])
        if number % 10 == 9:
            insist(log.catch_up)


def scribble(log: EventLog, name: str) -> None:
    stop = Path(f"{name}.stop")
    own = Path(name).name
    for number in count():
        if stop.exists():
            break
        shard = ("run-all", f"run-{own}", f"run-{own}-{number // 10}")[number % 3]
        texts = [f"{own} {number} {part}" for part in range(1 + number % 3)]
        with suppress(UnavailableError):
            receipt = log.append(shard, [line(text) for text in texts])
            tell([shard, receipt.first_seq, texts])


def call(url: str, deed: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start one, for the tests beside it; it has opened the log when this returns."""
    child = start(deed, *arguments, script=Path(__file__), environment={URL: url})
    assert child.stdout is not None
    assert json.loads(child.stdout.readline() or "null") == "ready"
    return child


def told(child: subprocess.Popen[bytes], timeout: float = 60) -> list[Any]:
    """All it still has to say, once it has ended well."""
    said, _ = child.communicate(timeout=timeout)
    assert child.returncode == 0, f"it ended with {child.returncode}: {said.decode()}"
    return [json.loads(answer) for answer in said.splitlines()]


def main(deed: str, *arguments: str) -> None:
    with insist(lambda: open_log(os.environ[URL])) as log:
        tell("ready")
        try:
            {"append": append, "held": held, "place": place, "write": write, "scribble": scribble}[deed](
                log, *arguments
            )
        except FoldlogError as error:
            tell([type(error).__name__, str(error)])


if __name__ == "__main__":
    main(*sys.argv[1:])
