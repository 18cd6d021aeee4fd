"""Questions across runs, each against tables made by hand for it, on an open connection: raw_views.py.

The answers are compared before anything is timed. `questions` asks a history of 100,000 events; `flat` asks histories
of other sizes and gives the time of each question there as a multiple of its time here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ..engine.instance import Instance
from ..engine.views.filters import EventRecordsFilter, RunsFilter
from . import history, raw_views
from .contest import Outcome, Timing, contest, freeze, timed
from .history import Shape

SMALL = Shape(runs=200, events=500)
SIZES = (Shape(runs=1000, events=1000), Shape(runs=100, events=1000), Shape(runs=10_000, events=100))
GOAL = 0.33  #: at most three times as long
REPEATS = 40
ASSET = "raw/asset-7"
TEAM = "team-0"  #: whose runs fail as well: 0 is a multiple of both


class Asked(NamedTuple):
    """One question, asked both ways; each answers with what may be compared."""

    name: str
    raw: Callable[[], Any]
    foldlog: Callable[[], Any]


def questions(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Questions of an orchestrator's UI on 100,000 events."""
    with _filled(folder, SMALL) as instance:
        db = raw_views.fill(folder / "raw.db", SMALL)
        for one in asked(db, instance):
            agree(one)
            yield contest(one.name, often(one.raw), often(one.foldlog), goal=GOAL, rounds=rounds, unit="questions/s")


def flat(folder: Path, rounds: int) -> Iterator[Outcome]:
    """The same on a million events, in 100, 1000 and 10,000 runs: how many times as long each question takes."""
    small = _times(folder / "small", SMALL, rounds)
    for shape in SIZES:
        large = _times(folder / f"{shape.runs}", shape, rounds)
        for name, seconds in large.items():
            ratio = small[name] / seconds
            note = f"{shape.runs:,} runs of {shape.events:,}"
            yield Outcome(
                name, ">= 0.5 of 100,000", ratio >= 0.5, ratio, (0, 0),
                Timing(1 / small[name], 0), Timing(1 / seconds, 0), "questions/s", note,
            )  # fmt: skip


def _times(folder: Path, shape: Shape, rounds: int) -> dict[str, float]:
    folder.mkdir()
    with _filled(folder, shape) as instance:
        freeze()
        return {one.name: _seconds(one.foldlog, rounds) for one in asked(None, instance)}


def _seconds(work: Callable[[], Any], rounds: int) -> float:
    repeated = often(work)
    repeated()
    return 1 / median(timed(repeated).rate for _ in range(rounds))


def _filled(folder: Path, shape: Shape) -> Instance:
    instance = Instance.from_url(f"sqlite:///{folder}/history?durability=process")
    history.write(instance.log, shape)
    instance.get_runs_count()
    return instance


def asked(db: Any, instance: Instance) -> Iterator[Asked]:
    """The questions. `db`: has the tables of raw_views, and `execute` as a connection of sqlite3 has it."""
    limit, many = 100, 50

    def raw(question: Callable[..., Any], *terms: Any) -> Callable[[], Any]:
        return lambda: question(db, *terms)

    def of_type(name: str) -> Asked:
        chosen = EventRecordsFilter(event_type=name)
        return Asked(
            f"events of a type: {name}, 100",
            raw(raw_views.events_of_type, name, limit),
            lambda: instance.get_event_records(chosen, limit=limit).records,
        )

    failed = RunsFilter(statuses=["FAILURE"], tags={"team": TEAM})
    yield Asked(
        "latest materialization",
        raw(raw_views.latest_materialization, ASSET),
        lambda: instance.get_latest_materialization_event(ASSET),
    )
    yield Asked(
        "materializations of an asset, 100",
        raw(raw_views.materializations, ASSET, limit),
        lambda: instance.fetch_materializations(ASSET, limit=limit).records,
    )
    yield Asked("asset records, 50", raw(raw_views.asset_records, many), lambda: instance.get_asset_records(limit=many))
    yield Asked(
        "materialized partitions",
        raw(raw_views.partitions, ASSET),
        lambda: instance.get_materialized_partitions(ASSET),
    )
    yield Asked(
        "latest position by partition",
        raw(raw_views.position_by_partition, ASSET),
        lambda: instance.get_latest_storage_id_by_partition(ASSET),
    )
    yield Asked(
        "runs by status and tag, 50",
        raw(raw_views.runs_by_status_and_tag, "FAILURE", "team", TEAM, many),
        lambda: instance.get_run_records(failed, limit=many),
    )
    yield Asked("runs, the newest 50", raw(raw_views.runs, many), lambda: instance.get_run_records(limit=many))
    yield of_type("ASSET_MATERIALIZATION")
    yield of_type("STEP_SUCCESS")
    yield of_type("HOOK_ERRORED")
    yield Asked(
        "run status changes, 100",
        raw(raw_views.events_of_type, "RUN_SUCCESS", limit),
        lambda: instance.fetch_run_status_changes("RUN_SUCCESS", limit=limit).records,
    )


def often(work: Callable[[], Any]) -> Callable[[], int]:
    """The same again and again, so that a clock can tell how long it takes."""

    def repeat() -> int:
        for _ in range(REPEATS):
            work()
        return REPEATS

    return repeat


def agree(question: Asked) -> None:
    """Raise where the two answers differ: no figure would mean anything."""
    theirs, mine = question.raw(), question.foldlog()
    if isinstance(theirs, dict) and "fact" in theirs:
        same = theirs["fact"]["data_version"] == mine.event.fact.data_version
    else:
        same = len(theirs) == len(mine) > 0
    if not same:
        raise AssertionError(f"{question.name}: the answers differ, so no figure would mean anything")
