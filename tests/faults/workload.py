"""A job with a resource, a retry, a dynamic output and values in files, and the moments at which its worker may die.

Each step notes that its code began and ended; `at` is called at every moment, by name. The value of `total` is TOTAL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from foldlog import (
    Definitions,
    DynamicOut,
    DynamicOutput,
    FilesIOManager,
    InputContext,
    OutputContext,
    RetryPolicy,
    asset,
    define_asset_job,
    job,
    op,
    resource,
)
from foldlog.engine.definitions.job import JobDefinition
from foldlog.engine.definitions.partitions import StaticPartitionsDefinition

RUN = "run-1"
TOTAL = 21
STEPS = ("a", "parts", "flaky", "work[x]", "work[y]", "total")

MOMENTS = (
    "set-up", "begin a", "end a", "keep a", "kept a", "begin parts", "keep parts", "between keys", "end parts",
    "begin flaky", "begin flaky again", "end flaky", "load work[x]", "begin work[x]", "end work[x]", "kept work[x]",
    "begin work[y]", "begin total", "kept total", "end total", "tear-down", "torn down",
)  # fmt: skip

Note = Callable[[Any], None]
At = Callable[[str], None]


class KeptAt(FilesIOManager):
    """Values in files; before and after each there is a moment."""

    def __init__(self, folder: str | Path, at: At) -> None:
        super().__init__(folder)
        self._at = at

    def handle_output(self, context: OutputContext, value: Any) -> None:
        self._at(f"keep {context.step_key}")
        super().handle_output(context, value)
        self._at(f"kept {context.step_key}")

    def load_input(self, context: InputContext) -> Any:
        self._at(f"load {context.step_key}")
        return super().load_input(context)


def nothing(_: Any) -> None:
    """Nobody listens."""


def job_of(folder: Path, note: Note = nothing, at: At = nothing) -> JobDefinition:
    """The job, its values in `folder`."""

    def begin(context: Any) -> None:
        note(["begin", context.step_key])
        at(f"begin {context.step_key}")

    def end(context: Any) -> None:
        at(f"end {context.step_key}")
        note(["end", context.step_key])

    @resource
    def tool() -> Iterator[str]:
        at("set-up")
        yield "tool"
        at("tear-down")
        note(["torn down", "tool"])
        at("torn down")

    @op(required_resource_keys={"tool"})
    def a(context: Any) -> int:
        begin(context)
        context.log.info("a line")
        end(context)
        return 1

    @op(out=DynamicOut())
    def parts(context: Any, n: int) -> Iterator[DynamicOutput]:
        begin(context)
        yield DynamicOutput(n + 1, mapping_key="x")
        at("between keys")
        yield DynamicOutput(n + 2, mapping_key="y")
        end(context)

    @op(retry_policy=RetryPolicy(max_retries=1))
    def flaky(context: Any, n: int) -> int:
        begin(context)
        if context.attempt == 1:
            raise RuntimeError("the first time it fails")
        at("begin flaky again")
        end(context)
        return n + 10

    @op
    def work(context: Any, n: int) -> int:
        begin(context)
        context.log.info("at work")
        end(context)
        return 2 * n

    @op
    def total(context: Any, one: int, others: list[int]) -> int:
        begin(context)
        end(context)
        return one + sum(others)

    @job(resource_defs={"tool": tool, "io_manager": KeptAt(folder, at)})
    def workload() -> None:
        first = a()
        total(flaky(first), parts(first).map(work).collect())

    return workload  # type: ignore[no-any-return]


def asset_job(at: At = nothing) -> JobDefinition:
    """The assets a, b and c, one made of the other, each of the partitions p and q."""

    def made(name: str, *deps: str) -> Any:
        @asset(name=name, deps=list(deps), partitions_def=StaticPartitionsDefinition(["p", "q"]))
        def make() -> None:
            at(name)

        return make

    defs = Definitions(assets=[made("a"), made("b", "a"), made("c", "b")], jobs=[define_asset_job("abc")])
    return defs.get_job("abc")
