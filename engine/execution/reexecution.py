"""Executing a job again: what of it, and with what of the runs before, derived from their events.

From failure: what failed, was interrupted or never ran, and all that lies behind it. What succeeded is not executed
again: its outputs are loaded from the run that has them, be it the parent or one before. What was skipped stays so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..definitions.job import JobDefinition
from ..definitions.job_text import job_text
from ..definitions.op import OpDefinition
from ..definitions.steps import Step
from ..errors import fault
from ..events.run import RunCreated, RunStatus
from ..events.tags import BACKFILL_TAG, OWN_TAGS, PARTITION_TAG, RESUME_TAG
from ..reporting.recorder import Listener
from .deployment import Deployment
from .fitting import fitted, makers_to_repeat
from .given import op_texts
from .history import Past, created, read_run, whole_past
from .in_process import StepReport
from .lost import end_if_lost
from .narrowing import selected
from .plan import NOTHING_KNOWN, SOME, KnownState, selected_steps, template
from .requests import ExecutionRequest, execute
from .result import ExecutionResult

if TYPE_CHECKING:
    from ..views.records import Run

NOTES_LIMIT = 20  #: steps that are named one by one, of those that are executed again although they succeeded


@dataclass(frozen=True, kw_only=True)
class ReexecutionRequest:
    """What a caller asks of a re-execution; see `foldlog.reexecute_job`."""

    parent_run_id: str
    from_failure: bool = False
    step_selection: str | OpDefinition | Sequence[str | OpDefinition] | None = None
    run_config: Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    assume_lost: bool = False


def reexecute(
    instance: Deployment,
    job: JobDefinition,
    again: ReexecutionRequest,
    *,
    raise_on_error: bool = True,
    report: StepReport | None = None,
    listener: Listener | None = None,
) -> ExecutionResult:
    """Execute a job again; see `foldlog.reexecute_job`."""
    if again.from_failure and again.step_selection is not None:
        raise fault("both from_failure and step_selection are given", "Give one of them, or none for the whole job.")
    run = instance.get_run_by_id(again.parent_run_id)
    if run is None:
        raise fault(f"there is no run {again.parent_run_id}", "List the runs with `foldlog runs`.")
    if run.job_name != job.name:
        raise fault(
            f"run {run.run_id} is of {job_text(run.job_name)}, not of {job_text(job.name)}",
            f"Execute {job_text(run.job_name)} again.",
        )
    status = end_if_lost(instance, run, assume_lost=again.assume_lost)
    if again.from_failure and status is RunStatus.SUCCESS:
        raise fault(
            f"run {run.run_id} succeeded, so there is no failure to go on from", "Execute it whole, or a selection."
        )
    records = read_run(instance, run.run_id)  # now that nothing of it is to come any more
    made = created(records)
    wanted = _wanted(job, run, again, made, whole_past(instance, run.run_id, records))
    return execute(instance, job, wanted, raise_on_error=raise_on_error, report=report, listener=listener)


def _wanted(
    job: JobDefinition, run: Run, again: ReexecutionRequest, made: RunCreated | None, past: Past
) -> ExecutionRequest:
    # None of a job that makes no assets, and of one that only evaluates checks.
    assets = (made.asset_selection or None) if made is not None and job.makes_assets else None
    narrowed = selected(job, assets)
    born = made.tags if made is not None else run.tags  # tags of a run may be changed, and its partition not
    selection = op_texts(again.step_selection) or (made.op_selection if made is not None else None)
    part = _part(narrowed, selection, again, past)
    return ExecutionRequest(
        run_config=run.run_config if again.run_config is None else again.run_config,
        tags={**{key: value for key, value in run.tags.items() if key not in OWN_TAGS}, **again.tags},
        own_tags=_own_tags(run, again),
        partition_key=born.get(PARTITION_TAG) if job.partitions_def is not None else None,
        op_selection=selection,
        asset_selection=assets,
        resources=again.resources,
        run_id=again.run_id,
        step_keys=part.step_keys,
        known=part.known,
        only=part.only,
        notes=part.notes,
        parent_run_id=run.run_id,
        root_run_id=run.root_run_id or run.run_id,
    )


def _own_tags(run: Run, again: ReexecutionRequest) -> dict[str, str]:
    """A run that repeats one of a backfill is of that backfill, too."""
    kept = {key: run.tags[key] for key in (BACKFILL_TAG,) if key in run.tags}
    return {**kept, RESUME_TAG: "true"} if again.from_failure else kept


@dataclass(frozen=True)
class _Part:
    """What of a job is executed again, and what is known of the rest."""

    step_keys: frozenset[str] | None = None
    known: KnownState = NOTHING_KNOWN
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _part(job: JobDefinition, selection: Sequence[str] | None, again: ReexecutionRequest, past: Past) -> _Part:
    """`selection`: what is to be executed, if not from failure; None: all."""
    if selection is None and not again.from_failure:
        return _Part()
    past, changed = fitted(job.steps, past)
    if selection is not None and not again.from_failure:
        chosen = selected_steps(job, selection)
        return _Part(None, _known(job.steps, chosen, {}, past), {})
    repeated = makers_to_repeat(job.steps, past)
    chosen, only = _failed(job.steps, past, changed, repeated)
    if not chosen:
        raise fault(
            f"every step of run {again.parent_run_id} succeeded or was skipped, so there is nothing to go on from",
            "Execute it whole, or a selection.",
        )
    why = {**repeated, **changed}
    notes = [f"step {key} succeeded, and is executed again: {why[key]}" for key in job.steps if key in why]
    if len(notes) > NOTES_LIMIT:
        notes[NOTES_LIMIT:] = [f"so are {len(notes) - NOTES_LIMIT} more"]
    return _Part(frozenset(chosen), _known(job.steps, chosen, only, past), only, tuple(notes))


def _failed(
    steps: Mapping[str, Step], past: Past, changed: Collection[str] = (), repeated: Collection[str] = ()
) -> tuple[set[str], dict[str, frozenset[str]]]:
    """The steps that did not end well, with all that lies behind; of mapped steps, the keys, where it is not all.

    Only what the parent was to execute: what its selection left out is no failure. But what has `changed` since an
    earlier run executed it is executed again, with all behind it that was. `repeated`: again, though they ended well.
    """
    chosen: set[str] = set()
    only: dict[str, frozenset[str]] = {}
    meant = past.meant_steps
    there = {template(key) for key in past.succeeded | past.skipped}
    renewed = set(changed)
    for key, step in steps.items():
        is_behind = any(one in renewed for one in step.upstream)
        if key in changed or key in repeated or (is_behind and key in there):
            chosen.add(key)
            if key not in repeated or is_behind:
                renewed.add(key)
            continue
        if meant is not None and key not in meant:
            continue
        keys = None
        if step.mapped_over is not None and step.mapped_over[0] not in chosen:
            keys = _keys_of(step, past)
            keys = _meant_keys(key, past) if keys is None else keys
        if keys is None:
            if any(one in chosen for one in step.upstream) or not _ended_well(key, past):
                chosen.add(key)
            continue
        again = {one for one in keys if _lane_failed(steps, step, one, chosen, only, past)}
        if again:
            chosen.add(key)
            if len(again) < len(keys):
                only[key] = frozenset(again)
    return chosen, only


def _keys_of(step: Step, past: Past) -> tuple[str, ...] | None:
    """The keys that a mapped step was executed for; None if that is not known."""
    source, output = step.mapped_over or ("", "")
    if source in past.skipped or source in past.succeeded:
        return past.mapping_keys.get((source, output), ())  # one that gave no value told of no key
    return None


def _meant_keys(step_key: str, past: Past) -> tuple[str, ...] | None:
    """The keys of a mapped step that the latest run was to execute; None if it names none. What gave them may be
    unknown: its run was deleted."""
    lanes = [one for one in past.meant or () if one.startswith(f"{step_key}[")]
    keys = tuple(one[len(step_key) + 1 : -1] for one in lanes)
    return keys if keys and SOME not in keys else None


def _lane_failed(
    steps: Mapping[str, Step],
    step: Step,
    mapping_key: str,
    chosen: set[str],
    only: Mapping[str, frozenset[str]],
    past: Past,
) -> bool:
    for one in step.upstream:
        if one not in chosen:
            continue
        same_lane = steps[one].mapped_over == step.mapped_over
        if not same_lane or one not in only or mapping_key in only[one]:
            return True
    return not _ended_well(f"{step.key}[{mapping_key}]", past)


def _ended_well(key: str, past: Past) -> bool:
    return key in past.succeeded or key in past.skipped


def _known(steps: Mapping[str, Step], chosen: set[str], only: Mapping[str, frozenset[str]], past: Past) -> KnownState:
    """What the past tells of the steps that are not chosen."""

    def counts(key: str) -> bool:
        name, _, lane = key.partition("[")
        return name not in chosen or (name in only and lane.rstrip("]") not in only[name])

    succeeded = {key for key in past.succeeded if counts(key)}
    skipped = {key for key in past.skipped if counts(key)}
    mapping_keys = {output: keys for output, keys in past.mapping_keys.items() if counts(output[0])}
    for key, step in steps.items():
        if key in succeeded:  # one that gave no value told of no key
            for name, out in step.outs.items():
                if out.is_dynamic:
                    mapping_keys.setdefault((key, name), ())
        elif step.mapped_over is not None and key not in chosen and (keys := _keys_of(step, past)) is not None:
            lanes = [f"{key}[{one}]" for one in keys]
            if step.mapped_over[0] in past.skipped or (lanes and all(one in past.skipped for one in lanes)):
                skipped.add(key)
            elif all(_ended_well(one, past) for one in lanes):
                succeeded.add(key)
    return KnownState(
        outputs={output: run_id for output, run_id in past.outputs.items() if counts(output[0])},
        mapping_keys=mapping_keys,
        succeeded=frozenset(succeeded),
        skipped=frozenset(skipped),
    )
