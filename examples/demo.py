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
from ..engine.cli.progress import progress
from ..engine.cli.runs import print_runs, print_steps, print_trouble
from ..engine.cli.show import say
from ..engine.cli.verify import print_verdict
from ..engine.instance import Instance
from . import pipeline
from .home import TAG, Home, prepare
from .weather import MalformedRow

YEARS = range(2012, 2016)
SOURCE = "seattle-weather.csv"
GOOD, BAD = "2014/08/11,0.5,35.6,17.8,2.6,rain", '2014/08/11,0.5,"35,6",17.8,2.6,rain'
STEPS = 6  #: parts of the tour


def tour(folder: Path, *, keep: bool = False) -> bool:
    """The whole of it, told on the output; whether the views were proved. Raises UsageError if the folder is not ours."""
    began = time.monotonic()
    home = prepare(folder, keep=keep)
    say(f"The tour works in {home.folder}{os.sep}; its log is {home.url}")
    with Instance.from_url(home.url) as instance:
        done = _work(instance, home)
        _look(instance, done)
        before = _digests(instance)
    proved = _lose_and_prove(home, before)
    _farewell(home, time.monotonic() - began, proved)
    return proved


# -- the work ---------------------------------------------------------------------------------------------------------


def _work(instance: Instance, home: Home) -> dict[str, str]:
    """Six runs; the ids of two that are worth a look."""
    delivery = _deliver(home.folder / "deliveries" / SOURCE)
    tags = {TAG: "yes", "station": "SEA"}
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
    _part(5, "What there is now; 2014 is still the good one")
    print_assets(instance.get_asset_records())


# -- the proof --------------------------------------------------------------------------------------------------------
