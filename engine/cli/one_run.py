"""What happened in one run: how it stands, by the views, and what went wrong, by the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .forms import record_form, tags_text
from .runs import lasted, run_form
from .show import Cell, clean, local, print_json, say, status, table, took, when

if TYPE_CHECKING:
    from ..instance import Instance
    from ..log.log import EventRecord
    from ..views.records import RunRecord, StepRecord

TROUBLE = ("STEP_UP_FOR_RETRY", "STEP_FAILURE", "RUN_FAILURE", "RUN_CANCELED")
MADE = ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION")
MOST = 1000  #: steps, failures and assets shown of one run


def show_run(instance: Instance, run_id: str, *, position: int | None = None, as_json: bool = False) -> None:
    """What happened in one run: the views say how it stands, the log says what went wrong. `position`: up to there."""
    record, steps = _stands(instance, run_id, position)
    trouble = _events(instance, run_id, TROUBLE, position)
    made = _events(instance, run_id, MADE, position)
    if as_json:
        print_json(
            {
                **run_form(record),
                "steps": [step_form(step) for step in steps],
                "failures": [record_form(one) for one in trouble],
                "assets": [record_form(one) for one in made],
            }
        )
        return
    _print_head(record)
    say()
    print_steps(steps)
    _print_made(made)
    if trouble:
        say()
    print_trouble(trouble)


def _stands(instance: Instance, run_id: str, position: int | None) -> tuple[RunRecord, list[StepRecord]]:
    if position is not None:
        then = instance.run_at(run_id, position)
        return then.record, then.steps
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        error = UsageError(f"run {run_id} was deleted, or tells nothing of itself")
        error.remedy = f"`foldlog tail --run {run_id}` shows what is kept of it."
        raise error
    return record, instance.get_run_steps(run_id)


def _events(instance: Instance, run_id: str, types: tuple[str, ...], position: int | None) -> list[EventRecord]:
    records = instance.log.read_shard(run_id, types=types, limit=MOST).records
    if position is None:
        return records
    return [record for record in records if record.position is not None and record.position <= position]


def _print_head(record: RunRecord) -> None:
    run = record.run
    say(f"run {clean(run.run_id)} of {clean(run.job_name)}: {run.status}", "bold")
    for name, text in (
        ("tags", tags_text(run.tags)),
        ("repeats", run.parent_run_id or ""),
        ("created", local(record.created_us)),
        ("started", local(record.started_us)),
        ("ended", f"{local(record.ended_us)}, after {lasted(record)}" if record.ended_us else ""),
        (
            "ignored",
            f"{record.ignored_ends} later ends, the last one {record.ignored_status}" if record.ignored_ends else "",
        ),
    ):
        if text:
            say(f"  {name:<8}{clean(text)}")


def print_steps(steps: list[StepRecord]) -> None:
    """A table of steps, all attempts of a step in one row."""
    rows: list[list[Cell]] = [
        [
            step.step_key,
            status(step.status),
            step.attempts,
            when(step.started_us),
            took(step.duration_us),
            f"{step.error_class.rpartition('.')[2]}: {step.error_message}" if step.error_class else "",
        ]
        for step in steps
    ]
    table(("step", "status", "attempts#", "started", "took#", "last error"), rows) if rows else say("no steps")


def step_form(step: StepRecord) -> dict[str, Any]:
    """A step as JSON."""
    return {
        "step_key": step.step_key,
        "status": step.status,
        "attempts": step.attempts,
        "started_us": step.started_us,
        "ended_us": step.ended_us,
        "error_class": step.error_class,
        "error_message": step.error_message,
    }


def _print_made(records: list[EventRecord]) -> None:
    rows: list[list[Cell]] = []
    for record in records:
        fact: Any = record.event.fact
        what = "materialized" if record.event.type == "ASSET_MATERIALIZATION" else f"checked: {fact.check_name}"
        outcome = getattr(fact, "passed", None)
        rows.append(
            [
                str(fact.asset_key),
                fact.partition,
                what if outcome is None else f"{what}, {'passed' if outcome else 'DID NOT PASS'}",
                getattr(fact, "data_version", None),
            ]
        )
    if rows:
        say()
        table(("asset", "partition", "what", "data version"), rows)


def print_trouble(records: list[EventRecord]) -> None:
    """Each failure; the stack of what ended a step or, if no step did, the run."""
    told: set[str] = set()
    for record in records:
        event = record.event
        fact: Any = event.fact
        error = fact.error
        if error is None or (event.type.startswith("RUN_") and str(error) in told):
            continue
        told.add(str(error))
        where = f"step {event.step_key}, attempt {fact.attempt}" if event.step_key else "the run"
        if event.type == "STEP_UP_FOR_RETRY":
            say(clean(f"{where} failed and was tried again: {error.class_name}: {error.message}"), "yellow")
            continue
        say(clean(f"{where} failed with {error.class_name}: {error.message}"), "red")
        say(clean(str(error)).rstrip())
