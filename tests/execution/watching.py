"""What tests of execution ask of a run: its events, in short; and whether views that are rebuilt say the same."""

from __future__ import annotations

from typing import Any

from foldlog import ExecutionResult, Instance

QUIET = frozenset({"ENGINE_EVENT"})  #: notes for people, which come where they are looked for only


def run(job: Any, instance: Instance, **options: Any) -> ExecutionResult:
    """Execute a job; what fails is in the result."""
    from foldlog import execute_job

    return execute_job(job, instance=instance, raise_on_error=False, **options)


def made(assets: Any, instance: Instance, **options: Any) -> ExecutionResult:
    """Make assets; what fails is in the result."""
    from foldlog import materialize

    return materialize(assets, instance=instance, raise_on_error=False, **options)


def story(result: ExecutionResult, step_key: str | None = None, *, without: frozenset[str] = QUIET) -> list[str]:
    """The events of a run, or of a step, as `TYPE step`, in the order of their seqs."""
    return [
        record.event.type + (f" {record.event.step_key}" if record.event.step_key and step_key is None else "")
        for record in result.events(step_key)
        if record.event.type not in without
    ]


def facts(result: ExecutionResult, kind: str, step_key: str | None = None) -> list[Any]:
    """The facts of one kind."""
    return [one.event.fact for one in result.events(step_key) if one.event.type == kind]


def fact(result: ExecutionResult, kind: str, step_key: str | None = None) -> Any:
    """The only fact of a kind."""
    found = facts(result, kind, step_key)
    assert len(found) == 1, f"{len(found)} of {kind}: {story(result)}"
    return found[0]


def lines(result: ExecutionResult, step_key: str | None = None) -> list[str]:
    """The texts of log lines."""
    return [one.text for one in facts(result, "LOG_MESSAGE", step_key)]


def notes(result: ExecutionResult) -> list[str]:
    """The texts of the engine's notes."""
    return [one.text for one in facts(result, "ENGINE_EVENT")]


def answers(instance: Instance) -> dict[str, Any]:
    """What the views say of all runs and assets."""
    found: dict[str, Any] = {}
    for record in instance.get_run_records(limit=1000):
        run_id = record.run.run_id
        found[f"run {run_id}"] = record
        found[f"steps {run_id}"] = instance.get_run_steps(run_id)
        found[f"attempts {run_id}"] = instance.get_step_attempts(run_id)
        found[f"stats {run_id}"] = instance.get_run_stats(run_id)
    for one in instance.get_asset_records(limit=1000):
        key = one.asset_key
        found[f"asset {key}"] = one
        found[f"partitions {key}"] = instance.get_asset_partitions(key)
        found[f"checks {key}"] = instance.get_asset_checks(key)
        found[f"materializations {key}"] = instance.get_materializations(key)
    return found


def check_rebuilt(instance: Instance) -> None:
    """Raise AssertionError unless every view, folded anew, says the same, and proves equal to the log."""
    before = answers(instance)
    instance.rebuild()
    assert answers(instance) == before
    verified = instance.verify()
    assert verified.ok, verified.problems


def appends_of(instance: Instance, run_id: str) -> list[tuple[int, int]]:
    """The first and the last seq of each append of a run."""
    instance.log.catch_up()
    placed = instance.log.backend.placed(after=0, limit=10_000)
    return [(one.receipt.first_seq, one.receipt.last_seq) for one in placed if one.receipt.shard == run_id]
