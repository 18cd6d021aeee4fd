"""A worker that is killed, stopped or interrupted: started by the tests beside it, tells on stdout what it knows.

executor.py kill URL ROOT MOMENT        kills itself at a moment of the workload; "" for never
executor.py append URL ROOT WHEN N      kills itself before or after its N-th append
executor.py tape HOME ROOT STEP         kills itself before a step of the tape of all that is done below ROOT
executor.py assets URL ROOT             makes assets a, b and c of a partition, and kills itself in b
executor.py wait URL ROOT MOMENT        at a moment, says so and waits until there is a file ROOT/go
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tape import recording
from workload import RUN, asset_job, job_of, nothing

from foldlog import Instance, execute_job
from foldlog.engine.execution.interruption import RunInterrupted, ending_on_sigterm


def note(mark: Any) -> None:
    os.write(1, json.dumps(mark).encode() + b"\n")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work(url: str, root: Path, at: Any) -> None:
    with Instance.from_url(url, root=root) as instance:
        execute_job(job_of(root / "values", note, at), instance=instance, run_id=RUN)


def kill(url: str, root: str, moment: str) -> None:
    work(url, Path(root), lambda name: die() if name == moment else None)


def append(url: str, root: str, when: str, number: str) -> None:
    with Instance.from_url(url, root=root) as instance:
        backend: Any = instance.log.backend
        calls = 0

        def counted(really: Any) -> Any:
            def call(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if when == "before" and calls == int(number):
                    die()
                outcome = really(*arguments)
                if when == "after" and calls == int(number):
                    die()
                return outcome

            return call

        for name in ("append", "append_group"):
            if hasattr(backend, name):
                setattr(backend, name, counted(getattr(backend, name)))
        execute_job(job_of(Path(root) / "values", note), instance=instance, run_id=RUN)
        note(["appends", calls])


def tape(home: str, root: str, step: str) -> None:
    with recording(Path(root), lambda index: die() if index == int(step) else None) as told:
        work(f"sqlite:///{home}", Path(root), nothing)
    note(["steps", len(told.steps)])


def assets(url: str, root: str) -> None:
    with Instance.from_url(url, root=root) as instance:
        execute_job(
            asset_job(lambda name: die() if name == "b" else None), instance=instance, run_id=RUN, partition_key="p"
        )


def wait(url: str, root: str, moment: str) -> None:
    def at(name: str) -> None:
        if name == moment:
            note(["here", name])
            while not Path(root, "go").exists():
                time.sleep(0.01)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    try:
        with ending_on_sigterm():
            work(url, Path(root), at)
    except (KeyboardInterrupt, RunInterrupted) as interrupt:
        note(["interrupted", f"{type(interrupt).__name__}: {interrupt}"])


if __name__ == "__main__":
    {"kill": kill, "append": append, "tape": tape, "assets": assets, "wait": wait}[sys.argv[1]](*sys.argv[2:])
