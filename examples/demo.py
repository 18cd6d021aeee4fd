"""The tour that `foldlog demo` gives: run the pipeline, look at what the log knows, lose the views, prove them.

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

from ..engine.cli.assets import print_assets
from ..engine.cli.one_run import print_steps, print_trouble
from ..engine.cli.progress import progress
from ..engine.cli.runs import print_runs
from ..engine.cli.show import say, table
from ..engine.cli.verify import digests, print_verdict
from ..engine.instance import Instance
from . import pipeline
from .home import TAG, Home, prepare
from .weather import MalformedRow

YEARS = range(2012, 2016)
SOURCE = "seattle-weather.csv"
GOOD, BAD = "2014/08/11,0.5,35.6,17.8,2.6,rain", '2014/08/11,0.5,"35,6",17.8,2.6,rain'


def tour(folder: Path, *, keep: bool = False) -> bool:
    """The whole of it, told on the output; whether the views were proved. Raises UsageError for a folder of others."""
    began = time.monotonic()
    home = prepare(folder, keep=keep)
    if home.before != "nothing":
        say(f"{home.folder}{os.sep} was there from an earlier tour: {home.before}.")
    say(f"The tour works in {home.folder}{os.sep}; its log is {home.url}")
    with Instance.from_url(home.url) as instance:
        done = _work(instance, home)
        _look(instance, done)
        before = digests(instance.verify())
    proved = _lose_and_prove(home, before)
    _farewell(home, time.monotonic() - began, proved)
    return proved


# -- the work ---------------------------------------------------------------------------------------------------------


def _work(instance: Instance, home: Home) -> dict[str, str]:
    """Six runs; the ids of two that are worth a look."""
    delivery = _deliver(home.folder / "deliveries" / SOURCE)
    tags = {TAG: "weather"}
    _part(1, "A pipeline reports what it does")
    for year in YEARS:
        pipeline.ingest(instance, delivery, year, home.folder, tags)
    say(f"Ingested {delivery.name}, a run a year: {', '.join(map(str, YEARS))}.")
    with _colleague(home.folder / "warehouse.db") as let_go:
        published = pipeline.publish(
            instance, YEARS, home.folder, tags, before_load=lambda attempt: let_go() if attempt > 1 else None
        )
    say(f"Published days, months, records, a warehouse and a picture: {home.folder / 'seattle-weather.svg'}")
    say("The warehouse was locked by another program, so the step `load` failed once and was tried again.")
    corrected = _deliver_corrected(delivery)
    run = _ingest_in_vain(instance, corrected, home, tags)
    say(f"Then came {corrected.name}, saved by a spreadsheet that writes 35,6 for 35.6: that run failed.")
    return {"published": published, "failed": run}


def _deliver(path: Path) -> Path:
    """The file of measurements, as if somebody had sent it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = resources.files(__package__).joinpath(SOURCE).read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return path


def _deliver_corrected(delivery: Path) -> Path:
    """A second delivery of 2014, with one row that a spreadsheet has spoiled: a decimal comma."""
    header, *lines = delivery.read_text(encoding="utf-8").splitlines()
    year = [BAD if line == GOOD else line for line in lines if line.startswith("2014/")]
    if BAD not in year:
        raise RuntimeError(f"{SOURCE} has no line {GOOD!r}")
    path = delivery.with_name("seattle-2014-corrected.csv")
    path.write_text("\n".join([header, *year]) + "\n", encoding="utf-8")
    return path


def _ingest_in_vain(instance: Instance, delivery: Path, home: Home, tags: dict[str, str]) -> str:
    """The id of the run, which fails."""
    try:
        pipeline.ingest(instance, delivery, 2014, home.folder, tags)
    except MalformedRow:  # recorded by the run; a scheduler would go on with its other work
        (record,) = instance.get_run_records(job_name="ingest", limit=1)
        return record.run.run_id
    raise RuntimeError(f"{delivery} was taken although a row of it is malformed")


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


def _look(instance: Instance, runs: dict[str, str]) -> None:
    _part(2, "What ran")
    print_runs(instance.get_run_records(limit=6))
    _part(3, f"The steps of the run that published, {runs['published'][:8]}")
    print_steps(instance.get_run_steps(runs["published"]))
    _part(4, f"Why run {runs['failed'][:8]} failed, from the log")
    failures = instance.log.read_shard(runs["failed"], types=("STEP_FAILURE", "RUN_FAILURE")).records
    print_trouble(failures)
    _part(5, "What there is now; what was made of 2014 before stays")
    print_assets(instance.get_asset_records())
    say()
    _print_records(instance)


def _print_records(instance: Instance) -> None:
    """The record days, out of the metadata of the asset they are."""
    made = instance.get_latest_materialization_event(pipeline.RECORDS)
    if made is None:
        raise RuntimeError(f"{pipeline.RECORDS} was not made")
    days = made.event.fact.metadata["records"].records
    say("The metadata of weather/records:")
    table(("record", "date", "value#"), [[day["record"], day["date"], f"{day['value']} {day['unit']}"] for day in days])


# -- the proof --------------------------------------------------------------------------------------------------------


def _lose_and_prove(home: Home, before: dict[str, str]) -> bool:
    """Delete the file of the views, fold it from the log again, and compare: with the log, and with what was there."""
    _part(6, "Lose the views, and prove them")
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
