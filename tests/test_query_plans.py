"""Every question is answered through an index, and fetches no more than its page.

On filled tables SQLite tells the plan of each statement that a question executes: no table or index is read from end
to end, and nothing is sorted. The few sorts that there are by design are of a bounded number of rows, and listed here.
The rows that cursors deliver are counted as well, for a plan does not show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from test_questions import START_US, created, made, planned, tell

from foldlog import (
    AssetKey,
    AssetRecordsFilter,
    Event,
    EventRecordsFilter,
    Instance,
    JobBucket,
    RunsFilter,
    RunStatusChangeRecordsFilter,
    TagBucket,
    events,
)
from foldlog.engine.events import AssetCheckKey
from foldlog.engine.views import run_search

RUNS = 300
LIMIT = 5

SCAN = re.compile(r"^SCAN (?!CONSTANT ROW|\d+ CONSTANT|\(|arms\b|anon_|found\b)")
SORT = "USE TEMP B-TREE FOR"


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with Instance.ephemeral() as instance:
        for n in range(RUNS):
            fill(instance, n)
        instance.get_run_records(limit=1)
        yield instance


def fill(instance: Instance, n: int) -> None:
    """One run, with something in every table of the views."""
    key, step = AssetKey(("a", str(n % 3))), f"s{n % 4}"
    tags = {"all": "x", "some": f"v{n % 5}", "one": f"n{n}"} | ({"foldlog/backfill": "b"} if n % 7 == 0 else {})
    end = (events.RunSucceeded(), events.RunFailed(), events.RunCanceled())[n % 3]
    check: dict[str, Any] = {"asset_key": key, "check_name": "c"}
    tell(
        instance,
        f"r{n}",
        created(f"j{n % 4}", tags=tags, job_snapshot_id=f"snap{n % 6}", root_run_id="r0" if n % 50 == 1 else None),
        events.RunEnqueued(),
        events.RunStarting(),
        events.RunStarted(),
        planned(str(key), f"p{n % 40}"),
        events.AssetCheckEvaluationPlanned(**check),
        events.StepStarted(),
        made(str(key), f"p{n % 30}", tags={"t": str(n % 3)}, code_version="1"),
        events.AssetObservation(asset_key=key),
        events.AssetFailedToMaterialize(asset_key=key, partition=f"p{n % 20}"),
        events.AssetCheckEvaluation(**check, passed=n % 2 == 0),
        events.StepSucceeded(),
        end,
        at=1000 * n,
        step=step,
    )


class Seen:
    """The statements that a question executed, and the rows they delivered."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any]] = []
        self.rows: list[int] = []


@contextmanager
def watching(instance: Instance) -> Iterator[Seen]:
    """Watches the database of the views. Rows are counted where the driver delivers them."""
    seen = Seen()
    engine = instance.views.store.database.engine

    def before(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.statements.append((statement, parameters))
            seen.rows.append(0)

    def after(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        number = len(seen.rows) - 1

        def on_fetch(cursor: Any, row: tuple[Any, ...]) -> tuple[Any, ...]:
            seen.rows[number] += 1
            return row

        cursor.row_factory = on_fetch

    def answer(db: Any, text: str, values: Any) -> list[Any]:  # what is asked in the driver's own words
        rows: list[Any] = db.execute(text, values).fetchall()
        seen.statements.append((text, values))
        seen.rows.append(len(rows))
        return rows

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "after_cursor_execute", after)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(instance.views.store.database, "answer", answer)
            yield seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", before)
        sa.event.remove(engine, "after_cursor_execute", after)


def plans(instance: Instance, seen: Seen) -> list[tuple[str, list[str]]]:
    """Each statement with the lines of its plan."""
    with instance.views.store.database.read() as connection:
        return [
            (statement, [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)])
            for statement, parameters in seen.statements
            if "foldlog_views" not in statement
        ]


KEY, OTHER = AssetKey(("a", "0")), AssetKey(("a", "1"))
CHECK = AssetCheckKey(KEY, "c")
Ask = Callable[[Instance], Any]

