"""An execution plan: the steps of a job that a run executes, and what earlier runs give to them.

Promises: every input of a chosen step is given, by a chosen step, by an earlier run, by the run config or by a default;
what is not is said before a run is created. The same job and selection give the same plan, and the same snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..definitions.job import JobDefinition
from ..definitions.job_text import job_text
from ..definitions.selection import Selectable, select
from ..definitions.steps import CollectSource, MappedSource, Step, StepInputDef, StepOutputSource
from ..errors import fault

OutputKey = tuple[str, str]  #: key of a step (with its mapping key, if it is mapped), name of an output


@dataclass(frozen=True, kw_only=True)
class KnownState:
    """What earlier runs have made of steps that this run does not execute."""

    outputs: Mapping[OutputKey, str] = field(default_factory=dict)  #: to the run that has the value
    mapping_keys: Mapping[OutputKey, tuple[str, ...]] = field(default_factory=dict)  #: of dynamic outputs, in order
    succeeded: frozenset[str] = frozenset()  #: steps
    skipped: frozenset[str] = frozenset()


NOTHING_KNOWN = KnownState()
STEP_KEYS_LIMIT = 1024 * 1024  #: bytes of step keys that a run records, in the event that creates it
SOME = "..."  #: in the place of the mapping key, in a step key: of some of them, which are too many to name


def template(step_key: str) -> str:
    """The key of a step without the mapping key, if it has one."""
    return step_key.partition("[")[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class ExecutionPlan:
    """The steps that a run executes. Mapped ones stand for one for each key; `only` names those that are chosen."""

    job: JobDefinition
    steps: Mapping[str, Step]  #: in order
    known: KnownState = NOTHING_KNOWN
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: mapped step to its keys, where not all
    step_keys: tuple[str, ...] | None = None  #: as a run records them; None: all of the job

    def wants(self, step: Step, mapping_key: str | None) -> bool:
        """Whether the step, of that key, is to be executed."""
        if step.key not in self.steps:
            return False
        return mapping_key is None or step.key not in self.only or mapping_key in self.only[step.key]

    def gives(self, source: StepOutputSource | MappedSource | CollectSource) -> bool:
        """Whether a step of this run, or an earlier run, gives what an input is made of."""
        known, key = self.known, source.step_key
        if key in self.steps or key in known.succeeded or key in known.skipped:
            return True
        return isinstance(source, CollectSource | MappedSource) and (key, source.output) in known.mapping_keys

    def document(self) -> dict[str, Any]:
        """As a snapshot keeps it: what re-execution needs to know, and people look at."""
        steps = {key: _step_document(step) for key, step in self.steps.items()}
        return {"job": self.job.name, "order": list(steps), "steps": steps}  # a stored mapping has no order


def plan_of(
    job: JobDefinition,
    *,
    op_selection: str | Sequence[str] | None = None,
    step_keys: Collection[str] | None = None,
    known: KnownState = NOTHING_KNOWN,
    only: Mapping[str, frozenset[str]] | None = None,
    given: Collection[tuple[tuple[str, ...], str]] = (),
) -> ExecutionPlan:
    """The plan of a job, or of a part of it.

    `op_selection`: in the syntax of selections, over step keys. `step_keys`: these, whatever is selected. `known`,
    `only`: for re-execution. `given`: inputs that the run config gives, by path and name, in place of a step that is
    not chosen. Raises UsageError for a step that is not there, and for an input that nothing gives.
    """
    if not job.steps:
        raise fault(f"{job_text(job.name)} has no steps", "Select something, or call an op in it.")
    chosen = _chosen(job, op_selection, step_keys)
    if chosen is None:
        return ExecutionPlan(job=job, steps=job.steps, known=known, only=only or {})
    steps = {key: step for key, step in job.steps.items() if key in chosen}
    plan = ExecutionPlan(
        job=job, steps=steps, known=known, only=only or {}, step_keys=tuple(_concrete(steps, only or {}))
    )
    for step in steps.values():
        for one in step.inputs:
            _check_given(plan, step, one, given)
    return plan


def selected_steps(job: JobDefinition, op_selection: str | Sequence[str]) -> set[str]:
    """The keys of the steps that are selected. Raises UsageError for a selection that there is not."""
    items = {key: Selectable(key=key, group=None, tags=step.tags) for key, step in job.steps.items()}
    upstream = {key: step.upstream for key, step in job.steps.items()}
    return set(select(op_selection, items, upstream, what="op"))


def _chosen(
    job: JobDefinition, op_selection: str | Sequence[str] | None, step_keys: Collection[str] | None
) -> set[str] | None:
    if step_keys is None:
        found = selected_steps(job, op_selection) if op_selection is not None else None
        return None if found is None or len(found) == len(job.steps) else found
    for key in step_keys:
        if key not in job.steps:
            from ..config.place import meant

            raise fault(
                f"{job_text(job.name)} has no step {key!r}{meant(key, job.steps)}",
                "`foldlog job list --steps` lists them.",
            )
    return set(step_keys)


def _concrete(steps: Mapping[str, Step], only: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """What the run is to execute, as it is recorded. Of mapped keys that take too much room: `step[...]`, which are
    those of the key that had not ended well when the run was created."""
    left = STEP_KEYS_LIMIT - sum(_size(f"{key}[{SOME}]") for key in steps)
    for key in steps:
        if key not in only:
            yield key
            continue
        size = sum(_size(f"{key}[{one}]") for one in only[key])
        if size > left:
            yield f"{key}[{SOME}]"
        else:
            yield from (f"{key}[{one}]" for one in sorted(only[key]))
            left -= size


def _size(step_key: str) -> int:
    """Bytes that it takes in an event, at most."""
    return len(step_key.encode()) + 5


def _check_given(plan: ExecutionPlan, step: Step, one: StepInputDef, given: Collection[Any]) -> None:
    for source in one.step_sources():
        if plan.gives(source):
            continue
        if (step.path, one.name) in given or one.definition.has_default or one.definition.is_nothing:
            continue
        raise fault(
            f"step {step.key}: its input {one.name!r} comes from {source.step_key}, which is not selected",
            f"Select that too (+{step.key}), re-execute a run in which it succeeded, or give a value in the run "
            f"config: ops.{'.ops.'.join(step.path)}.inputs.{one.name}.",
        )


def _step_document(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {
        "op": step.op.name,
        "inputs": {
            one.name: [f"{source.step_key}.{source.output}" for source in one.step_sources()] for one in step.inputs
        },
        "outputs": {name: {"required": out.is_required, "dynamic": out.is_dynamic} for name, out in step.outs.items()},
        "upstream": list(step.upstream),
    }
    if step.mapped_over is not None:
        document["mapped_over"] = ".".join(step.mapped_over)
    if step.node.making is not None:
        document["assets"] = [key.to_text() for key in step.node.making.asset_keys]
        document["checks"] = [str(key) for key in step.node.making.check_keys]
    if step.op.pool is not None:
        document["pool"] = step.op.pool
    if step.retry_policy is not None:
        document["retry_policy"] = step.retry_policy.to_document()
    return document
