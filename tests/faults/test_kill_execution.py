"""The worker of a run is killed with SIGKILL, at any moment; the log tells the truth, and the run can be gone on with.

The truth: a step whose code began is in the log as begun; one that is there as succeeded has its value stored; nothing
says that the run is over, unless it was. Executed again from failure, it comes to the right value, and no step that had
succeeded is executed again. Also a worker that was only stopped, and comes back after its run was given to another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from children import start
from workload import MOMENTS, RUN, STEPS, TOTAL, asset_job, job_of

from foldlog import AssetKey, Event, ExecutionResult, Instance, RunStatus, UsageError, reexecute_job
from foldlog.engine.events.asset import AssetMaterializationPlanned
from foldlog.engine.events.run import RunCreated

EXECUTOR = Path(__file__).with_name("executor.py")
SOME = ("set-up", "kept a", "between keys", "begin flaky again", "load work[x]", "end total", "torn down")
EACH = [one if one in SOME else pytest.param(one, marks=pytest.mark.long) for one in MOMENTS]


def told_by(child: subprocess.Popen[bytes], *, killed: bool | None = True) -> list[Any]:
    """What a child has said. `killed`: whether it was; None: it may have been too fast."""
    said, _ = child.communicate(timeout=60)
    expected = {True: (-signal.SIGKILL,), False: (0,), None: (-signal.SIGKILL, 0)}[killed]
    assert child.returncode in expected, child.returncode
    return [json.loads(note) for note in said.splitlines()]


def types_of(instance: Instance, run_id: str) -> list[tuple[str, str | None]]:
    return [(one.event.type, one.event.step_key) for one in instance.log.read_shard(run_id).records]


def go_on(instance: Instance, folder: Path, **options: Any) -> tuple[ExecutionResult, list[str]]:
    """The run, executed again from failure; and the steps whose code was called."""
    called: list[str] = []

    def note(mark: Any) -> None:
        if mark[0] == "begin" and mark[1] not in called:
            called.append(mark[1])

    job = job_of(folder, note)
    return reexecute_job(job, RUN, instance=instance, from_failure=True, **options), called


def check_truth(instance: Instance, notes: list[Any], status: RunStatus | None) -> set[str]:
    """What the log says against what the dead have said; the steps that succeeded."""
    told = types_of(instance, RUN)
    begun = {key for kind, key in told if kind == "STEP_START"}
    succeeded = {str(key) for kind, key in told if kind == "STEP_SUCCESS"}
    assert {mark[1] for mark in notes if mark[0] == "begin"} <= begun
    assert succeeded <= {mark[1] for mark in notes if mark[0] == "end"}
    assert len([one for one in told if one[0] == "STEP_SUCCESS"]) == len(succeeded)
    if status is not None and status.is_finished:
        assert told[-1] == ("RUN_SUCCESS", None)
        assert ["torn down", "tool"] in notes
    else:
        assert not {"RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED"} & {kind for kind, _ in told}
    steps = {one.step_key: one.status for one in instance.get_run_steps(RUN)}
    assert steps.keys() == begun
    assert {key for key, one in steps.items() if one == "SUCCESS"} == succeeded
    assert set(steps.values()) <= {"SUCCESS", "STARTED", "UP_FOR_RETRY"}
    assert sum(one != "SUCCESS" for one in steps.values()) <= 2, "one at a time, and one that waits to be tried again"
    return succeeded


def examine(instance: Instance, root: Path, notes: list[Any]) -> RunStatus | None:
    """Check what a dead worker has left, and bring its run to an end; the status that it had."""
    run = instance.get_run_by_id(RUN)
    if run is None:
        assert not [mark for mark in notes if mark[0] == "begin"]
        return None
    succeeded = check_truth(instance, notes, run.status)
    verified = instance.verify()
    assert verified.ok, verified.problems
    if run.status is RunStatus.SUCCESS:
        with pytest.raises(UsageError, match="succeeded"):
            go_on(instance, root / "values")
        return run.status
    assert run.status in (RunStatus.NOT_STARTED, RunStatus.STARTED)
    options = {}
    if run.status is RunStatus.NOT_STARTED:
        with pytest.raises(UsageError, match="nothing tells of its worker"):
            go_on(instance, root / "values")
        options = {"assume_lost": True}
    if succeeded == set(STEPS):  # killed between the last step and the end: nothing is left to do
        with pytest.raises(UsageError, match="there is nothing to go on from"):
            go_on(instance, root / "values", **options)
        check_parent(instance)
        again = reexecute_job(job_of(root / "values"), RUN, instance=instance, step_selection="total")
        assert again.output_for_node("total") == TOTAL
    else:
        result, called = go_on(instance, root / "values", **options)
        assert result.output_for_node("total") == TOTAL
        assert set(called) == set(STEPS) - succeeded
        check_parent(instance)
    before = [instance.get_run_records(), instance.get_run_steps(RUN)]
    instance.rebuild()
    assert [instance.get_run_records(), instance.get_run_steps(RUN)] == before
    assert instance.verify().ok
    return run.status


def check_parent(instance: Instance) -> None:
    parent = instance.get_run_by_id(RUN)
    assert parent is not None
    assert parent.status is RunStatus.FAILURE
    ends = [one.event.fact for one in instance.log.read_shard(RUN, types=["RUN_FAILURE"]).records]
    assert [one.reason for one in ends] == ["UNEXPECTED_TERMINATION"]


def killed(root: Path, mode: str, place: str, *arguments: object) -> RunStatus | None:
    root.mkdir(parents=True)
    # How many appends go into one commit, and how often files are synced, is another number each time.
    notes = told_by(start(mode, place, root, *arguments, script=EXECUTOR), killed=True if mode == "kill" else None)
    url = place if "://" in place else f"sqlite:///{place}"
    with Instance.from_url(url, root=root) as instance:
        return examine(instance, root, notes)


@pytest.mark.parametrize(
    "moment", [one if one in SOME else pytest.param(one, marks=pytest.mark.long) for one in MOMENTS]
)
def test_killed_in_the_code_of_users(scratch: Path, moment: str) -> None:
    """At the beginning and the end of each step, while values are kept and loaded, as resources come and go."""
    status = killed(scratch / "root", "kill", f"sqlite:///{scratch}/root/history", moment)
    assert status is RunStatus.STARTED


def appends(scratch: Path) -> int:
    (scratch / "all").mkdir()
    notes = told_by(start("append", f"sqlite:///{scratch}/h", scratch / "all", "", 0, script=EXECUTOR), killed=False)
    assert notes[-1][0] == "appends"
    return int(notes[-1][1])


def at_each_append(scratch: Path, every: int) -> None:
    count = appends(scratch)
    assert count > 10
    found = set()
    for number in range(1, count + 1, every):
        for when in ("before", "after"):
            root = scratch / f"{when}-{number}"
            found.add(killed(root, "append", f"sqlite:///{root}/history", when, number))
    assert RunStatus.STARTED in found
    if every == 1:
        assert found == {None, RunStatus.NOT_STARTED, RunStatus.STARTED, RunStatus.SUCCESS}


def test_killed_at_appends(scratch: Path) -> None:
    """Before an append, and behind it with nobody told."""
    at_each_append(scratch, 12)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_at_each_append(scratch: Path) -> None:
    at_each_append(scratch, 1)


def at_steps_of_the_tape(scratch: Path, count: int) -> None:
    whole = scratch / "whole"
    whole.mkdir()
    notes = told_by(start("tape", whole / "history", whole, -1, script=EXECUTOR), killed=False)
    steps = int(notes[-1][1])
    assert steps > 100
    found = set()
    for number in range(count):
        step = 5 + (steps * 9 // 10 - 5) * number // count  # closing the log takes some of the last
        root = scratch / f"step-{step}"
        found.add(killed(root, "tape", str(root / "history"), step))
    # How many steps come before the run begins differs a little from process to process: a few may all miss it.
    assert RunStatus.STARTED in found or count < 10


def test_killed_between_writes_to_files(scratch: Path) -> None:
    """Also in the middle of a transaction, and of a value that is being written."""
    at_steps_of_the_tape(scratch, 4)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_between_many_writes_to_files(scratch: Path) -> None:
    at_steps_of_the_tape(scratch, 80)


@pytest.mark.parametrize("moment", ["set-up", "begin flaky again", "tear-down"])
def test_killed_on_postgres(postgres_url: str, tmp_path: Path, moment: str) -> None:
    assert killed(tmp_path / "root", "kill", postgres_url, moment) is RunStatus.STARTED


@pytest.mark.parametrize(("when", "number"), [("after", 3), ("before", 8)])
def test_killed_at_an_append_to_postgres(postgres_url: str, tmp_path: Path, when: str, number: int) -> None:
    killed(tmp_path / "root", "append", postgres_url, when, number)


def test_killed_while_assets_are_made(scratch: Path) -> None:
    """Until somebody finds out, what was planned is in progress; then it is told not to have been made."""
    root = scratch / "root"
    root.mkdir()
    url = f"sqlite:///{scratch}/h"
    told_by(start("assets", url, root, script=EXECUTOR))

    def statuses() -> dict[str, str]:
        return {name: one.status for name in "abc" for one in instance.get_asset_partitions(name)}

    with Instance.from_url(url, root=root) as instance:
        assert statuses() == {"a": "MATERIALIZED", "b": "IN_PROGRESS", "c": "IN_PROGRESS"}
        made: list[str] = []

        def at(name: str) -> None:
            made.append(name)
            assert statuses() == {
                "a": "MATERIALIZED",
                **dict.fromkeys(set("bc") - set(made), "IN_PROGRESS"),
                **dict.fromkeys(made[:-1], "MATERIALIZED"),
                name: "IN_PROGRESS",
            }

        parent_ended = [one.event.fact for one in instance.log.read_shard(RUN).records]
        assert not [one for one in parent_ended if type(one).__name__ == "AssetFailedToMaterialize"]
        result = reexecute_job(asset_job(at), RUN, instance=instance, from_failure=True)
        assert result.success
        assert made == ["b", "c"]
        failed = instance.log.read_shard(RUN, types=["ASSET_FAILED_TO_MATERIALIZE"]).records
        assert [(str(one.event.fact.asset_key.to_text()), one.event.fact.partition) for one in failed] == [
            ("b", "p"),
            ("c", "p"),
        ]
        assert statuses() == dict.fromkeys("abc", "MATERIALIZED")
        check_parent(instance)
        assert instance.verify().ok


def test_two_find_a_worker_lost_at_once(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds that the first has ended the run, and goes on all the same."""
    root = scratch / "root"
    root.mkdir()
    url = f"sqlite:///{scratch}/h"
    told_by(start("kill", url, root, "begin work[x]", script=EXECUTOR))
    with Instance.from_url(url, root=root) as instance, Instance.from_url(url, root=root) as other:
        really = instance.log.append
        first: list[Any] = []

        def late(shard: str, *arguments: Any, **options: Any) -> Any:
            if shard == RUN and not first:
                first.append(go_on(other, root / "values"))
            return really(shard, *arguments, **options)

        monkeypatch.setattr(instance.log, "append", late)
        result, _ = go_on(instance, root / "values")
        assert [result.output_for_node("total"), first[0][0].output_for_node("total")] == [TOTAL, TOTAL]
        check_parent(instance)


