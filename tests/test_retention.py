"""Retention: what a policy comes to, what is let go, and what stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import foldlog
from foldlog import Event, Instance, Purged, RunStatus, UsageError, events
from foldlog.engine.cli.main import cli
from foldlog.engine.errors import ReadOnlyError
from foldlog.engine.events.event import Retention
from foldlog.engine.log.port import CanRepair, ShardState, Weight
from foldlog.engine.retention import AgeRule, RetentionPolicy, RunRule
from foldlog.engine.retention.age import last_position_before

DAY_US = 86_400_000_000
LINES = 200
STORES = ("memory", "sqlite", "sqlite-consolidated", "postgres", "views-in-mysql")


def later(days: float = 0) -> int:
    return time.time_ns() // 1000 + round(days * DAY_US)


def report(instance: Instance, run_id: str, *, fails: bool = False) -> None:
    try:
        with instance.run("nightly", run_id=run_id) as run:
            with run.step("extract") as step:
                for number in range(LINES):
                    step.log(f"line {number} {'x' * 500}")
            run.materialize(["raw", run_id])
            if fails:
                raise ValueError("no rows")
    except ValueError:
        assert fails


def tick(instance: Instance, number: int) -> None:
    instance.log.append(
        "@ticks",
        [
            Event(events.TickStarted(tick_id=f"tick-{number}", instigator="hourly"), 0),
            Event(events.TickSkipped(tick_id=f"tick-{number}", instigator="hourly" * 50), 0),
        ],
    )


@pytest.fixture(params=STORES)
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Instance]:
    """Three runs, one of them failed, one still going on, ticks in between."""
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/history",
            "sqlite-consolidated": f"sqlite:///{tmp_path}/history?layout=consolidated"}  # fmt: skip
    views = request.getfixturevalue("mysql_url") if request.param == "views-in-mysql" else None
    url = "memory://" if views else urls.get(request.param) or request.getfixturevalue("postgres_url")
    with Instance.from_url(url, views=views) as instance:
        report(instance, "run-a")
        tick(instance, 1)
        report(instance, "run-b", fails=True)
        instance.log.append("run-open", [Event(events.RunCreated(job_name="nightly"), 0)])
        tick(instance, 2)
        instance.log.catch_up()
        yield instance


def faults(instance: Instance) -> list[str]:
    backend = instance.log.backend
    return backend.diagnose(full=True) if isinstance(backend, CanRepair) else []


def positions(instance: Instance) -> list[int]:
    found: list[int] = []
    for record in instance.log.read(limit=10_000).records:
        if isinstance(record, Purged):
            found += range(record.first_position, record.last_position + 1)
        else:
            found.append(record.position or 0)
    return found


# -- the policy -------------------------------------------------------------------------------------------------------


def test_a_policy_is_read_from_a_mapping() -> None:
    policy = RetentionPolicy.from_mapping(
        {
            "runs": {"after_days": 90, "statuses": ["SUCCESS", "CANCELED"], "keep_assets": False},
            "log_messages": {"after_days": 0.5},
            "ticks": {"after_days": 7},
        }
    )
    assert policy == RetentionPolicy(
        runs=RunRule(after_days=90, statuses=(RunStatus.SUCCESS, RunStatus.CANCELED), keep_assets=False),
        log_messages=AgeRule(after_days=0.5),
        ticks=AgeRule(after_days=7),
    )
    assert RetentionPolicy.from_mapping({}).is_empty
    assert RetentionPolicy.from_mapping({"runs": {"after_days": 1}}).runs == RunRule(after_days=1)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ([], ["retention: []", "runs, log_messages, ticks"]),
        ({"run": {}}, ["retention: the key 'run'", "runs, log_messages, ticks"]),
        ({"runs": 90}, ["retention.runs: 90", "after_days, statuses, keep_assets"]),
        ({"runs": {}}, ["retention.runs.after_days is missing", "0 to 36,500"]),
        ({"runs": {"after_days": "90"}}, ["retention.runs.after_days: '90'", "0 to 36,500"]),
        ({"runs": {"after_days": True}}, ["retention.runs.after_days: True"]),
        ({"runs": {"after_days": float("nan")}}, ["retention.runs.after_days: nan"]),
        ({"ticks": {"after_days": -1}}, ["retention.ticks.after_days: -1"]),
        ({"log_messages": {"after_days": 40_000}}, ["retention.log_messages.after_days: 40000"]),
        ({"log_messages": {"after_days": 1, "statuses": []}}, ["retention.log_messages: the key 'statuses'"]),
        ({"runs": {"after_days": 1, "statuses": "SUCCESS"}}, ["retention.runs.statuses: 'SUCCESS'", "FAILURE"]),
        ({"runs": {"after_days": 1, "statuses": []}}, ["retention.runs.statuses: []"]),
        ({"runs": {"after_days": 1, "statuses": ["STARTED"]}}, ["retention.runs.statuses: 'STARTED'", "SUCCESS"]),
        ({"runs": {"after_days": 1, "keep_assets": "no"}}, ["retention.runs.keep_assets: 'no'", "true or false"]),
    ],
    ids=str,
)
def test_a_wrong_policy_is_refused_by_key_value_and_what_is_allowed(mapping: object, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        RetentionPolicy.from_mapping(mapping)  # type: ignore[arg-type]
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_rule_made_in_code_is_checked_too() -> None:
    for made in (lambda: AgeRule(after_days=-1), lambda: RunRule(after_days=1, statuses=(RunStatus.STARTED,))):
        with pytest.raises(UsageError):
            made()


# -- ages -------------------------------------------------------------------------------------------------------------


def test_the_position_of_an_age_is_that_of_a_scan() -> None:
    times = iter([10, 20, 20, 30, 50, 50, 80])
    from foldlog.backends.memory import MemoryBackend
    from foldlog.engine.log.log import EventLog
    from foldlog.serdes import Codec

    now = [0]
    log = EventLog(MemoryBackend(clock_us=lambda: now[0]), Codec())
    for number, now[0] in enumerate(times):
        log.append(f"run-{number}", [Event(events.LogMessage(text="x"), 0)] * (1 + number % 3), wait="ordered")
    placed = log.backend.placed(after=0, limit=100)
    for cutoff in range(0, 100, 5):
        wanted = max((entry.last_position for entry in placed if entry.receipt.at_us < cutoff), default=0)
        assert last_position_before(log, cutoff) == wanted


# -- plan and apply ---------------------------------------------------------------------------------------------------


def test_a_plan_changes_nothing_and_weighs_what_goes(instance: Instance) -> None:
    policy = RetentionPolicy(
        runs=RunRule(after_days=1), log_messages=AgeRule(after_days=1), ticks=AgeRule(after_days=1)
    )
    before = positions(instance), instance.log.weigh(), instance.log.head()
    assert instance.plan_retention(policy).by_class == {
        "runs": Weight(), "log_messages": Weight(), "ticks": Weight()
    }  # fmt: skip
    plan = instance.plan_retention(policy, now_us=later(days=2))
    assert [run.run_id for run in plan.runs] == ["run-a", "run-b"]
    assert [run.status for run in plan.runs] == [RunStatus.SUCCESS, RunStatus.FAILURE]
    assert plan.by_class["log_messages"].events == 2 * LINES
    assert plan.by_class["ticks"].events == 4
    assert [(trim.retention, trim.shard) for trim in plan.trims] == [
        (Retention.LOG, None), (Retention.TICK, "@ticks"),
    ]  # fmt: skip
    assert plan.runs[0].events == sum(
        weight.events for kind, weight in instance.log.weigh(shard="run-a").items() if kind is not Retention.KEPT
    )
    assert not plan.more
    assert (positions(instance), instance.log.weigh(), instance.log.head()) == before


def test_what_is_applied_is_gone_and_the_rest_stays(instance: Instance) -> None:
    policy = RetentionPolicy(log_messages=AgeRule(after_days=1), ticks=AgeRule(after_days=1))
    now_us = later(days=2)
    done = instance.apply_retention(policy, now_us=now_us)
    assert (done.runs, done.events, done.more, done.completed) == (0, 2 * LINES + 4, False, 0)
    assert set(instance.log.weigh()) == {Retention.RUN, Retention.KEPT}
    assert positions(instance) == list(range(1, instance.log.head().position + 1))
    assert instance.verify().ok
    assert faults(instance) == []
    head = instance.log.head()
    again = instance.apply_retention(policy, now_us=now_us)
    assert (again.events, again.completed) == (0, 0)
    assert instance.log.head() == head, "nothing went, and yet something was recorded"
    assert [record.run.run_id for record in instance.get_run_records()] == ["run-open", "run-b", "run-a"]

    runs = RetentionPolicy(runs=RunRule(after_days=1, statuses=(RunStatus.FAILURE,)))
    assert instance.apply_retention(runs, now_us=now_us).runs == 1
    assert [record.run.run_id for record in instance.get_run_records()] == ["run-open", "run-a"]
    assert instance.has_asset_key("raw/run-b")
    forget = RetentionPolicy(runs=RunRule(after_days=1, keep_assets=False))
    assert instance.apply_retention(forget, now_us=now_us).runs == 1
    assert not instance.has_asset_key("raw/run-a")
    assert [record.run.run_id for record in instance.get_run_records()] == ["run-open"]
    assert instance.verify().ok
    assert faults(instance) == []


def test_a_pass_takes_a_limited_number_of_runs(instance: Instance) -> None:
    policy, now_us = RetentionPolicy(runs=RunRule(after_days=1)), later(days=2)
    plan = instance.plan_retention(policy, now_us=now_us, limit=1)
    assert [run.run_id for run in plan.runs] == ["run-a"]
    assert plan.more
    seen: list[tuple[str, int, int]] = []
    assert instance.apply_retention(plan, progress=lambda *told: seen.append(told)).more
    assert seen[0] == ("runs", 0, 1)
    assert seen[-2:] == [("runs", 1, 1), ("facts", 0, 0)]
    assert instance.apply_retention(plan).runs == 0, "the run of the plan was deleted before"
    last = instance.apply_retention(policy, now_us=now_us, limit=1)
    assert (last.runs, last.more) == (1, False)
    for limit in (0, 10_001):
        with pytest.raises(UsageError, match="limit="):
            instance.plan_retention(policy, limit=limit)


def test_deletions_and_trims_that_were_cut_short_are_completed(instance: Instance) -> None:
    log = instance.log
    log.append("@instance", [Event(events.RunDeleted(run_id="run-a"), 0)])
    log.backend.fence("run-a")
    log.append(
        "@instance",
        [Event(events.HistoryTrimmed(retention=int(Retention.TICK), through_position=5), 0)],
        wait="ordered",
    )
    report(instance, "run-c")
    position = log.head().position
    fact = events.HistoryTrimmed(retention=int(Retention.LOG), through_position=position)
    log.append("@instance", [Event(fact, 0)], wait="ordered")
    done = instance.apply_retention(RetentionPolicy())
    assert done.completed == 2
    shard = log.backend.find_shard("run-a")
    assert shard is not None
    assert shard.state is ShardState.PURGED
    assert Retention.LOG not in log.weigh(through_position=position)
    assert faults(instance) == []


def test_with_a_log_that_is_read_only_nothing_goes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/h"
    with Instance.from_url(url) as instance:
        tick(instance, 1)
        instance.log.trim(Retention.TICK, instance.log.catch_up().position, shard="@ticks")
    with Instance.from_url(url, read_only=True) as instance, pytest.raises(ReadOnlyError, match="let go"):
        instance.apply_retention(RetentionPolicy())


# -- pools ------------------------------------------------------------------------------------------------------------


def pool(instance: Instance, *facts: object) -> int:
    receipt = instance.log.append("@pools", [Event(fact, 0) for fact in facts], wait="ordered")  # type: ignore[arg-type]
    (record,) = instance.log.read_shard("@pools", after_seq=receipt.last_seq - 1, limit=1).records
    return record.position or 0


def asks(run_id: str, step_key: str) -> tuple[object, object]:
    return (
        events.PoolSlotRequested(pool="db", run_id=run_id, step_key=step_key),
        events.PoolSlotClaimed(pool="db", run_id=run_id, step_key=step_key),
    )


def trims_of_pools(instance: Instance) -> list[int]:
    plan = instance.plan_retention(RetentionPolicy(ticks=AgeRule(after_days=1)), now_us=later(days=2))
    return [trim.through_position for trim in plan.trims if trim.shard == "@pools"]


@pytest.fixture
def memory() -> Iterator[Instance]:
    with Instance.ephemeral() as instance:
        for run_id in ("run-1", "run-2"):
            instance.log.append(run_id, [Event(events.RunCreated(job_name="j"), 0)])
        yield instance


def test_pools_are_not_trimmed_past_a_slot_that_is_held(memory: Instance) -> None:
    freed = pool(memory, *asks("run-1", "a"), events.PoolSlotFreed(run_id="run-1", step_key="a"))
    pool(memory, *asks("run-1", "b"))
    last = pool(memory, events.PoolSlotRequested(pool="db", run_id="run-2", step_key="c"))
    assert trims_of_pools(memory) == [freed]
    pool(memory, events.PoolSlotFreed(run_id="run-1"))
    assert trims_of_pools(memory) == [last - 1], "run-2 still waits"
    memory.apply_retention(RetentionPolicy(ticks=AgeRule(after_days=0)), now_us=later(days=1))
    left = [record.event.fact for record in memory.log.read_shard("@pools").records]
    assert left[0] == events.PoolSlotRequested(pool="db", run_id="run-2", step_key="c")


def test_a_request_that_has_no_position_yet_holds_up_nothing_before_it(memory: Instance) -> None:
    last = pool(memory, *asks("run-1", "a"), events.PoolSlotFreed(run_id="run-1", step_key="a"))
    memory.log.append("@pools", [Event(events.PoolSlotRequested(pool="db", run_id="run-2", step_key="c"), 0)])
    assert trims_of_pools(memory) == [last]


def test_a_claim_for_a_run_that_was_deleted_holds_up_nothing(memory: Instance) -> None:
    memory.log.append("run-1", [Event(events.RunStarted(), 0)])
    memory.delete_run("run-1")
    late = pool(memory, *asks("run-1", "a"))
    assert trims_of_pools(memory) == [late]
    unheard = pool(memory, *asks("run-9", "a"))
    pool(memory, *asks("run-2", "a"))
    assert trims_of_pools(memory) == [unheard - 2], "of run-9 nothing was told, and it may come"


def test_facts_of_ticks_go_shard_by_shard(memory: Instance) -> None:
    """Everywhere would be in `@pools` too, where a slot is held."""
    last = pool(memory, events.PoolLimitSet(pool="db", limit=1), *asks("run-1", "a"))
    tick(memory, 1)
    with pytest.raises(UsageError, match="without shard=") as caught:
        memory.log.trim(Retention.TICK, last)
    assert "apply_retention" in caught.value.remedy
    assert [record.event.type for record in memory.log.read_shard("@instance").records] == []
    memory.apply_retention(RetentionPolicy(ticks=AgeRule(after_days=0)), now_us=later(days=1))
    found = memory.get_pool("db")
    assert found is not None
    assert found.claimed == 1


def test_a_trim_of_ticks_everywhere_that_was_told_is_completed(memory: Instance) -> None:
    tick(memory, 1)
    fact = events.HistoryTrimmed(retention=int(Retention.TICK), through_position=memory.log.catch_up().position)
    memory.log.append("@instance", [Event(fact, 0)], wait="ordered")
    assert memory.apply_retention(RetentionPolicy()).completed == 1
    assert Retention.TICK not in memory.log.weigh()


def test_the_end_of_a_step_frees_its_slot(memory: Instance) -> None:
    def step(fact: object) -> None:
        memory.log.append("run-1", [Event(fact, 0, step_key="a")])  # type: ignore[arg-type]

    step(events.StepStarted())
    last = pool(memory, *asks("run-1", "a"))
    assert trims_of_pools(memory) == []
    step(events.StepUpForRetry(attempt=1))
    memory.log.catch_up()
    assert trims_of_pools(memory) == [memory.log.head().position]
    again = pool(memory, *asks("run-1", "a"))
    step(events.StepRestarted(attempt=2))
    assert trims_of_pools(memory) == [again - 2], "the second attempt holds one; what the first asked for may go"
    step(events.StepSucceeded(attempt=2))
    assert last < again <= trims_of_pools(memory)[0]


@pytest.mark.parametrize("how", ["ended", "deleted"])
def test_the_end_of_a_run_frees_its_slots(memory: Instance, how: str) -> None:
    pool(memory, *asks("run-1", "a"))
    assert trims_of_pools(memory) == []
    if how == "ended":
        memory.log.append("run-1", [Event(events.RunSucceeded(), 0)])
    else:
        memory.delete_run("run-1")
    memory.log.catch_up()
    assert trims_of_pools(memory) == [memory.log.head().position]


def test_limits_of_pools_stay(memory: Instance) -> None:
    pool(memory, events.PoolLimitSet(pool="db", limit=3), *asks("run-9", "a"), events.PoolSlotFreed(run_id="run-9"))
    memory.apply_retention(RetentionPolicy(ticks=AgeRule(after_days=0)), now_us=later(days=1))
    left = [record.event.fact for record in memory.log.read_shard("@pools").records]
    assert left == [events.PoolLimitSet(pool="db", limit=3)]


# -- storage ----------------------------------------------------------------------------------------------------------


def bytes_of(home: Path) -> dict[str, int]:
    """What lies in the files of a home, WALs included, by the name of the file."""
    sizes: dict[str, int] = {}
    for path in home.rglob("*.db*"):
        name = path.name.removesuffix("-wal").removesuffix("-shm")
        if not path.name.endswith("-shm"):
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "open"])
@pytest.mark.parametrize("layout", ["sharded", "consolidated"])
def test_the_files_get_smaller_at_once(tmp_path: Path, layout: str, sealed: bool) -> None:
    home = tmp_path / "history"
    with Instance.from_url(f"sqlite:///{home}?layout={layout}") as instance:
        for number in range(3):
            report(instance, f"run-{number}")
        for number in range(500):
            tick(instance, number)
        instance.log.catch_up()
        for number in range(3):
            if not sealed:
                instance.log.append(f"run-{number}", [Event(events.LogMessage(text="opens it again"), 0)])
            shard = instance.log.backend.find_shard(f"run-{number}")
            assert shard is not None
            assert (shard.state is ShardState.SEALED) == sealed
        inodes = {path: path.stat().st_ino for path in home.rglob("*.db")}
        before = bytes_of(home)
        policy = RetentionPolicy(log_messages=AgeRule(after_days=0), ticks=AgeRule(after_days=0))
        instance.apply_retention(policy, now_us=later(days=1))
        after = bytes_of(home)
        gone = before.keys() if layout == "consolidated" else {"run-0.db", "run-1.db", "run-2.db", "system.db"}
        for name in gone - {"views.db"}:
            assert after[name] < before[name] / 2, name
        assert {path: path.stat().st_ino for path in home.rglob("*.db")} == inodes
        text = b"line 7 xxxx"
        assert not any(text in path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert faults(instance) == []


HOLDER = """
import sys
import foldlog
from foldlog import Event, events
log = foldlog.open_log(sys.argv[1])
log.append("run-0", [Event(events.LogMessage(text="held open"), 0)])
print("ready", flush=True)
input()
print([r.event.type for r in log.read_shard("run-0", newest_first=True, limit=2).records])
print(log.append("run-0", [Event(events.LogMessage(text="after"), 0)]).first_seq)
"""


def test_another_process_that_has_the_file_open_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "history"
    with Instance.from_url(f"sqlite:///{home}") as instance:
        report(instance, "run-0")
        arguments = [sys.executable, "-P", "-c", HOLDER, f"sqlite:///{home}"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            end = instance.log.read_shard("run-0", newest_first=True, limit=1).records[0].seq
            before = bytes_of(home)["run-0.db"]
            head = instance.log.catch_up()
            assert instance.log.trim(Retention.LOG, head.position).freed.events == LINES + 1
            assert bytes_of(home)["run-0.db"] < before / 2
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "['RUN_SUCCESS', 'ASSET_MATERIALIZATION']\n"
            assert int(holder.stdout.readline()) == end + 1
        instance.log.catch_up()
        assert instance.log.read_shard("run-0", newest_first=True, limit=1).records[0].event.fact.text == "after"
        assert faults(instance) == []


def test_a_reader_reads_on_through_a_trim(instance: Instance) -> None:
    """Each position once: as an event if it was read before the trim came there, else within one purged range."""
    log = instance.log
    seen: list[int] = []
    page = log.read(limit=7)
    while True:
        for record in page.records:
            first = record.first_position if isinstance(record, Purged) else record.position or 0
            last = record.last_position if isinstance(record, Purged) else record.position or 0
            seen += range(first, last + 1)
        if len(seen) < 100:
            log.trim(Retention.LOG, len(seen) + 5)
        if page.at_head:
            break
        page = log.read(after=str(page.cursor), limit=7)
    assert seen == list(range(1, log.head().position + 1))


def test_the_next_trim_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """The work grows with what is new: a run that was trimmed, and has nothing new, is not opened again."""
    with Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        report(instance, "run-a")
        log = instance.log
        log.trim(Retention.LOG, log.catch_up().position)
        log.seal("run-a")
        report(instance, "run-b")
    with Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        log = instance.log
        log.trim(Retention.LOG, log.catch_up().position)
        opened = {Path(name).stem for name in log.backend.files._files}  # type: ignore[attr-defined]
        assert opened == {"run-b", "system"}


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/history"
    with Instance.from_url(url) as instance:
        report(instance, "run-a")
        report(instance, "run-b", fails=True)
    return url


def invoke(*args: object, **more: object):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog", **more)  # type: ignore[arg-type]


def test_the_command_plans_and_applies(url: str) -> None:
    rules = ("--runs-days", 0, "--status", "failure", "--log-days", 0)
    planned = invoke("retention", "plan", "--url", url, *rules)
    assert planned.exit_code == 0, planned.output
    assert "run-b" in planned.stdout
    assert "run-a" not in planned.stdout
    form = json.loads(invoke("retention", "plan", "--url", url, *rules, "--json").stdout)
    assert [run["run_id"] for run in form["runs"]] == ["run-b"]
    assert form["by_class"]["log_messages"]["events"] == 2 * LINES
    assert form["trims"][0]["retention"] == "LOG"
    asked = invoke("retention", "apply", "--url", url, *rules)
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    done = json.loads(invoke("retention", "apply", "--url", url, *rules, "--yes", "--json").stdout)
    assert (done["runs"], done["more"]) == (1, False)
    assert "gone: 0 events, 0 B; runs deleted: 0" in invoke("retention", "apply", "--url", url, *rules, "--yes").stdout
    with foldlog.Instance.from_url(url) as instance:
        assert [record.run.run_id for record in instance.get_run_records()] == ["run-a"]
        assert Retention.LOG not in instance.log.weigh()


def test_the_command_says_what_it_lacks(url: str) -> None:
    nothing = invoke("retention", "plan", "--url", url)
    assert nothing.exit_code == 1
    assert "what to do: Give --runs-days, --log-days or --tick-days, or write `retention:`" in nothing.stderr
    for wrong in (("--status", "SUCCESS"), ("--drop-assets",), ("--runs-days", -1), ("--limit", 0, "--log-days", 1)):
        assert invoke("retention", "plan", "--url", url, *wrong).exit_code == 2


def test_the_configured_policy_holds_where_no_rule_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOLDLOG_URL", raising=False)
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    (tmp_path / "foldlog.yaml").write_text("retention: {log_messages: {after_days: 0}}\n")
    with foldlog.Instance.get() as instance, instance.run("job") as run:
        for number in range(5):
            run.log(f"line {number}")
    form = json.loads(invoke("retention", "plan", "--json").stdout)
    assert (form["by_class"]["log_messages"]["events"], form["runs"]) == (5, [])
    (tmp_path / "foldlog.yaml").write_text("retention: {log_messages: {after: 0}}\n")
    wrong = invoke("retention", "plan")
    assert wrong.exit_code == 1
    assert "foldlog.yaml:1" in wrong.stderr
    assert "after_days" in wrong.stderr
