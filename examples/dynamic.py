"""A job that finds out while it runs how many steps it has: a file is split into pieces, each is summed up, all are put
together again.

    split -> summarize[2012], summarize[2013], ... -> compare

    foldlog job execute -f examples/dynamic.py
    python -m foldlog.examples.dynamic

What the pieces are is configured: `{ops: {split: {config: {by: sky}}}}` makes one for each word for the sky. Summing up
asks a service that is busy now and then, so those steps are tried again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import foldlog
from foldlog.examples import weather
from foldlog.examples.weather import Day


class SplitConfig(foldlog.Config):
    """What is split, and into which pieces."""

    file: Path = Path(weather.__file__).with_name("seattle-weather.csv")
    by: Literal["year", "season", "sky"] = "year"


class Service:
    """Stands for a service that works out means, and is busy each third time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def mean(self, values: list[float]) -> float:
        self.asked += 1
        if self.asked % 3 == 0:
            raise ConnectionError("the service is busy")
        return round(sum(values) / len(values), 1)


@foldlog.resource
def service() -> Service:
    """The service, with a line of its own for each run."""
    return Service()


@foldlog.op(out=foldlog.DynamicOut(list))
def split(context: foldlog.StepExecutionContext, config: SplitConfig) -> Iterator[foldlog.DynamicOutput]:
    """The days of the file, in pieces; how many there are, the file tells."""
    with config.file.open(encoding="utf-8", newline="") as lines:
        days = weather.read_days(lines)
    pieces: dict[str, list[Day]] = defaultdict(list)
    for day in days:
        pieces[_piece(day, config.by)].append(day)
    context.log.info("%d days of %s in %d pieces by %s", len(days), config.file.name, len(pieces), config.by)
    for key in sorted(pieces):
        yield foldlog.DynamicOutput(pieces[key], mapping_key=key, metadata={"days": len(pieces[key])})


def _piece(day: Day, by: str) -> str:
    if by == "year":
        return str(day.date.year)
    return day.sky if by == "sky" else ("winter", "spring", "summer", "autumn")[day.date.month % 12 // 3]


@foldlog.op(
    required_resource_keys={"service"},
    retry_policy=foldlog.RetryPolicy(max_retries=3, delay=0.01, backoff="EXPONENTIAL"),
)
def summarize(context: foldlog.StepExecutionContext, days: list[Day], service: Service) -> dict[str, Any]:
    """One piece in a few numbers."""
    mean = service.mean([day.high_c for day in days])
    rain = round(sum(day.rain_mm for day in days), 1)
    return {"piece": context.get_mapping_key(), "days": len(days), "mean_high_c": mean, "rain_mm": rain}


@foldlog.op
def compare(context: foldlog.StepExecutionContext, summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All pieces, the warmest first."""
    found = sorted(summaries, key=lambda one: -one["mean_high_c"])
    context.log.info("the warmest of %d: %s, with %s °C", len(found), found[0]["piece"], found[0]["mean_high_c"])
    return found


@foldlog.job(resource_defs={"service": service})
def pieces() -> None:
    """Split the measurements, sum up each piece, compare them."""
    compare(split().map(summarize).collect())


def main() -> None:
    """Execute the job twice, in memory, and say what came of it."""
    with foldlog.Instance.ephemeral() as instance:
        for by in ("year", "sky"):
            config = {"ops": {"split": {"config": {"by": by}}}}
            result = foldlog.execute_job(pieces, instance=instance, run_config=config)
            steps = instance.get_run_steps(result.run_id)
            again = [step.step_key for step in steps if step.attempts > 1]
            print(f"by {by}: {len(steps)} steps, of them tried again: {', '.join(again)}")
            for one in result.output_for_node("compare"):
                print(f"  {one['piece']:<8}{one['days']:>5} days{one['mean_high_c']:>6} °C{one['rain_mm']:>8} mm")


if __name__ == "__main__":
    main()