def test_very_many_planned_assets_of_a_lost_run(scratch: Path) -> None:
    """More than one append may hold: the end comes in several."""
    keys = [AssetKey(f"a{number}") for number in range(9_999)]
    facts = [RunCreated(job_name="abc"), *(AssetMaterializationPlanned(asset_key=key) for key in keys)]
    with Instance.from_url(f"sqlite:///{scratch}/h", root=scratch) as instance:
        instance.log.append(RUN, [Event.now(fact) for fact in facts])
        with pytest.raises(UsageError, match="no partition was given"):
            reexecute_job(asset_job(), RUN, instance=instance, from_failure=True, assume_lost=True)
        check_parent(instance)
        failed = instance.log.read_shard(RUN, types=["ASSET_FAILED_TO_MATERIALIZE"], limit=10_000).records
        assert [one.event.fact.asset_key for one in failed] == keys


# -- workers that live ------------------------------------------------------------------------------------------


def waiting(url: str, root: Path, moment: str) -> subprocess.Popen[bytes]:
    """A worker that has come to a moment, and waits there."""
    root.mkdir(parents=True, exist_ok=True)
    child = start("wait", url, root, moment, script=EXECUTOR)
    assert child.stdout is not None
    while (mark := json.loads(child.stdout.readline()))[0] != "here":
        assert mark
    return child


