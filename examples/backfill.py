"""A backfill: an asset that has a partition a month, made for four years; one month fails, and is repeated.

    python -m foldlog.examples.backfill [URL]
    foldlog asset materialize -m foldlog.examples.backfill --select weather/month --partition 2012-01-01..2012-12-01

Where no URL says which log, it is one in memory.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import foldlog
from foldlog import partitions
from foldlog.examples import weather

MONTHS = partitions.MonthlyPartitionsDefinition("2012-01-01", "2016-01-01")
MONTH, WETTEST = "weather/month", "weather/wettest_month"
MEASUREMENTS = Path(weather.__file__).with_name("seattle-weather.csv")
GOOD, BAD = "2014/08/11,0.5,35.6,17.8,2.6,rain", '2014/08/11,0.5,"35,6",17.8,2.6,rain'


class DeliveryConfig(foldlog.Config):
    """Where the measurements are."""

    file: Path = MEASUREMENTS


@foldlog.resource
def delivery(config: DeliveryConfig) -> list[str]:
    """The lines of the file of measurements."""
    return config.file.read_text(encoding="utf-8").splitlines()


@foldlog.asset(key=MONTH, partitions_def=MONTHS, required_resource_keys={"delivery"}, code_version="1")
def month(context: foldlog.StepExecutionContext, delivery: list[str]) -> foldlog.Output:
    """One month in a few numbers."""
    start, end = context.partition_time_window
    header, *lines = delivery
    days = weather.read_days([header, *(line for line in lines if line.startswith(f"{start:%Y/%m/}"))])
    if len(days) != (end - start).days:
        raise foldlog.Failure(f"{len(days)} days of {(end - start).days}")
    (found,) = weather.months(days)
    return foldlog.Output(found._asdict(), metadata=found._asdict(), data_version=weather.data_version(days))


@foldlog.asset(key=WETTEST, ins={"months": foldlog.AssetIn(key=MONTH)})
def wettest_month(months: dict[str, dict[str, float]]) -> str:
    """The month with the most rain, of all partitions there are."""
    return max(months, key=lambda key: months[key]["rain_mm"])


definitions = foldlog.Definitions(assets=[month, wettest_month], resources={"delivery": delivery})


def backfill(instance: foldlog.Instance, keys: Sequence[str], file: Path, title: str) -> Sequence[str]:
    """Make these partitions, a run each; those that failed. One that fails keeps no other from being made."""
    result = foldlog.materialize_partitions(
        [month],
        keys,
        instance=instance,
        resources={"delivery": delivery},
        run_config={"resources": {"delivery": {"config": {"file": str(file)}}}},
        title=title,
    )
    for run in result.runs:
        for error in run.errors.values():
            print(f"  {run.partition}: {error}")
    _tell(instance, result.backfill_id)
    return result.failed_partitions


def main(url: str | None = None) -> None:
    """Backfill four years from a file with a spoiled row; then what failed, from the file as it should be."""
    with foldlog.Instance.from_url(url) if url else foldlog.Instance.ephemeral() as instance:
        with TemporaryDirectory() as folder:
            spoiled = Path(folder) / "spoiled.csv"
            spoiled.write_text(MEASUREMENTS.read_text(encoding="utf-8").replace(GOOD, BAD), encoding="utf-8")
            failed = backfill(instance, MONTHS.get_partition_keys(), spoiled, "four years")
        backfill(instance, failed, MEASUREMENTS, "what failed")
        result = foldlog.execute_job(definitions.asset_job(WETTEST), instance=instance)
        print(f"the wettest month: {result.asset_value(WETTEST)}")


def _tell(instance: foldlog.Instance, backfill_id: str) -> None:
    """What the log knows of the backfill, and of all partitions of the asset."""
    record = instance.get_backfill(backfill_id)
    if record is None:
        raise RuntimeError(f"the log knows no backfill {backfill_id}")
    states = Counter(instance.get_status_by_partition(MONTH, MONTHS.get_partition_keys()).values())
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items(), key=str))
    print(f"{record.title}: {record.status}, {record.runs} of {record.partitions} executed; partitions now: {counts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
