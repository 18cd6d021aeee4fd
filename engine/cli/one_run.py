"""What happened in one run: how it stands, by the views, and what went wrong, by the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .code_options import CodeChoice
from .executing import Caller
from .forms import class_and_message, error_line, metadata_text, record_form, tags_text
from .options import Target
from .own_traceback import recorded_traceback
from .runs import lasted, run_form
from .show import Cell, clean, local, print_json, say, status, table, took, when

if TYPE_CHECKING:
    from ..instance import Instance
    from ..log.log import EventRecord
    from ..views.records import Run, RunRecord, StepRecord

TROUBLE = ("STEP_UP_FOR_RETRY", "STEP_FAILURE", "RUN_FAILURE", "RUN_CANCELED")
NOTES = ("HOOK_ERRORED", "ENGINE_EVENT")  #: what went wrong beside: hooks, and resources that were not torn down
MADE = ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION")
MOST = 1000  #: steps, failures and assets shown of one run


def show_run(
    instance: Instance, run_id: str, *, position: int | None = None, as_json: bool = False, target: Target | None = None
) -> None:
    """What happened in one run: the views say how it stands, the log says what went wrong. `position`: up to there.
    `target`: how the log was named, for a command that goes on from here."""
    record, steps = _stands(instance, run_id, position)
    trouble = _events(instance, run_id, TROUBLE, position)
    made = _events(instance, run_id, MADE, position)
    notes = [one for one in _events(instance, run_id, NOTES, position) if _is_note(one, record)]
    lost = position is None and is_lost(instance, record.run)
    if as_json:
        print_json(
            {
                **run_form(record),
                "steps": [step_form(step) for step in steps],
                "failures": [_trouble_form(one) for one in trouble],
                "notes": [_trouble_form(one) for one in notes],
                "worker_is_gone": lost,
                "assets": [record_form(one) for one in made],
            }
        )
        return
    _print_head(record)
    if lost:
        say("  the process that executed it is gone; nothing more will happen in it", "red")
    say()
    print_steps(steps)
    _print_made(made)
    print_failed_checks([one.event.fact for one in made if getattr(one.event.fact, "passed", True) is False])
    if trouble:
        say()
    print_trouble(trouble)
    _print_notes(notes)
    if lost:
        say(err=True)
        url = target if target is not None else Target("", "default")
        again = Caller(CodeChoice(None, None, None), url).command("job", "execute", "--from-failure", run_id)
        say(f"what to do: `{again}`, with -m or -f for its code, records the failure and goes on from there.", err=True)


def is_lost(instance: Instance, run: Run) -> bool:
    """Whether a run is under way, as far as is recorded, and its process on this machine is gone."""
    from ..execution.lost import worker_is_gone

    return not run.status.is_finished and worker_is_gone(instance, run)


def _is_note(record: EventRecord, run: RunRecord) -> bool:
    """Whether an event tells of something that went wrong, or of why the run ended without an error."""
    fact: Any = record.event.fact
    return fact.error is not None or (run.failure_class is None and "worker of the run is gone" in fact.text)


def _trouble_form(record: EventRecord) -> dict[str, Any]:
    """An event of a failure, with what failed by the same names everywhere."""
    error = getattr(record.event.fact, "error", None)
    told = {"error_class": None, "error_message": None}
    return {
        **record_form(record),
        **(told if error is None else {"error_class": error.class_name, "error_message": error.message}),
    }


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
    from ..definitions.job_text import ALL_ASSETS

    run = record.run
    of = "the assets' own job" if run.job_name == ALL_ASSETS else run.job_name
    say(f"run {clean(run.run_id)} of {clean(of)}: {run.status}", "bold")
    for name, text in (
        ("tags", tags_text(run.tags)),
        ("repeats", run.parent_run_id or ""),
        ("created", local(record.created_us)),
        ("started", local(record.started_us)),
        ("ended", f"{local(record.ended_us)}, after {lasted(record)}" if record.ended_us else ""),
        ("reason", record.failure_reason or ""),
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
            class_and_message(step.error_class, step.error_message) if step.error_class else "",
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


def print_failed_checks(facts: list[Any]) -> None:
    """What checks that did not pass have said: their descriptions and metadata."""
    for fact in facts:
        where = f"{fact.asset_key}[{fact.partition}]" if fact.partition is not None else str(fact.asset_key)
        said = f": {fact.description}" if fact.description else ""
        say()
        say(clean(f"check {fact.check_name} of {where} did not pass ({fact.severity}){said}"), "red")
        for name, value in fact.metadata.items():
            say(clean(f"  {name}: {metadata_text(value)}"))


def print_trouble(records: list[EventRecord]) -> None:
    """Each failure; the stack of what ended a step or, if no step did, the run."""
    told: set[str] = set()
    for record in records:
        event = record.event
        fact: Any = event.fact
        error = fact.error
        if error is None:
            reason = getattr(fact, "reason", None)
            if event.type.startswith("RUN_") and reason not in (None, "STEP_FAILURE"):
                say(clean(f"the run ended: {reason}"), "red")
            continue
        if event.type.startswith("RUN_") and str(error) in told:
            continue
        told.add(str(error))
        where = f"step {event.step_key}, attempt {fact.attempt}" if event.step_key else "the run"
        if event.type == "STEP_UP_FOR_RETRY":
            say(clean(f"{where} failed and was tried again: {error_line(error)}"), "yellow")
            continue
        say(clean(f"{where} failed with {error_line(error)}"), "red")
        say(clean(recorded_traceback(error)))


def _print_notes(records: list[EventRecord]) -> None:
    for record in records:
        fact: Any = record.event.fact
        hook = getattr(fact, "hook", None)
        say()
        if hook is not None:
            say(clean(f"hook {hook} of step {record.event.step_key} failed with {error_line(fact.error)}"), "yellow")
        else:
            say(clean(fact.text), "yellow")
        if fact.error is not None:
            say(clean(recorded_traceback(fact.error)))