def test_a_worker_that_lives_is_refused(scratch: Path) -> None:
    """Until it is dead; whether it was waited for, or is a zombie of its parent, is no matter."""
    url, root = f"sqlite:///{scratch}/h", scratch / "root"
    child = waiting(url, root, "begin work[x]")
    with Instance.from_url(url, root=root) as instance:
        with pytest.raises(UsageError, match=f"there is a process {child.pid} on this machine") as caught:
            go_on(instance, root / "values")
        assert "assume_lost" in caught.value.remedy
        assert instance.get_runs_count() == 1
        child.kill()
        while Path(f"/proc/{child.pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        result, _ = go_on(instance, root / "values")
        assert result.output_for_node("total") == TOTAL
        check_parent(instance)
    child.communicate(timeout=10)


def test_killed_when_it_was_to_stop(scratch: Path) -> None:
    """Somebody asked for a cancel, and the worker was killed before it came to that: the run is canceled."""
    url, root = f"sqlite:///{scratch}/h", scratch / "root"
    child = waiting(url, root, "begin work[x]")
    with Instance.from_url(url, root=root) as instance:
        assert instance.cancel_run(RUN)
        child.kill()
        child.communicate(timeout=10)
        result, _ = go_on(instance, root / "values")
        assert result.output_for_node("total") == TOTAL
        parent = instance.get_run_by_id(RUN)
        assert parent is not None
        assert parent.status is RunStatus.CANCELED


def test_a_worker_of_another_machine(scratch: Path) -> None:
    """Nobody can tell from here whether it lives; the caller can."""
    root = scratch / "root"
    root.mkdir()
    url = f"sqlite:///{scratch}/h"
    told_by(start("kill", url, root, "begin work[x]", script=EXECUTOR))
    with Instance.from_url(url, root=root) as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        with pytest.raises(UsageError, match="not of this machine"):
            go_on(instance, root / "values")
        result, _ = go_on(instance, root / "values", assume_lost=True)
        assert result.output_for_node("total") == TOTAL
        check_parent(instance)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_a_worker_that_comes_back(request: pytest.FixtureRequest, scratch: Path, backend: str) -> None:
    """Stopped, taken for lost, and its run given to another; then it goes on. It notices at its next step."""
    url = f"sqlite:///{scratch}/h" if backend == "sqlite" else request.getfixturevalue("postgres_url")
    root = scratch / "root"
    child = waiting(url, root, "begin work[x]")
    os.kill(child.pid, signal.SIGSTOP)
    with Instance.from_url(url, root=root) as instance:
        with pytest.raises(UsageError, match="there is a process"):
            go_on(instance, root / "values")
        result, called = go_on(instance, root / "values", assume_lost=True)
        assert result.output_for_node("total") == TOTAL
        assert called[0] == "work[x]"
        ended = instance.get_run_record_by_id(RUN)
        (root / "go").touch()
        os.kill(child.pid, signal.SIGCONT)
        notes = told_by(child, killed=False)
        assert notes[-1] == ["interrupted", "RunInterrupted: the run is FAILURE"]
        assert ["begin", "work[y]"] not in notes
        assert ["torn down", "tool"] in notes
        late = types_of(instance, RUN)
        late = late[late.index(("RUN_FAILURE", None)) + 1 :]
        assert not {"RUN_CANCELING", "RUN_CANCELED", "RUN_FAILURE", "RUN_SUCCESS"} & {kind for kind, _ in late}
        assert late[-1] == ("ENGINE_EVENT", None)
        assert instance.get_run_record_by_id(RUN) == ended, "the first end stands, and nothing is added to it"
        assert instance.verify().ok
        assert result.output_for_node("total") == TOTAL
