"""The tour that `foldlog demo` gives: execute the pipeline, look at what the log knows, lose the views, prove them.

Everything shown is read from the log and its views; all numbers come from the measurements that lie beside this file.
Not here: the pipeline (pipeline.py), the folder (home.py), the tables (engine/cli).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import foldlog

from ..engine.cli.assets import print_assets
from ..engine.cli.one_run import print_steps, print_trouble
from ..engine.cli.progress import progress
from ..engine.cli.runs import print_runs
from ..engine.cli.show import Cell, say, table
from ..engine.cli.verify import digests, print_verdict
from ..engine.execution.result import ExecutionResult
from ..engine.instance import Instance
from . import pipeline
from .home import TAG, Home, prepare

YEARS = ("2012", "2013", "2014", "2015")
GOOD, BAD = "2014/08/11,0.5,35.6,17.8,2.6,rain", '2014/08/11,0.5,"35,6",17.8,2.6,rain'


class Told(NamedTuple):
    """The ids of runs that the tour tells of."""

    published: str
    failed: str


def tour(folder: Path, *, keep: bool = False) -> bool:
    """The whole of it, told on the output; whether the views were proved. Raises UsageError for a folder of others."""
    began = time.monotonic()
    home = prepare(folder, keep=keep)
    if home.before != "nothing":
        say(f"{home.folder}{os.sep} was there from an earlier tour: {home.before}.")
    say(f"The tour works in {home.folder}{os.sep}; its log is {home.url}")
    with Instance.from_url(home.url) as instance:
        _look(instance, home, _work(instance, home))
        before = digests(instance.verify())
    proved = _lose_and_prove(home, before)
    _farewell(home, time.monotonic() - began, proved)
    return proved


# -- the work ---------------------------------------------------------------------------------------------------------


def _work(instance: Instance, home: Home) -> Told:
    """Six runs; the ids of two that are worth a look."""
    deliveries = home.folder / "deliveries"
    _deliver(deliveries)
    _part(1, "A pipeline is executed")
    for year in YEARS:
        _execute(instance, home, "ingest", partition_key=year)
    say(f"Ingested {pipeline.WHOLE}, a run a year: {', '.join(YEARS)}.")
    with _colleague(home.folder / pipeline.DATABASE) as let_go:

        def report(step: str, what: str, seconds: float) -> None:
            if what == "RETRY":
                let_go()

        published = _execute(instance, home, "publish", report=report)
    say(f"Published days, months, records, a warehouse and a picture: {home.folder / 'seattle-weather.svg'}")
    say("The warehouse was locked by another program, so the step that loads it failed once and was tried again.")
    again = _deliver_again(deliveries, BAD)
    failed = _execute(instance, home, "ingest", partition_key="2014")
    if failed.success:
        raise RuntimeError(f"{again} was taken although a row of it is malformed")
    say(f"Then came {again.name}, saved by a spreadsheet that writes 35,6 for 35.6: that run failed.")
    return Told(published.run_id, failed.run_id)


def _execute(instance: Instance, home: Home, job: str, **options: Any) -> ExecutionResult:
    """Execute a job of the pipeline in this process; a failure is told by the result, and recorded."""
    return foldlog.execute_job(
        pipeline.definitions.get_job(job),
        instance=instance,
        run_config={"resources": {"folder": {"config": {"path": str(home.folder)}}}},
        tags={TAG: "weather"},
        raise_on_error=False,
        **options,
    )


def _deliver(deliveries: Path) -> None:
    """The file of measurements, as if somebody had sent it; no other."""
    shutil.rmtree(deliveries, ignore_errors=True)
    deliveries.mkdir(parents=True)
    (deliveries / pipeline.WHOLE).write_text(_measurements(), encoding="utf-8")


def _deliver_again(deliveries: Path, row: str) -> Path:
    """2014 once more, in a file of its own; `row` is how one of its days is written."""
    header, *lines = _measurements().splitlines()
    if GOOD not in lines:
        raise RuntimeError(f"{pipeline.WHOLE} has no line {GOOD!r}")
    year = [row if line == GOOD else line for line in lines if line.startswith("2014/")]
    path = deliveries / "seattle-2014.csv"
    path.write_text("\n".join([header, *year]) + "\n", encoding="utf-8")
    return path


def _measurements() -> str:
    return resources.files(__package__).joinpath(pipeline.WHOLE).read_text(encoding="utf-8")


@contextmanager
def _colleague(warehouse: Path) -> Iterator[Callable[[], None]]:
    """Another program that has the warehouse locked until it is called."""
    other = sqlite3.connect(warehouse, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield other.close
    finally:
        other.close()


# -- the look ---------------------------------------------------------------------------------------------------------


def _look(instance: Instance, home: Home, told: Told) -> None:
    _part(2, "What ran")
    print_runs(instance.get_run_records(limit=6))
    _part(3, f"The steps of the run that published, {told.published[:8]}")
    print_steps(instance.get_run_steps(told.published))
    _part(4, f"Why run {told.failed[:8]} failed, from the log")
    failures = instance.log.read_shard(told.failed, types=("STEP_FAILURE", "RUN_FAILURE")).records
    print_trouble(failures)
    _mend(instance, home, told)
    _part(6, "What there is now")
    print_assets(instance.get_asset_records())
    say()
    _print_partitions(instance)
    say()
    _print_records(instance)


def _mend(instance: Instance, home: Home, told: Told) -> None:
    """Have the delivery corrected, and go on where the run failed."""
    _part(5, "The file is corrected; the run goes on where it failed")
    path = _deliver_again(home.folder / "deliveries", GOOD)
    job = pipeline.definitions.get_job("ingest")
    result = foldlog.reexecute_job(job, told.failed, instance=instance, from_failure=True, raise_on_error=False)
    if not result.success:
        raise RuntimeError(f"{path} was refused although it is corrected") from result.error
    print_steps(instance.get_run_steps(result.run_id))
    (kept,) = set(job.steps) - set(result.step_outcomes)
    say(f"Run {result.run_id[:8]} executed what had failed, and what lies behind it. What {kept} gave was loaded.")


def _print_partitions(instance: Instance) -> None:
    """The years of the asset that has some. The same rows have the same data version, whichever file they came in."""
    say("The partitions of weather/raw:")
    rows: list[list[Cell]] = []
    for one in instance.get_asset_partitions(pipeline.RAW):
        made = _latest(instance, pipeline.RAW, one.partition)
        delivery = Path(made.metadata["delivery"].path).name
        rows.append([one.partition, one.status, made.metadata["rows"], delivery, made.data_version])
    table(("partition", "status", "rows#", "delivery", "data version"), rows)


def _print_records(instance: Instance) -> None:
    """The record days, out of the metadata of the asset they are."""
    days = _latest(instance, pipeline.RECORDS).metadata["records"].records
    say("The metadata of weather/records:")
    table(("record", "date", "value#"), [[day["record"], day["date"], f"{day['value']} {day['unit']}"] for day in days])


def _latest(instance: Instance, asset: str, partition: str | None = None) -> Any:
    """The fact that an asset, or a partition of it, was made the last time."""
    made = instance.get_latest_materialization_event(asset, partition=partition)
    if made is None:
        raise RuntimeError(f"{asset} {partition or ''} was not made")
    return made.event.fact


# -- the proof --------------------------------------------------------------------------------------------------------


def _lose_and_prove(home: Home, before: dict[str, str]) -> bool:
    """Delete the file of the views, fold it from the log again, and compare: with the log, and with what was there."""
    _part(7, "Lose the views, and prove them")
    for path in home.history.glob("views.db*"):
        path.unlink()
    say(f"Deleted {home.history / 'views.db'}: every table shown above is gone. The log is all that is left.")
    with Instance.from_url(home.url) as instance:
        with progress("rebuilding", unit="events") as report:
            position = instance.rebuild(progress=report)
        say(f"Folded from the log again, up to position {position:,}.")
        with progress("verifying", unit="events") as report:
            verdict = instance.verify(progress=report)
    print_verdict(verdict)
    same = digests(verdict) == before
    say(f"The digests are {'those' if same else 'NOT those'} from before the views were deleted.")
    return verdict.ok and same


# -- how it is told ---------------------------------------------------------------------------------------------------


def _part(number: int, title: str) -> None:
    say()
    say(f"{number}. {title}", "bold")


def _farewell(home: Home, seconds: float, proved: bool) -> None:
    say()
    if not proved:
        say(f"Not proved; `{_foldlog()} doctor --full --url {home.url}` may tell why.", "red")
        return
    say(f"Done in {seconds:.1f} s. What to try next:", "bold")
    for command in (
        "runs --status FAILURE",
        "assets show reports/seattle",
        "assets show weather/raw",
        "tail -n 30",
        "verify",
    ):
        say(f"  {_foldlog()} {command} --url {home.url}")
    say(f"  {_foldlog()} demo --keep --home {home.folder}        (runs all again, beside what is there)")


def _foldlog() -> str:
    """How the command is called here."""
    if shutil.which("foldlog"):
        return "foldlog"
    beside = Path(sys.executable).with_name("foldlog")
    if beside.exists():
        return os.path.relpath(beside)
    return f"{os.path.relpath(sys.executable)} -m foldlog"
