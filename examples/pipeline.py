"""A weather pipeline that reports to a log: what a program that uses foldlog looks like.

    ingest   one run a year: reads a delivery, keeps the year's rows, checks them
    publish  one run: cleaned days, months, records, a warehouse, a picture

Every step says what it made (rows, extremes, the path of the file) and of which version. Nothing here asks the log
anything: that is what views are for.
Not here: the numbers (weather.py), the drawing (picture.py), the tour around it (demo.py).
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.events.metadata import to_table
from ..engine.instance import Instance
from ..engine.reporting import Reporter, RunReporter
from . import picture, weather
from .weather import Day, Month, RecordDay

RAW, DAYS, MONTHS, RECORDS = "weather/raw", "weather/days", "weather/months", "weather/records"
WAREHOUSE, REPORT = "warehouse/months", "reports/seattle"
CODE_VERSION = "1"
BUSY_S = 0.05  #: how long a load waits for a warehouse that another program has locked


def ingest(instance: Instance, delivery: Path, year: int, folder: Path, tags: dict[str, str]) -> str:
    """Keep one year of a delivered file as `folder/raw/YEAR.csv`; the run's id. A row that is no day fails the run."""
    with instance.run("ingest", tags={**tags, "year": str(year)}) as run:
        run.plan(RAW, partition=str(year))
        with run.step("read") as step:
            step.log(f"reading {delivery.name} for {year}")
            with delivery.open(encoding="utf-8", newline="") as lines:
                days = weather.of_year(weather.read_days(lines), year)
            if not days:
                raise ValueError(f"{delivery.name} has no day of {year}")
        with run.step("check") as step:
            _check(step, RAW, days, partition=str(year))
        with run.step("keep") as step:
            path = _write(folder / "raw" / f"{year}.csv", days)
            step.materialize(
                RAW,
                partition=str(year),
                metadata={"rows": len(days), "path": path, "delivery": delivery, **_extremes(days)},
                code_version=CODE_VERSION,
                data_version=weather.data_version(days),
            )
    return run.run_id


def publish(
    instance: Instance, years: Iterable[int], folder: Path, tags: dict[str, str], before_load: Callable[[int], None]
) -> str:
    """From the kept years to the report `folder/seattle-weather.svg`; the run's id.

    `before_load` is called with the number of each attempt at loading the warehouse.
    """
    with instance.run("publish", tags=tags) as run:
        run.plan(DAYS, MONTHS, RECORDS, WAREHOUSE, REPORT)
        days = _clean(run, years, folder)
        with run.step("months") as step:
            months = weather.months(days)
            _made(step, MONTHS, months, {"months": _table(months)})
        with run.step("records") as step:
            records = weather.record_days(days)
            _made(step, RECORDS, records, {"records": _table(records)})
        for step in run.attempts("load", max_retries=2, delay_s=0.2, retry_on=sqlite3.OperationalError):
            with step:
                before_load(step.attempt)
                _load(step, months, folder / "warehouse.db")
        with run.step("report") as step:
            _report(step, months, records, folder / "seattle-weather.svg")
    return run.run_id


def _clean(run: RunReporter, years: Iterable[int], folder: Path) -> list[Day]:
    with run.step("clean") as step:
        raw: list[Day] = []
        for year in years:
            with (folder / "raw" / f"{year}.csv").open(encoding="utf-8", newline="") as lines:
                raw += weather.read_days(lines)
        days = weather.clean(raw)
        before = {day.date: day.sky for day in raw}
        corrected = sum(day.sky != before[day.date] for day in days)
        step.log(f"{corrected} of {len(days)} days had a word for the sky that the rain gauge contradicts")
        path = _write(folder / "days.csv", days)
        _made(step, DAYS, days, {"path": path, "corrected": corrected, **_extremes(days)})
        _check(step, DAYS, days)
    return days


def _load(step: Reporter, months: Sequence[Month], path: Path) -> None:
    """Replace the months in the warehouse. Raises sqlite3.OperationalError while another program has it locked."""
    step.log(f"loading {len(months)} months into {path.name}")
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as warehouse:
        with warehouse:
            warehouse.execute(f"CREATE TABLE IF NOT EXISTS months ({', '.join(Month._fields)}, PRIMARY KEY (month))")
            marks = ", ".join("?" * len(Month._fields))
            warehouse.executemany(f"INSERT OR REPLACE INTO months VALUES ({marks})", months)
        (rows,) = warehouse.execute("SELECT count(*) FROM months").fetchone()
    _made(step, WAREHOUSE, months, {"path": path, "table": "months", "rows_there": rows})


def _report(step: Reporter, months: Sequence[Month], records: Sequence[RecordDay], path: Path) -> None:
    path.write_text(picture.draw(months, records, place="Seattle"), encoding="utf-8")
    step.materialize(
        REPORT,
        metadata={"path": path, "bytes": path.stat().st_size, "from": months[0].month, "to": months[-1].month},
        code_version=CODE_VERSION,
        data_version=weather.data_version([*months, *records]),
        description="The range of temperature and the rain of each month",
    )


def _made(step: Reporter, asset: str, rows: Sequence[NamedTuple], metadata: dict[str, Any]) -> None:
    step.materialize(
        asset,
        metadata={"rows": len(rows), **metadata},
        code_version=CODE_VERSION,
        data_version=weather.data_version(rows),
    )


def _check(step: Reporter, asset: str, days: Sequence[Day], partition: str | None = None) -> None:
    missing, wrong = weather.missing_days(days), weather.upside_down(days)
    step.check(asset, "no_missing_days", not missing, partition=partition, metadata={"missing": len(missing)})
    step.check(asset, "low_not_above_high", not wrong, partition=partition, metadata={"days": len(wrong)})


def _extremes(days: Sequence[Day]) -> dict[str, Any]:
    return {
        "first_day": days[0].date.isoformat(),
        "last_day": days[-1].date.isoformat(),
        "lowest_c": min(day.low_c for day in days),
        "highest_c": max(day.high_c for day in days),
        "rain_mm": round(sum(day.rain_mm for day in days), 1),
    }


def _table(rows: Sequence[NamedTuple]) -> Any:
    return to_table(
        {name: str(value) if name == "date" else value for name, value in row._asdict().items()} for row in rows
    )


def _write(path: Path, days: Iterable[Day]) -> Path:
    """Write days in the form they are delivered in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(weather.COLUMNS)
        writer.writerows(days)
    return path