RUN_FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "ids": {"run_ids": ["r1", "r2", "r3"]},
    "job": {"job_name": "j1"},
    "status": {"statuses": ["SUCCESS"]},
    "statuses": {"statuses": ["SUCCESS", "FAILURE", "QUEUED"]},
    "tag": {"tags": {"all": "x"}},
    "tag values": {"tags": {"some": ["v1", "v2"]}},
    "rare tag": {"tags": {"one": "n7"}},
    "two tags": {"tags": {"all": "x", "some": "v1"}},
    "snapshot": {"snapshot_id": "snap1"},
    "no subruns": {"exclude_subruns": True},
    "created": {"created_after_us": START_US + 1000, "created_before_us": START_US + 200_000},
    "updated": {"updated_after_us": START_US + 1000, "updated_before_us": START_US + 200_000},
    "status, tag": {"statuses": ["FAILURE"], "tags": {"all": "x"}},
    "status, rare tag": {"statuses": ["FAILURE", "SUCCESS"], "tags": {"one": "n7"}},
    "job, status": {"job_name": "j2", "statuses": ["SUCCESS", "CANCELED"]},
    "job, updated": {"job_name": "j2", "updated_after_us": START_US + 100_000},
    "status, created": {"statuses": ["SUCCESS"], "created_before_us": START_US + 100_000},
    "everything": {
        "job_name": "j2", "statuses": ["SUCCESS"], "tags": {"all": "x", "some": "v1"}, "exclude_subruns": True,
        "snapshot_id": "snap1", "created_after_us": START_US, "updated_before_us": START_US * 2,
    },
}  # fmt: skip

QUESTIONS: dict[str, Ask] = {
    "run by id": lambda i: i.get_run_record_by_id("r5"),
    "has run": lambda i: i.has_run("r5"),
    "count all": lambda i: i.get_runs_count(),
    "group": lambda i: i.get_run_group("r1", limit=LIMIT),
    "tag keys": lambda i: i.get_run_tag_keys(limit=LIMIT),
    "tag keys past": lambda i: i.get_run_tag_keys(cursor="all", limit=LIMIT),
    "tag values": lambda i: i.get_run_tags(["some"], limit=LIMIT),
    "tag values by prefix": lambda i: i.get_run_tags(["one"], value_prefix="n1", limit=LIMIT),
    "buckets of jobs": lambda i: i.get_run_records(bucket_by=JobBucket(job_names=["j1"], bucket_limit=LIMIT)),
    "buckets of a tag": lambda i: i.get_run_records(
        bucket_by=TagBucket(tag_key="some", tag_values=["v1"], bucket_limit=LIMIT)
    ),
    "steps": lambda i: i.get_run_steps("r5", limit=LIMIT),
    "some steps": lambda i: i.get_run_steps("r5", step_keys=["s1", "s2"], limit=LIMIT),
    "attempts": lambda i: i.get_step_attempts("r5", limit=LIMIT),
    "attempts at a step": lambda i: i.get_step_attempts("r5", step_key="s1", limit=LIMIT),
    "stats": lambda i: i.get_run_stats("r5"),
    "asset keys": lambda i: i.get_asset_keys(limit=LIMIT),
    "asset keys past": lambda i: i.get_asset_keys(cursor="a/0", limit=LIMIT),
    "asset keys by prefix": lambda i: i.get_asset_keys(prefix="a", limit=LIMIT),
    "asset records": lambda i: i.get_asset_records(limit=LIMIT),
    "some asset records": lambda i: i.get_asset_records([KEY, OTHER], limit=LIMIT),
    "has asset": lambda i: i.has_asset_key(KEY),
    "latest": lambda i: i.get_latest_materialization_event(KEY),
    "latest of a partition": lambda i: i.get_latest_materialization_event(KEY, partition="p0"),
    "latest of several": lambda i: i.get_latest_materialization_events([KEY, OTHER]),
    "code versions": lambda i: i.get_latest_materialization_code_versions([KEY, OTHER]),
    "plan": lambda i: i.get_latest_planned_materialization_info(KEY),
    "plan of a partition": lambda i: i.get_latest_planned_materialization_info(KEY, partition="p0"),
    "materializations": lambda i: i.get_materializations(KEY, limit=LIMIT),
    "tags of an asset": lambda i: i.get_event_tags_for_asset(KEY, filter_tags={"t": "1"}, limit=LIMIT),
    "partitions": lambda i: i.get_asset_partitions(KEY, limit=LIMIT),
    "partitions by status": lambda i: i.get_asset_partitions(KEY, statuses=["FAILED", "MATERIALIZED"], limit=LIMIT),
    "partitions in progress": lambda i: i.get_asset_partitions(KEY, statuses=["IN_PROGRESS"], cursor="p", limit=LIMIT),
    "status by partition": lambda i: i.get_status_by_partition(KEY, ["p0", "p3"]),
    "materialized partitions": lambda i: i.get_materialized_partitions(KEY, limit=LIMIT),
    "storage ids": lambda i: i.get_latest_storage_id_by_partition(KEY, limit=LIMIT),
    "data versions": lambda i: i.get_data_version_by_partition(KEY, ["p0"], limit=LIMIT),
    "checks": lambda i: i.get_asset_checks(KEY, limit=LIMIT),
    "history": lambda i: i.get_asset_check_execution_history(CHECK, limit=LIMIT),
    "history by status": lambda i: i.get_asset_check_execution_history(CHECK, status=["FAILED"], limit=LIMIT),
    "history of plans": lambda i: i.get_asset_check_execution_history(CHECK, status=["SKIPPED"], limit=LIMIT),
    "history of a partition": lambda i: i.get_asset_check_execution_history(CHECK, partition="p", limit=LIMIT),
    "history behind": lambda i: i.get_asset_check_execution_history(CHECK, cursor=900, limit=LIMIT),
    "latest checks": lambda i: i.get_latest_asset_check_execution_by_key([CHECK]),
    "summaries": lambda i: i.get_asset_check_summary_records([CHECK]),
}  # fmt: skip

