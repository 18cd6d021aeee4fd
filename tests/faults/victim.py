"""A process that is killed: started by the tests beside it, tells on stdout what it knows, a line of JSON each.

victim.py story HOME LAYOUT STEP   tells the story on tape, and kills itself before the tape's STEP
victim.py loop HOME LAYOUT NAME    appends and sequences until it is killed
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

from story import key_of, line, tell, url_of
from tape import recording

from foldlog.engine.open import open_log


def note(mark: Any) -> None:
    os.write(1, json.dumps(mark).encode() + b"\n")


def story(home: Path, layout: str, step: str) -> None:
    def before(index: int) -> None:
        if index == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    with recording(home.parent, before):
        log = open_log(url_of(home, layout))
        tell(log, note)
        log.close()


def loop(home: Path, layout: str, name: str) -> None:
    log = open_log(url_of(home, layout))
    writer = log.writer()
    for number in count():
        for shard in ("run-all", f"run-{name}", "@queue"):
            texts = [f"{name} {number} {part}" for part in range(1 + number % 3)]
            receipt = log.append(shard, [line(text) for text in texts], key=key_of(shard, texts))
            note([shard, receipt.first_seq, texts])
        if number % 5 == 0:
            log.catch_up()
        texts = [f"{name} {number} grouped {part}" for part in range(5)]
        futures = [writer.append("run-all", [line(text)], key=key_of("run-all", [text])) for text in texts]
        writer.flush()
        for text, future in zip(texts, futures, strict=True):
            note(["run-all", future.result().first_seq, [text]])


def hold(home: Path, layout: str) -> None:
    log = open_log(url_of(home, layout))
    log.append("run-1", [line("e")], wait="ordered")
    log.append("run-1", [line("f")])
    note("ready")
    time.sleep(600)


if __name__ == "__main__":
    {"story": story, "loop": loop, "hold": hold}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
