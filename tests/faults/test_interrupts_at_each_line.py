"""A real SIGINT at each line that foldlog executes for a run: wherever it comes, the log has the end of the run and of
its steps, no event twice, and each resource that was made ready is torn down.

In the usual run at some of the lines, another part each day would be no test; under `long` at all of them.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from workload import RUN

from foldlog import AssetKey, Definitions, Instance, Output, asset, events, execute_job, job, op, resource

SAMPLE = 15  #: in the usual run, every line of this number
WATCHED = (
    *(f"/execution/{name}.py" for name in ("worker", "requests", "in_process", "attempt", "resources", "interruption")),
    *(f"/execution/{name}.py" for name in ("boundary", "values", "outputs", "creation")),
    *(f"/reporting/{name}.py" for name in ("recorder", "interrupts", "lines")),
)
ENDS = {"RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED"}


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class At:
    """Traces the lines of foldlog's own; at the line of a number it interrupts, as often as is told."""

    def __init__(self, number: int = 0, times: int = 1) -> None:
        self.lines = 0
        self.where = ""
        self._number = number
        self._times = times

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if not path.endswith(WATCHED):
            return None
        if event == "line":
            self.lines += 1
            if self._number <= self.lines < self._number + self._times:
                self.where += f" {path.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}"
                signal.raise_signal(signal.SIGINT)
        return self


class Pool:
    """Counts how often its resource was made and given back."""

    def __init__(self) -> None:
        self.up = self.down = 0

    def jobs(self) -> dict[str, Any]:
        @resource
        def db() -> Iterator[int]:
            self.up += 1
            try:
                yield 1
            finally:
                self.down += 1

        @resource(required_resource_keys={"db"})
        def session(context: Any) -> Iterator[int]:
            self.up += 1
            try:
                yield 2
            finally:
                self.down += 1

        @op(required_resource_keys={"session"})
        def first(context: Any) -> Any:
            yield events.AssetObservation(asset_key=AssetKey.of("seen"))
            yield Output(1)

        @op
        def second(n: Any) -> int:
            return 2

        @job(resource_defs={"db": db, "session": session})
        def ops() -> None:
            second(first())

        @asset(required_resource_keys={"session"})
        def made(context: Any) -> int:
            return 1

        return {
            "ops": ops,
            "asset": Definitions(assets=[made], resources={"db": db, "session": session}).asset_job("*", name="assets"),
        }


def traced(instance: Instance, job: Any, run_id: str, at: At) -> BaseException | None:
    sys.settrace(at)
    try:
        execute_job(job, instance=instance, run_id=run_id)
    except KeyboardInterrupt as interrupt:
        return interrupt
    finally:
        sys.settrace(None)
    return None


def faults(instance: Instance, run_id: str) -> list[str]:
    """What is wrong with a run, as the log has it."""
    instance.writer.flush()
    told = [(one.event.type, one.event.step_key) for one in instance.log.read_shard(run_id).records]
    if not told:
        return []  # it came before there was a run
    count = Counter(told)
    found = [f"{one} {times} times" for one, times in count.items() if times > 1 and one[0] != "ENGINE_EVENT"]
    if sum(count[end, None] for end in ENDS) != 1:
        found.append("no end, or more than one")
    for key in {key for _, key in told if key is not None}:
        begun, ended = count["STEP_START", key], count["STEP_SUCCESS", key] + count["STEP_FAILURE", key]
        if begun != ended:
            found.append(f"step {key}: {begun} beginnings, {ended} ends")
    made = count["RESOURCE_INIT_SUCCESS", None] + count["RESOURCE_INIT_FAILURE", None]
    if count["RESOURCE_INIT_STARTED", None] != made:
        found.append("resources without an end")
    return found


def lines_of(instance: Instance, job: Any) -> int:
    execute_job(job, instance=instance)  # what is loaded on first use is loaded
    at = At()
    assert traced(instance, job, "whole", at) is None
    return at.lines


STEPS = [SAMPLE, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(900)])]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["ops", "asset"])
@pytest.mark.parametrize("times", [1, 2])
def test_at_a_line(kind: str, step: int, times: int) -> None:
    """Once, and once more at the line behind it, as where a wrapper forwards the signal that the terminal has sent."""
    pool = Pool()
    found: list[str] = []
    with Instance.ephemeral() as instance:
        run = pool.jobs()[kind]
        total = lines_of(instance, run)
        assert total > 300
        interrupted = 0
        for number in range(1, total + 1, step):
            pool.up = pool.down = 0
            at = At(number, times)
            run_id = f"{RUN}-{number}"
            interrupt = traced(instance, run, run_id, at)
            interrupted += interrupt is not None
            told = faults(instance, run_id)
            if pool.up != pool.down:
                told.append(f"{pool.up} resources made ready, {pool.down} torn down")
            found += [f"{one} @{at.where}" for one in told]
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, at.where
            interrupt = None
            gc.collect() if found else None
        assert not found, "\n".join(found)
        assert interrupted == len(range(1, total + 1, step)), "an interrupt is never lost"