ASSET_FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "partition": {"asset_partitions": ["p0"]},
    "partitions": {"asset_partitions": ["p0", "p3", "p6"]},
    "positions": {"after_storage_id": 10, "before_storage_id": 2000},
    "times": {"after_timestamp_us": START_US + 100, "before_timestamp_us": START_US + 10**6},
    "ids": {"storage_ids": [8, 21, 34]},
    "tags": {"tags": {"t": ["0", "1"]}},
}
CHANGE_FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "job": {"job_names": ["j1"]},
    "jobs": {"job_names": ["j1", "j2", "j3"]},
    "positions": {"after_storage_id": 10, "before_storage_id": 2000, "job_names": ["j1"]},
    "times": {"after_timestamp_us": START_US + 100},
    "ids": {"storage_ids": [13, 26, 39]},
}
OF_ASSETS = ("ASSET_MATERIALIZATION", "ASSET_OBSERVATION", "ASSET_MATERIALIZATION_PLANNED", "ASSET_WIPED")
OF_CHECKS = ("ASSET_CHECK_EVALUATION", "ASSET_CHECK_EVALUATION_PLANNED")

for name, given in RUN_FILTERS.items():
    chosen = RunsFilter(**given)
    QUESTIONS[f"runs: {name}"] = lambda i, f=chosen: i.get_run_records(f, limit=LIMIT)  # type: ignore[misc]
    QUESTIONS[f"runs behind: {name}"] = lambda i, f=chosen: i.get_run_records(f, cursor="r200", limit=LIMIT)  # type: ignore[misc]
    QUESTIONS[f"ids: {name}"] = lambda i, f=chosen: i.get_run_ids(f, limit=LIMIT)  # type: ignore[misc]
    QUESTIONS[f"count: {name}"] = lambda i, f=chosen: i.get_runs_count(f)  # type: ignore[misc]
    for order in run_search.ORDERS:
        QUESTIONS[f"runs by {order}: {name}"] = lambda i, f=chosen, o=order: i.get_run_records(  # type: ignore[misc]
            f, order_by=o, limit=LIMIT, cursor="r150", ascending=True
        )
for name, given in ASSET_FILTERS.items():
    of_asset = AssetRecordsFilter(asset_key=KEY, **given)
    QUESTIONS[f"fetch: {name}"] = lambda i, f=of_asset: i.fetch_materializations(f, limit=LIMIT)  # type: ignore[misc]
    QUESTIONS[f"fetch up: {name}"] = lambda i, f=of_asset: i.fetch_observations(f, limit=LIMIT, ascending=True)  # type: ignore[misc]
    renamed = {n.replace("storage_id", "cursor") if "ids" not in n else n: value for n, value in given.items()}
    for kind in (*OF_ASSETS, *(OF_CHECKS if "tags" not in given else ())):
        for key in (None, KEY):
            of_kind = EventRecordsFilter(event_type=kind, asset_key=key, **renamed)
            told = f"events {kind} {'of one' if key else 'of all'}: {name}"
            QUESTIONS[told] = lambda i, f=of_kind: i.get_event_records(f, limit=LIMIT)  # type: ignore[misc]
