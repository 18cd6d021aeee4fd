"""A backfill on the command line: a run for each partition, a line about each, and the sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .executing import Caller, showing, tell_errors
from .main import FAILED, OK
from .run_display import Display
from .show import Cell, line, print_json, say, status, table, took

if TYPE_CHECKING:
    from ..definitions.job import JobDefinition
    from ..execution.backfill import BackfillResult, PartitionRun
    from ..execution.result import ExecutionResult
    from ..instance import Instance

SHOWN: Final = 20  #: failed partitions in the table at the end
TOLD: Final = 3  #: failed runs whose errors are told in full; `foldlog runs show` has each


def backfill(
    instance: Instance,
    job: JobDefinition,
    keys: Sequence[str],
    display: Display,
    caller: Caller,
    *,
    config: Any,
    tags: dict[str, str],
    stop_on_failure: bool,
    as_json: bool,
) -> int:
    """Make these partitions; the exit code."""
    from ..execution.backfill import Watch, run_backfill
    from ..execution.requests import ExecutionRequest

    failed: list[tuple[str, ExecutionResult]] = []

    def begun(key: str, run_id: str, number: int) -> None:
        display.begin(job, f"partition {key}, {number} of {len(keys)}, run {run_id}")

    def ended(run: PartitionRun, result: ExecutionResult | None) -> None:
        display.say(f"partition {run.partition}: {run.status} in {took(int(run.seconds * 1e6))}")
        if result is not None and not result.success and len(failed) < TOLD:
            failed.append((run.partition, result))

    with showing(display, as_json=as_json):
        done = run_backfill(
            instance,
            job,
            keys,
            ExecutionRequest(run_config=config, tags=tags),
            stop_on_failure=stop_on_failure,
            watch=Watch(begun=begun, ended=ended, report=display.report, listener=display.listen),
        )
    if as_json:
        print_json(_document(done))
    else:
        _print(done)
    if done.success:
        return OK
    for partition, result in failed:
        say(err=True)
        say(line(f"partition {partition}, run {result.run_id}:"), err=True)
        tell_errors(result)
    _say_what_to_do(done, caller)
    return FAILED


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
    key, error = next(iter(run.errors.items()), ("", ""))
    return f"{key}: {error}" if key else error


def _say_what_to_do(done: BackfillResult, caller: Caller) -> None:
    from ..definitions.definitions import ALL_ASSETS

    bad = done.failed_partitions
    say(err=True)
    if not bad:
        say("foldlog: the backfill was canceled by somebody else", err=True)
        return
    count = len(done.runs) + len(done.left)
    say(f"foldlog: {len(bad)} of {count} partition{'' if count == 1 else 's'} failed: {_some(bad)}", err=True)
    if caller.is_kept:
        run_id = next(one.run_id for one in done.runs if one.partition == bad[0])
        again = caller.command("job", "execute", ALL_ASSETS, "--from-failure", run_id, code=True)
        first = "" if len(bad) == 1 else " in the first"
        shows = f"`{caller.command('runs', 'show', run_id)}` shows what happened{first}"
        say(f"what to do: {shows}. When the cause is gone, `{again}` goes on from there.", err=True)


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
                "failures": [{"step_key": key or None, "error": error} for key, error in one.errors.items()],
            }
            for one in done.runs
        ],
        "failed_partitions": list(done.failed_partitions),
        "left": list(done.left),
    }
