"""A backfill on the command line: a run for each partition, a line about each, and the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .executing import Caller, UnderWay, showing, tell_errors
from .main import FAILED, OK
from .run_display import Display
from .show import Cell, line, print_json, say, status, table, took

if TYPE_CHECKING:
    from ..definitions.job import JobDefinition
    from ..execution.backfill_result import BackfillResult, PartitionRun, Watch
    from ..execution.requests import ExecutionRequest
    from ..execution.result import ExecutionResult
    from ..instance import Instance

SHOWN: Final = 20  #: failed partitions in the table at the end
TOLD: Final = 3  #: failed runs whose errors are told in full; `foldlog runs show` has each


@dataclass
class BackfillOrder:
    """How the runs of a backfill are shown, and how its end is told; and its id, when that is known."""

    display: Display
    caller: Caller
    stop_on_failure: bool
    as_json: bool
    backfill_id: str | None = None
    count: int = 0  #: of its partitions

    def under_way(self) -> UnderWay:
        """What is told of it when it is interrupted."""
        text = f"the backfill of {self.count} partitions, with the run under way,"
        return UnderWay(text, resuming(self.caller, str(self.backfill_id)))


def backfill(
    instance: Instance, job: JobDefinition, keys: Sequence[str], request: ExecutionRequest, order: BackfillOrder
) -> int:
    """Make these partitions; the exit code."""
    from ..execution.backfill import run_backfill

    order.count = len(keys)
    return followed(
        job,
        order,
        lambda watch: run_backfill(instance, job, keys, request, stop_on_failure=order.stop_on_failure, watch=watch),
    )


def followed(job: JobDefinition, order: BackfillOrder, execute: Callable[[Watch], BackfillResult]) -> int:
    """Have the runs of a backfill executed, and tell of each and of the end; the exit code."""
    from ..execution.backfill_result import Watch

    failed: list[tuple[str, ExecutionResult]] = []
    display = order.display

    def recorded(backfill_id: str) -> None:
        order.backfill_id = backfill_id

    def begun(key: str, run_id: str, number: int) -> None:
        display.begin(job, f"partition {key}, {number} of {order.count}, run {run_id}")

    def ended(run: PartitionRun, result: ExecutionResult | None) -> None:
        display.say(f"partition {run.partition}: {run.status} in {took(int(run.seconds * 1e6))}")
        if result is not None and not result.success and len(failed) < TOLD:
            failed.append((run.partition, result))

    watch = Watch(recorded=recorded, begun=begun, ended=ended, report=display.report, listener=display.listen)
    with showing(display, as_json=order.as_json):
        done = execute(watch)
    if order.as_json:
        print_json(_document(done))
    else:
        _print(done)
    if done.success:
        return OK
    for partition, result in failed:
        say(err=True)
        say(line(f"partition {partition}, run {result.run_id}:"), err=True)
        tell_errors(result)
    _say_what_to_do(done, order.caller)
    return FAILED


def resuming(caller: Caller, backfill_id: str, *, failed: bool = False) -> str:
    """The command that makes what a backfill has not made."""
    return caller.command("backfill", "resume", backfill_id, *(["--failed"] if failed else []), code=True)


def _print(done: BackfillResult) -> None:
    bad = [one for one in done.runs if one.partition in set(done.failed_partitions)]
    made = len(done.runs) - len(bad)
    left = f", {len(done.left)} not begun" if done.left else ""
    seconds = took(int(sum(one.seconds for one in done.runs) * 1e6))
    text = f"backfill {done.backfill_id}: {made} of {len(done.runs) + len(done.left)} partitions made in {seconds}"
    say(f"{text}{f', {len(bad)} failed' if bad else ''}{left}", "green" if done.success else "red")
    if bad:
        rows: list[list[Cell]] = [
            [one.partition, status(str(one.status)), one.run_id, _first_error(one)] for one in bad[:SHOWN]
        ]
        table(("partition", "status", "run", "error"), rows)
    if len(bad) > SHOWN:
        say(f"and {len(bad) - SHOWN} more")


def _first_error(run: PartitionRun) -> str:
    return next((f"{key}: {error}" if key else str(error) for key, error in run.errors.items()), "")


def _say_what_to_do(done: BackfillResult, caller: Caller) -> None:
    bad = done.failed_partitions
    say(err=True)
    if bad:
        count = len(done.runs) + len(done.left)
        say(f"foldlog: {len(bad)} of {count} partition{'' if count == 1 else 's'} failed: {_some(bad)}", err=True)
    else:
        say("foldlog: the backfill was canceled by somebody else", err=True)
    if not caller.is_kept:
        return
    again = resuming(caller, done.backfill_id, failed=bool(bad))
    if not bad:
        say(f"what to do: `{again}` makes the {len(done.left)} that are left.", err=True)
        return
    run_id = next(one.run_id for one in done.runs if one.partition == bad[0])
    first = "" if len(bad) == 1 else " in the first"
    shows = f"`{caller.command('runs', 'show', run_id)}` shows what happened{first}"
    left = ", and those that are left" if done.left else ""
    say(f"what to do: {shows}. When the cause is gone, `{again}` makes what failed again{left}.", err=True)


def _some(partitions: Sequence[str]) -> str:
    more = f" and {len(partitions) - SHOWN} more" if len(partitions) > SHOWN else ""
    return f"{', '.join(partitions[:SHOWN])}{more}"


def _document(done: BackfillResult) -> dict[str, Any]:
    return {
        "backfill_id": done.backfill_id,
        "success": done.success,
        "partitions": [
            {
                "partition": one.partition,
                "run_id": one.run_id,
                "status": str(one.status),
                "seconds": round(one.seconds, 6),
                "failures": [{"step_key": key or None, **error._asdict()} for key, error in one.errors.items()],
            }
            for one in done.runs
        ],
        "failed_partitions": list(done.failed_partitions),
        "left": list(done.left),
    }