for name, given in CHANGE_FILTERS.items():
    changes = RunStatusChangeRecordsFilter(event_type="RUN_SUCCESS", **given)
    QUESTIONS[f"changes: {name}"] = lambda i, f=changes: i.fetch_run_status_changes(f, limit=LIMIT)  # type: ignore[misc]
    QUESTIONS[f"changes up: {name}"] = lambda i, f=changes: i.fetch_run_status_changes(f, limit=LIMIT, ascending=True)  # type: ignore[misc]

#: what sorts a bounded number of rows: those that the caller named, or the few of a rare condition
SORTS = re.compile(
    r"^runs( behind| by \w+)?: (ids|rare tag|status, rare tag|everything)$|^ids: ids$|^some steps$|^group$"
)


@pytest.mark.parametrize("common", [True, False], ids=["common", "rare"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_goes_through_indexes(
    instance: Instance, question: str, common: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`common`: as in a large log, where more runs meet a condition than a probe counts."""
    monkeypatch.setattr(run_search, "PROBE", 10 if common else 1000)
    with watching(instance) as seen:
        QUESTIONS[question](instance)
    assert seen.statements
    for statement, plan in plans(instance, seen):
        told = f"{statement}\n" + "\n".join(plan)
        for line in plan:
            assert not SCAN.match(line) or _walks_in_order(line, plan), told
            if SORT in line:
                assert SORTS.match(question) or (not common and question.startswith(("runs", "ids"))), told


def _walks_in_order(line: str, plan: list[str]) -> bool:
    """A page without any condition that leads walks the index of its order from the end; it may not be sorted. The
    assets lie in the order of their keys themselves."""
    return ("USING" in line or line == "SCAN assets_v2") and not any(SORT in other for other in plan)


@pytest.mark.parametrize("common", [True, False], ids=["common", "rare"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_fetches_no_more_than_its_page(
    instance: Instance, question: str, common: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_search, "PROBE", 10 if common else 1000)
    with watching(instance) as seen:
        QUESTIONS[question](instance)
    for (statement, _), rows in zip(seen.statements, seen.rows, strict=True):
        # `has_more` looks one on. Without a limit of its own: what the page named, four tags or events each.
        assert rows <= (LIMIT + 1 if "LIMIT" in statement else 4 * LIMIT), f"{question}: {rows} rows of {statement}"


def test_rows_are_counted(instance: Instance) -> None:
    with watching(instance) as seen:
        instance.get_run_ids(limit=77)
    assert 77 in seen.rows


# -- folds ------------------------------------------------------------------------------------------------------------


def test_a_run_that_goes_with_its_assets_is_dropped_a_bounded_number_of_rows_at_a_time(tmp_path: Path) -> None:
    """The fold holds the write lock, and a body may have a megabyte."""
    key = AssetKey("a")
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as instance:
        hidden = [events.AssetMaterialization(asset_key=key, partition=f"h{n % 3}") for n in range(1500)]
        made = [events.AssetMaterialization(asset_key=key, partition=f"p{n % 3}", tags={"n": "v"}) for n in range(1200)]
        checked = [events.AssetCheckEvaluation(asset_key=key, check_name="c", passed=True) for _ in range(1200)]
        instance.log.append("@asset-events/0", [Event(fact, START_US) for fact in hidden])
        wiped = events.AssetWiped(asset_key=key)
        instance.log.append("goes", [Event(fact, START_US) for fact in (wiped, *made, *checked)])
        assert [one.partition for one in instance.get_asset_partitions(key)] == ["p0", "p1", "p2"]
        instance.delete_run("goes", keep_assets=False)
        with watching(instance) as seen:
            instance.views.projector.catch_up()
        of_assets = [
            (text, rows) for (text, _), rows in zip(seen.statements, seen.rows, strict=True) if "asset_" in text
        ]
        assert max(rows for _, rows in of_assets) == 500
        assert not [text for text, rows in of_assets if rows > 1 and "body" in text]
        assert sum("asset_event_tags" in text for text, _ in of_assets) < 6
        dropping = Seen()
        dropping.statements = [one for one in seen.statements if "asset_events_v2.run_id = " in one[0]]
        assert dropping.statements
        for text, plan in plans(instance, dropping):
            assert not [line for line in plan if "TEMP B-TREE" in line], text
        assert [one.partition for one in instance.get_asset_partitions(key)] == ["h0", "h1", "h2"]
        assert instance.verify().problems() == []
