"""Processes that race: started by the tests beside it, wait for a file to appear, and answer with one JSON document.

racer.py count HOME LAYOUT GATE NAME TIMES     compare and set: appends with expected=, TIMES times
racer.py any HOME LAYOUT GATE NAME TIMES       appends wherever the shard ends
racer.py create HOME LAYOUT GATE NAME TIMES    opens a home that is not there yet, and appends once
racer.py mix HOME LAYOUT GATE NAME TIMES       appends to runs of its own, seals them, sequences, appends late
racer.py place HOME LAYOUT GATE NAME TIMES     a sequencer that stops itself between looking and placing

Where LAYOUT is `server`, the URL comes in FOLDLOG_CALLER_URL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from caller import URL
from story import line, url_of

from foldlog.engine.errors import ConflictError, FoldlogError
from foldlog.engine.events.event import Event
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.open import open_log


def wait_for(gate: str) -> None:
    print("ready", flush=True)
    while not os.path.exists(gate):
        time.sleep(0.001)


def count(url: str, gate: str, name: str, times: int) -> Any:
    """A counter in a shard: each append is a step from the seq it has read."""
    log = open_log(url)
    wait_for(gate)
    won, conflicts = [], 0
    while len(won) < times:
        end = log.read_shard("@counter", newest_first=True, limit=1).records
        seq = end[0].seq if end else 0
        try:
            won.append(log.append("@counter", [line(f"{name} {seq + 1}")], expected=seq).first_seq)
        except ConflictError:
            conflicts += 1
    return won, conflicts


def append_any(url: str, gate: str, name: str, times: int) -> Any:
    log = open_log(url)
    wait_for(gate)
    return [log.append("run-1", [line(f"{name} {n}")] * (1 + n % 2)).first_seq for n in range(times)]


def create(url: str, gate: str, name: str, times: int) -> Any:
    wait_for(gate)
    try:
        log = open_log(url)
    except FoldlogError as error:
        return [type(error).__name__, str(error)]
    log.append("run-1", [line(name)])
    log.append(f"run-{name}", [line(name)], wait="ordered")
    return [str(log.head().log_id), len(log.read().events)]


def mix(url: str, gate: str, name: str, times: int) -> Any:
    log = open_log(url)
    wait_for(gate)
    acknowledged = []
    for n in range(times):
        for shard in (f"run-{n % 5}", f"own-{name}-{n}"):
            receipt = log.append(shard, [line(f"{name} {n} {shard}")])
            acknowledged.append([shard, receipt.first_seq, f"{name} {n} {shard}"])
        log.seal(f"own-{name}-{n}")
        log.seal(f"run-{(n + 1) % 5}")
        if n % 3 == 0:
            receipt = log.append(f"own-{name}-{n}", [line(f"{name} {n} late")])
            acknowledged.append([f"own-{name}-{n}", receipt.first_seq, f"{name} {n} late"])
    return acknowledged


def place(url: str, gate: str, name: str, times: int) -> Any:
    log = open_log(url)
    backend: Any = log.backend
    really = backend.order.place

    def stopped(*arguments: Any, **options: Any) -> Any:
        backend.order.place = really
        print("stopping", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        return really(*arguments, **options)

    backend.order.place = stopped
    wait_for(gate)
    return log.catch_up().position


def seal_one(url: str, gate: str, name: str, times: int) -> Any:
    with open_log(url) as log:
        return log.seal("run-1")


def purge_one(url: str, gate: str, name: str, times: int) -> Any:
    with open_log(url) as log:
        return log.purge("run-1", Event(RunDeleted(run_id="run-1"), 0)).first_seq


if __name__ == "__main__":
    deed, home, layout, gate, name, times = sys.argv[1:]
    deeds = {"count": count, "any": append_any, "create": create, "mix": mix, "place": place}
    deeds |= {"seal": seal_one, "purge": purge_one}
    url = os.environ[URL] if layout == "server" else url_of(Path(home), layout)
    print(json.dumps(deeds[deed](url, gate, name, int(times))), flush=True)
