"""What a run has left, read from its shard: which steps succeeded, with which outputs; and from its ancestors'.

The events say it, not the views: a re-execution must not depend on how far a view is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..events.asset import AssetMaterialization
from ..events.key import AssetKey
from ..events.run import RunCreated
from ..events.step import StepFailed, StepOutput, StepRestarted, StepSkipped, StepStarted, StepSucceeded
from ..log.log import EventRecord
from .deployment import Deployment
from .plan import OutputKey, template

PAGE = 10_000  #: events read at a time
#: what tells of the run, its steps and their outputs; log lines, of which there may be many more, are not read
TYPES = (
    "RUN_CREATED", "RUN_ENQUEUED", "RUN_STARTING", "RUN_START", "RUN_SUSPENDED", "RUN_RESUMED", "RUN_CANCELING",
    "RUN_CANCELED", "RUN_FAILURE", "RUN_SUCCESS", "STEP_START", "STEP_RESTARTED", "STEP_UP_FOR_RETRY", "STEP_OUTPUT",
    "STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED", "ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_FAILED_TO_MATERIALIZE",
)  # fmt: skip


@dataclass
class Past:
    """Steps by key (of mapped ones, with the key of each), as one or several runs have left them."""

    succeeded: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    meant: frozenset[str] | None = None  #: to be executed by the latest run; None: all of the job
    meant_later: frozenset[str] = frozenset()  #: to be executed by any of them: of these, nothing earlier counts
    outputs: dict[OutputKey, str] = field(default_factory=dict)  #: to the run that has the value
    mapping_keys: dict[OutputKey, tuple[str, ...]] = field(default_factory=dict)
    made: dict[tuple[str, AssetKey], str] = field(default_factory=dict)  #: step and asset, to the run that made it
    failed: frozenset[str] = frozenset()  #: in the latest run, by themselves: not those that were interrupted

    @property
    def meant_steps(self) -> frozenset[str] | None:
        """Steps that the latest run was to execute, mapped ones without their keys; None: all of the job."""
        return None if self.meant is None else frozenset(map(template, self.meant))

    def under(self, earlier: Past) -> Past:
        """This past, with what an earlier one tells of steps that this one was not to execute. One that it was to
        execute, and never came to, is not as earlier runs have left it: what it is made of has changed since."""
        later = self.meant_later
        kept = {one for one in earlier.succeeded | earlier.skipped if one not in later and template(one) not in later}
        return Past(
            self.succeeded | (earlier.succeeded & kept),
            self.skipped | (earlier.skipped & kept),
            self.meant,
            later | earlier.meant_later,
            {**{key: run for key, run in earlier.outputs.items() if key[0] in kept}, **self.outputs},
            {**{key: keys for key, keys in earlier.mapping_keys.items() if key[0] in kept}, **self.mapping_keys},
            {**{key: run for key, run in earlier.made.items() if key[0] in kept}, **self.made},
            self.failed,
        )


def read_run(instance: Deployment, run_id: str, *, up_to: int | None = None) -> list[EventRecord]:
    """The events of a run that tell of its steps; `up_to`: none behind this seq."""
    found: list[EventRecord] = []
    after = 0
    while records := instance.log.read_shard(run_id, after_seq=after, types=TYPES, limit=PAGE).records:
        found += [one for one in records if up_to is None or one.seq <= up_to]
        after = records[-1].seq
        if up_to is not None and after >= up_to:
            break
    return found


def past_of(run_id: str, records: Iterable[EventRecord]) -> Past:
    """What one run has left."""
    past = Past()
    outputs: dict[str, dict[str, list[str] | None]] = {}
    assets: dict[str, set[AssetKey]] = {}
    failed: set[str] = set()
    for record in records:
        key, fact = record.event.step_key or "", record.event.fact
        match fact:
            case StepStarted() | StepRestarted():
                past.succeeded.discard(key)
                assets[key], outputs[key] = set(), {}  # what an earlier attempt gave is given again, or not at all
            case StepOutput(output_name=name, mapping_key=mapping_key):
                _note(outputs.setdefault(key, {}), name, mapping_key)
            case StepSucceeded():
                past.succeeded.add(key)
            case AssetMaterialization(asset_key=asset):
                assets.setdefault(key, set()).add(asset)
            case StepFailed(source=source):
                past.succeeded.discard(key)
                if source != "INTERRUPT":
                    failed.add(key)
            case StepSkipped():
                past.skipped.add(key)
            case RunCreated(step_keys=step_keys) if step_keys is not None:
                past.meant = past.meant_later = frozenset(step_keys)
    for key in past.succeeded:
        for name, keys in outputs.get(key, {}).items():
            past.outputs[key, name] = run_id
            if keys is not None:
                past.mapping_keys[key, name] = tuple(keys)
        past.made |= {(key, asset): run_id for asset in assets.get(key, ())}
    past.failed = frozenset(failed)
    return past


def _note(outputs: dict[str, list[str] | None], name: str, mapping_key: str | None) -> None:
    if mapping_key is None:
        outputs[name] = None
        return
    keys = outputs.setdefault(name, [])
    if keys is not None:
        keys.append(mapping_key)


def created(records: Iterable[EventRecord]) -> RunCreated | None:
    """How the run was created."""
    return next((record.event.fact for record in records if isinstance(record.event.fact, RunCreated)), None)


def whole_past(instance: Deployment, run_id: str, records: list[EventRecord]) -> Past:
    """What a run and its ancestors have left together: of each step, the latest that executed it counts."""
    past = past_of(run_id, records)
    seen, made = {run_id}, created(records)
    while made is not None and made.parent_run_id is not None and made.parent_run_id not in seen:
        if made.step_keys is None:
            break  # it executed every step itself: nothing of the runs before counts
        parent = made.parent_run_id
        seen.add(parent)
        records = read_run(instance, parent)  # a parent that was deleted has left nothing
        past = past.under(past_of(parent, records))
        made = created(records)
    return past
