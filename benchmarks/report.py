"""Run workloads and print what came out: for people, as markdown, or as JSON."""

from __future__ import annotations

import inspect
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from . import jobs, raw
from .contest import Outcome
from .workloads import WORKLOADS, Workload


def run(names: Iterable[str], *, rounds: int, folder: Path | None = None, peer: str | None = None) -> Iterator[Outcome]:
    """The outcomes of the named workloads, each as soon as it is there. Files go into a folder of their own.

    `peer`: the Python of a virtual environment that has dagster, to execute jobs against.
    """
    workloads: dict[str, Workload] = {**WORKLOADS, "jobs": partial(jobs.jobs, peer=peer)}
    with tempfile.TemporaryDirectory(prefix="foldlog-bench-", dir=folder) as place:
        for name in names:
            home = Path(place) / name
            home.mkdir()
            yield from workloads[name](home, rounds)


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        "msgpack": ".".join(map(str, msgpack.version)),
        "msgspec": msgspec.__version__,
        "durability": "full: WAL, synchronous=FULL, both sides",
    }


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """One outcome for JSON."""
    return {
        "workload": outcome.name,
        "ratio": round(outcome.ratio, 3),
        "least": round(outcome.spread[0], 3),
        "greatest": round(outcome.spread[1], 3),
        "goal": outcome.goal,
        "good": outcome.good,
        "raw": round(outcome.raw.rate, 1),
        "foldlog": round(outcome.foldlog.rate, 1),
        "unit": outcome.unit,
        "raw_cpu_us": round(outcome.raw.cpu_us, 2),
        "foldlog_cpu_us": round(outcome.foldlog.cpu_us, 2),
        "note": outcome.note,
    }


def row(outcome: Outcome) -> list[str]:
    """One outcome as cells: workload, raw, foldlog, ratio, spread, goal, met."""
    spread = f"{outcome.spread[0]:.2f}-{outcome.spread[1]:.2f}" if outcome.spread[1] else ""
    name = f"{outcome.name} ({outcome.note})" if outcome.note else outcome.name
    amounts = [f"{timing.rate:,.0f} {outcome.unit}" for timing in (outcome.raw, outcome.foldlog)]
    return [name, *amounts, f"{outcome.ratio:.2f}", spread, outcome.goal, "yes" if outcome.good else "no"]


HEADINGS = ["workload", "raw", "foldlog", "ratio", "spread", "goal", "met"]


def markdown(outcomes: Iterable[Outcome]) -> str:
    """A table to paste into a document."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(row(one) for one in outcomes)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def raw_code() -> str:
    """The code of the limit the figures are held against."""
    return inspect.getsource(sys.modules[raw.__name__])
