"""A weather pipeline: assets, their checks, and two jobs that make them.

    ingest   a run a year: which delivery the year is taken from, and its rows, checked
    publish  from the years that are kept: cleaned days, months, records, a warehouse, a picture

Every asset says what it is (rows, extremes, the path of the file) and of which version.
`foldlog job list -m foldlog.examples.pipeline` shows the jobs.
Not here: the numbers (weather.py), the files (tables.py), the drawing (picture.py), the tour around it (demo.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import foldlog
from foldlog import events, partitions
from foldlog.examples import picture, weather
from foldlog.examples.tables import Tables
from foldlog.examples.weather import Day, Month, RecordDay

DELIVERY, RAW, DAYS = "weather/delivery", "weather/raw", "weather/days"
MONTHS, RECORDS = "weather/months", "weather/records"
WAREHOUSE, REPORT = "warehouse/months", "reports/seattle"
YEARS = partitions.StaticPartitionsDefinition(["2012", "2013", "2014", "2015"])
WHOLE = "seattle-weather.csv"  #: the delivery that has all years
DATABASE = "warehouse.db"
BUSY_S = 0.05  #: how long a load waits for a warehouse that another program has locked

# -- what the assets use ----------------------------------------------------------------------------------------------


class FolderConfig(foldlog.Config):
    """Where the pipeline works: deliveries lie in it, and what is made of them."""

    path: Path = Path("demo-home")


@foldlog.resource
def folder(config: FolderConfig) -> Path:
    """The folder that all files are in."""
    return config.path


@foldlog.resource(required_resource_keys={"folder"})
def tables(folder: Path) -> Tables:
    """Keeps rows as CSV files."""
    return Tables(folder)


@foldlog.resource(required_resource_keys={"folder"})
def warehouse(folder: Path) -> Iterator[sqlite3.Connection]:
    """The warehouse, open while a run needs it."""
    with closing(sqlite3.connect(folder / DATABASE, timeout=BUSY_S)) as connection:
        yield connection


# -- ingest: a run a year ---------------------------------------------------------------------------------------------


class DeliveryConfig(foldlog.Config):
    """Which file to take."""

    file: str | None = None  #: its name below `deliveries`; None: the one named after the year, else the whole


@foldlog.asset(key=DELIVERY, partitions_def=YEARS, required_resource_keys={"folder"}, code_version="1")
def delivery(context: foldlog.StepExecutionContext, config: DeliveryConfig, folder: Path) -> foldlog.Output:
    """Which file a year is taken from: its name."""
    own = f"seattle-{context.partition_key}.csv"
    name = config.file or (own if (folder / "deliveries" / own).exists() else WHOLE)
    context.log.info("%s is taken from %s", context.partition_key, name)
    return foldlog.Output(name, data_version=name)


@foldlog.asset(
    key=RAW, partitions_def=YEARS, io_manager_key="tables", required_resource_keys={"folder"}, code_version="2"
)
def raw(context: foldlog.StepExecutionContext, delivery: str, folder: Path) -> foldlog.Output:
    """The days of one year, as they were delivered."""
    path = folder / "deliveries" / delivery
    with path.open(encoding="utf-8", newline="") as lines:
        days = weather.of_year(weather.read_days(lines), int(context.partition_key))
    if not days:
        raise foldlog.Failure(f"{delivery} has no day of {context.partition_key}", metadata={"path": path})
    return _made(days, {"delivery": path, **_extremes(days)})


# -- publish: one run -------------------------------------------------------------------------------------------------


@foldlog.asset(key=DAYS, io_manager_key="tables", code_version="2")
def days(context: foldlog.StepExecutionContext, raw: dict[str, list[Day]]) -> foldlog.Output:
    """All days in order, the word for the sky in line with the rain gauge."""
    delivered = [day for year in raw.values() for day in year]
    cleaned = weather.clean(delivered)
    before = {day.date: day.sky for day in delivered}
    corrected = sum(day.sky != before[day.date] for day in cleaned)
    context.log.info("%d of %d days had a word for the sky that the gauge contradicts", corrected, len(cleaned))
    return _made(cleaned, {"corrected": corrected, **_extremes(cleaned)})


@foldlog.asset(key=MONTHS, io_manager_key="tables", code_version="1")
def months(days: list[Day]) -> foldlog.Output:
    """Each month in a few numbers."""
    found = weather.months(days)
    return _made(found, {"months": _table(found)})


@foldlog.asset(key=RECORDS, io_manager_key="tables", code_version="1")
def records(days: list[Day]) -> foldlog.Output:
    """The days that stand out."""
    found = weather.record_days(days)
    return _made(found, {"records": _table(found)})


@foldlog.asset(
    key=WAREHOUSE,
    ins={"months": foldlog.AssetIn(key=MONTHS)},
    required_resource_keys={"folder", "warehouse"},
    retry_policy=foldlog.RetryPolicy(max_retries=2, delay=0.2),  # another program may have it locked for a moment
    code_version="1",
)
def load(
    context: foldlog.StepExecutionContext, months: list[Month], folder: Path, warehouse: sqlite3.Connection
) -> foldlog.MaterializeResult:
    """The months as a table of the warehouse. It is replaced as a whole, or stays as it was."""
    context.log.info("loading %d months", len(months))
    columns, marks = ", ".join(Month._fields), ", ".join("?" * len(Month._fields))
    with warehouse:
        warehouse.execute(f"CREATE TABLE IF NOT EXISTS months ({columns}, PRIMARY KEY (month))")
        warehouse.executemany(f"INSERT OR REPLACE INTO months VALUES ({marks})", months)
    (rows,) = warehouse.execute("SELECT count(*) FROM months").fetchone()
    return foldlog.MaterializeResult(
        metadata={"rows": len(months), "path": folder / DATABASE, "table": "months", "rows_there": rows},
        data_version=weather.data_version(months),
    )


class ReportConfig(foldlog.Config):
    """What the report says of itself."""

    place: str = "Seattle"


@foldlog.asset(
    key=REPORT,
    ins={"months": foldlog.AssetIn(key=MONTHS), "records": foldlog.AssetIn(key=RECORDS)},
    required_resource_keys={"folder"},
    code_version="1",
)
def report(
    config: ReportConfig, months: list[Month], records: list[RecordDay], folder: Path
) -> foldlog.MaterializeResult:
    """The range of temperature and the rain of each month, as a picture."""
    path = folder / "seattle-weather.svg"
    path.write_text(picture.draw(months, records, place=config.place), encoding="utf-8")
    return foldlog.MaterializeResult(
        metadata={"path": path, "bytes": path.stat().st_size, "from": months[0].month, "to": months[-1].month},
        data_version=weather.data_version([*months, *records]),
    )


# -- the checks, of what was delivered and of what was made of it -----------------------------------------------------


def _no_missing_days(asset: str) -> Any:
    @foldlog.asset_check(asset=asset, blocking=True)  # what is made of days with holes would be wrong, and look right
    def no_missing_days(days: list[Day]) -> foldlog.AssetCheckResult:
        """Every day of the years is there."""
        missing = weather.missing_days(days)
        return foldlog.AssetCheckResult(passed=not missing, metadata={"missing": len(missing)})

    return no_missing_days


def _low_not_above_high(asset: str) -> Any:
    @foldlog.asset_check(asset=asset)
    def low_not_above_high(days: list[Day]) -> foldlog.AssetCheckResult:
        """No night was warmer than its day."""
        wrong = weather.upside_down(days)
        return foldlog.AssetCheckResult(passed=not wrong, metadata={"days": len(wrong)})

    return low_not_above_high


# -- together ---------------------------------------------------------------------------------------------------------

definitions = foldlog.Definitions(
    assets=[delivery, raw, days, months, records, load, report],
    asset_checks=[check(asset) for asset in (RAW, DAYS) for check in (_no_missing_days, _low_not_above_high)],
    jobs=[
        foldlog.define_asset_job("ingest", [DELIVERY, RAW], description="Keep one year of a delivery"),
        foldlog.define_asset_job("publish", f"{DAYS}*", description="From the years that are kept to the report"),
    ],
    resources={"folder": folder, "tables": tables, "warehouse": warehouse},
)


# -- what assets say of themselves ------------------------------------------------------------------------------------


def _made(rows: Sequence[NamedTuple], metadata: Mapping[str, Any]) -> foldlog.Output:
    """The rows, by which version they are, and what is worth knowing of them."""
    return foldlog.Output(rows, metadata=metadata, data_version=weather.data_version(rows))


def _extremes(days: Sequence[Day]) -> dict[str, Any]:
    return {
        "first_day": days[0].date.isoformat(),
        "last_day": days[-1].date.isoformat(),
        "lowest_c": min(day.low_c for day in days),
        "highest_c": max(day.high_c for day in days),
        "rain_mm": round(sum(day.rain_mm for day in days), 1),
    }


def _table(rows: Sequence[NamedTuple]) -> Any:
    return events.to_table(
        {name: str(value) if name == "date" else value for name, value in row._asdict().items()} for row in rows
    )
