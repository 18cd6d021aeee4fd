"""Run workloads and print what came out: for people, as markdown, or as JSON."""

from __future__ import annotations

import inspect
import platform
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from . import jobs, raw, raw_views
from .contest import Outcome, Timing
from .latency import GET_S, PUT_S
from .servers.server import MYSQL, POSTGRES, Server
from .workloads import WORKLOADS, Workload


def run(
    names: Iterable[str],
    *,
    rounds: int,
    folder: Path | None = None,
    peer: str | None = None,
    servers: Sequence[Server] = (),
    sizes: tuple[int, ...] = (),
) -> Iterator[Outcome]:
    """The outcomes of the named workloads, each as soon as it is there. Files go into a folder of their own.

    `peer`: the Python of a virtual environment that has dagster, to execute jobs against.
    `servers`: where to measure instead of SQLite. `sizes`: of the histories of `flat` on a server, in events.
    """
    with tempfile.TemporaryDirectory(prefix="foldlog-bench-", dir=folder) as place:
        if not servers:
            yield from _run({**WORKLOADS, "jobs": partial(jobs.jobs, peer=peer)}, names, Path(place), rounds)
        for number, server in enumerate(servers):
            from .servers.workloads import workloads

            others = [other for other in servers if other is not server]
            bound = {name: partial(work, server) for name, work in workloads(sizes, others).items()}
            for outcome in _run(bound, names, Path(place) / str(number), rounds):
                yield outcome._replace(name=f"{server.title}: {outcome.name}")


def run_objects(
    names: Sequence[str], urls: Sequence[str], *, rounds: int, folder: Path | None = None
) -> Iterator[Outcome]:
    """The same of the log on objects. `urls`: of buckets. Without names: all, or with a bucket, that one."""
    from .objects.bucket import Bucket
    from .objects.workloads import WORKLOADS as ON_OBJECTS

    with tempfile.TemporaryDirectory(prefix="foldlog-bench-", dir=folder) as place:
        yield from _run(ON_OBJECTS, names or ([] if urls else ON_OBJECTS), Path(place), rounds)
        for bucket in map(Bucket, urls):
            for outcome in bucket.measure(Path(place), rounds):
                yield outcome._replace(name=f"{bucket.title}: {outcome.name}")


def _run(workloads: Mapping[str, Workload], names: Iterable[str], place: Path, rounds: int) -> Iterator[Outcome]:
    for name in names:
        home = place / name
        home.mkdir(parents=True)
        yield from workloads[name](home, rounds)


def machine(servers: Sequence[Server] = (), *, objects: bool = False) -> dict[str, str]:
    """What the figures depend on besides the code."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        "msgpack": ".".join(map(str, msgpack.version)),
        "msgspec": msgspec.__version__,
    }
    if objects:
        distant = f"{PUT_S * 1000:.0f} ms a PUT, LIST or DELETE, {GET_S * 1000:.0f} ms a GET"
        return {**found, "distant": distant, "dollars": "list prices of S3 standard, storage left out"}
    for server in servers:
        found[server.title] = ", ".join(f"{name}={value}" for name, value in server.settings().items())
    return found if servers else {**found, "durability": "full: WAL, synchronous=FULL, both sides"}


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """One outcome for JSON."""
    return {
        "workload": outcome.name,
        "ratio": round(outcome.ratio, 3),
        "least": round(outcome.spread[0], 3),
        "greatest": round(outcome.spread[1], 3),
        "goal": outcome.goal,
        "good": outcome.good,
        "raw": round(outcome.raw.rate, 3),
        "foldlog": round(outcome.foldlog.rate, 3),
        "unit": outcome.unit,
        "raw_cpu_us": round(outcome.raw.cpu_us, 2),
        "foldlog_cpu_us": round(outcome.foldlog.cpu_us, 2),
        "note": outcome.note,
    }


def row(outcome: Outcome) -> list[str]:
    """One outcome as cells: workload, raw, foldlog, ratio, spread, goal, met."""
    spread = f"{outcome.spread[0]:.2f}-{outcome.spread[1]:.2f}" if outcome.spread[1] else ""
    name = f"{outcome.name} ({outcome.note})" if outcome.note else outcome.name
    met = ("yes" if outcome.good else "no") if outcome.goal else ""
    if not outcome.raw.rate:  # a figure by itself
        return [name, "", _amount(outcome, outcome.foldlog), "", "", outcome.goal, met]
    amounts = [_amount(outcome, timing) for timing in (outcome.raw, outcome.foldlog)]
    return [name, *amounts, f"{outcome.ratio:.2f}", spread, outcome.goal, met]


def _amount(outcome: Outcome, timing: Timing) -> str:
    places = 0 if timing.rate >= 10 or not timing.rate else 1 if timing.rate >= 1 else 2
    return f"{timing.rate:,.{places}f} {outcome.unit}"


HEADINGS = ["workload", "raw", "foldlog", "ratio", "spread", "goal", "met"]


def markdown(outcomes: Iterable[Outcome]) -> str:
    """A table to paste into a document."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(row(one) for one in outcomes)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def raw_code(servers: Sequence[Server] = (), *, objects: bool = False) -> str:
    """The code of the limit the figures are held against."""
    if objects:
        from .objects import raw as raw_objects

        return inspect.getsource(raw_objects)
    from .servers import raw_mysql, raw_postgres, raw_views as raw_tables

    of_kind = {POSTGRES: raw_postgres, MYSQL: raw_mysql}
    kinds = dict.fromkeys(server.kind for server in servers)
    modules = [*(of_kind[kind] for kind in kinds), raw_tables, raw_views] if kinds else [raw, raw_views]
    return "\n\n".join(inspect.getsource(module) for module in modules)
