"""One process of a storm: opens a log by several threads at once, each with a handle of its own, and appends to it.

stormer.py GATE NUMBER THREADS    the URL comes in FOLDLOG_CALLER_URL; begins when the file GATE appears
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from caller import URL, tell
from story import line

from foldlog.backends import check_url
from foldlog.engine.open import open_log


def client(gate: str, barrier: Barrier, name: str) -> list[object]:
    barrier.wait(60)
    while not os.path.exists(gate):
        time.sleep(0.001)
    try:
        with open_log(os.environ[URL]) as log:
            receipt = log.append("run-all", [line(name)])
            log.append(f"run-{name}", [line(f"{name}'")], wait="ordered")
            return ["well", str(log.head().log_id), receipt.first_seq]
    except Exception as error:
        return [type(error).__name__, str(error), name]


def main(gate: str, number: str, threads: str) -> None:
    check_url(os.environ[URL])  # loads the backend and its driver before the gate opens
    barrier = Barrier(int(threads) + 1)
    with ThreadPoolExecutor(int(threads)) as pool:
        clients = [pool.submit(client, gate, barrier, f"{number}-{n}") for n in range(int(threads))]
        barrier.wait(60)
        tell("ready")
        for answer in clients:
            tell(answer.result())


if __name__ == "__main__":
    main(*sys.argv[1:])
