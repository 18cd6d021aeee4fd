"""A peer that executes jobs, in a process of its own: dagster, where a Python is named that has it.

It is no dependency: nothing of it is imported here, and without it its rows are left out.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ..engine.errors import UsageError

# One instance in a temporary folder, so SQLite; values in memory; lines of the console off, which are costly. A first
# run is made before the first answer, for its imports and tables.
_CODE = """
import sys, tempfile, time
import dagster

def chain(steps):
    @dagster.op
    def first() -> int:
        return 1

    @dagster.op
    def add_one(value: int) -> int:
        return value + 1

    @dagster.job(name=f"chain_of_{steps}", resource_defs={"io_manager": dagster.mem_io_manager})
    def built():
        value = first.alias("step_1")()
        for number in range(2, steps + 1):
            value = add_one.alias(f"step_{number}")(value)

    return built

quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    with dagster.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance:
        chain(2).execute_in_process(instance=instance, run_config=quiet)
        print(dagster.__version__, flush=True)
        for line in sys.stdin:
            steps = int(line)
            job = chain(steps)
            cpu, since = time.process_time(), time.perf_counter()
            result = job.execute_in_process(instance=instance, run_config=quiet)
            seconds, cpu = time.perf_counter() - since, time.process_time() - cpu
            assert result.output_for_node(f"step_{steps}") == steps
            print(seconds, cpu, len(instance.all_logs(result.run_id)), flush=True)
"""


class Answer(NamedTuple):
    """One execution by the peer."""

    seconds: float
    cpu_s: float
    events: int


class Peer:
    """The peer, ready to execute. `python`: its interpreter. Raises UsageError if that has no dagster."""

    def __init__(self, python: str, folder: Path) -> None:
        self._errors = (folder / "peer.err").open("w+", encoding="utf-8")
        try:
            self._process = subprocess.Popen(
                [python, "-c", _CODE, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        except OSError as error:
            raise _none(python, str(error)) from error
        self.name = f"dagster {self._line(python).strip()}"

    def execute(self, steps: int) -> Answer:
        """Have it execute a chain of so many steps."""
        if self._process.stdin is None:
            raise AssertionError("the peer was started without a pipe")
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        seconds, cpu_s, events = self._line(self.name).split()
        return Answer(float(seconds), float(cpu_s), int(events))

    def _line(self, who: str) -> str:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().strip().rsplit("\n", 1)[-1]
            raise _none(who, last)
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # the end of its input ends it
        self._errors.close()


def _none(who: str, why: str) -> UsageError:
    error = UsageError(f"the peer {who} does not answer: {why}")
    error.remedy = (
        "Name the Python of a virtual environment in which `pip install dagster` was done, or leave --peer out."
    )
    return error
