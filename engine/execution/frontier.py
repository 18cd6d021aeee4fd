"""What may be executed next: keeps count of what each step still waits for.

Promises: a step is handed out once, when all that it waits for is settled; in the order of the plan. What lies behind
a failure is *abandoned*; what needs an output that stayed away is *skipped*, and so on downstream. A mapped step is
handed out once for each key of its dynamic output; whoever collects waits for all of them.
Knows no events and no values; time is not its concern. Work is in proportion to steps and dependencies.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from ..definitions.steps import (
    CollectSource,
    ConfigSource,
    FanInSource,
    MappedSource,
    Step,
    StepInputDef,
    StepOutputSource,
)
from .plan import ExecutionPlan


class Outcome(StrEnum):
    """How a step ended, or why it never began."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    SKIPPED = "SKIPPED"  #: what it needs stayed away, by the will of who makes it
    ABANDONED = "ABANDONED"  #: what it needs failed


_BAD = (Outcome.FAILURE, Outcome.ABANDONED)


class StepInstance(NamedTuple):
    """A step to execute: of a mapped one, that of one key."""

    step: Step
    mapping_key: str | None = None

    @property
    def key(self) -> str:
        return self.step.key if self.mapping_key is None else f"{self.step.key}[{self.mapping_key}]"


class Ref(NamedTuple):
    """A value that some step gave."""

    run_id: str
    step_key: str
    output: str
    mapping_key: str | None = None


class Skip(NamedTuple):
    """A step that is not executed, and why."""

    instance: StepInstance
    outcome: Outcome
    reason: str


class Frontier:
    """The state of one execution of a plan."""

    def __init__(self, plan: ExecutionPlan, run_id: str) -> None:
        self._plan = plan
        self._run_id = run_id
        self._index = {key: number for number, key in enumerate(plan.job.steps)}
        self._outputs: dict[tuple[str, str], str] = dict(plan.known.outputs)
        self._mapping_keys: dict[tuple[str, str], tuple[str, ...]] = dict(plan.known.mapping_keys)
        self.outcomes: dict[str, Outcome] = {  #: by step key, mapped ones with their key; barriers without
            **dict.fromkeys(plan.known.succeeded, Outcome.SUCCESS),
            **dict.fromkeys(plan.known.skipped, Outcome.SKIPPED),
        }
        self._waits: dict[str, set[str]] = {}
        self._waiters: dict[str, list[str]] = {}
        self._units: dict[str, StepInstance] = {}
        self._barriers: dict[str, list[str]] = {}  #: mapped step to the keys of its instances
        self._mapped: dict[str, list[Step]] = {}  #: step with a dynamic output to the steps mapped over it
        self._ready: list[tuple[int, int, str]] = []
        self._order: dict[
            tuple[tuple[str, str] | None, str], int
        ] = {}  #: of the keys of a dynamic output, as they came
        self._skips: list[Skip] = []
        self._open: list[str] = []  #: units that wait for nothing more, and are still to be decided on
        self._begin()

    def pop(self) -> StepInstance | None:
        """The next step to execute; None if none can be begun now."""
        return self._units[heapq.heappop(self._ready)[2]] if self._ready else None

    def put_back(self, instance: StepInstance) -> None:
        """Hand it out again: it is to be tried once more."""
        self._push(instance)

    def skips(self) -> list[Skip]:
        """The steps that were found not to be executed since the last call."""
        found, self._skips = self._skips, []
        return found

    def settle(self, instance: StepInstance, outcome: Outcome, outputs: dict[str, tuple[str, ...] | None]) -> None:
        """Say how a step ended, and which outputs came: of a dynamic one, under which keys."""
        key = instance.key
        for name, mapping_keys in outputs.items():
            self._outputs[key, name] = self._run_id
            if mapping_keys is not None:
                self._mapping_keys[key, name] = mapping_keys
        self._settled(key, outcome)

    def refs(self, instance: StepInstance, given: StepInputDef) -> list[Ref]:
        """The values that an input is made of, as far as there are any."""
        sources = given.source.sources if isinstance(given.source, FanInSource) else (given.source,)
        return [ref for one in sources if not isinstance(one, ConfigSource) for ref in self._refs(instance, one)]

    def ref(self, instance: StepInstance, source: object) -> list[Ref]:
        """The same, of one source."""
        return list(self._refs(instance, source))

    def has(self, step_key: str, output: str) -> str | None:
        """The run that has the value of an output; None if none has."""
        return self._outputs.get((step_key, output))

    def mapping_keys(self, step_key: str, output: str) -> tuple[str, ...]:
        """The keys of a dynamic output, in the order in which they came."""
        return self._mapping_keys.get((step_key, output), ())

    # -- how it works -------------------------------------------------------------------------------------------
    # A unit is what can settle: an instance of a step, or the barrier of a mapped step, which settles with the last
    # of its instances. Each waits for units; when none is left, it is decided on.

    def _begin(self) -> None:
        for step in self._plan.steps.values():
            if step.mapped_over is not None:
                self._mapped.setdefault(step.mapped_over[0], []).append(step)
            else:
                self._add(StepInstance(step))
        # Of a dynamic output that an earlier run gave, the steps mapped over it may begin at once.
        for source in [key for key in self._mapped if key not in self._plan.steps]:
            self._expand(source)
        self._decide_ready()

    def _add(self, instance: StepInstance) -> None:
        key = instance.key
        self._units[key] = instance
        self._wait(key, [unit for unit, _ in self._before(instance) if self._is_open(unit)])

    def _before(self, instance: StepInstance) -> Iterator[tuple[str, str]]:
        """The units that it waits for, each with the key of its step: in its own lane, or, where it takes the list of
        all that a mapped step gave, the barrier."""
        for given in instance.step.inputs:
            for one in given.step_sources():
                in_lane = isinstance(one, StepOutputSource)
                yield self._lane(instance, one.step_key) if in_lane else one.step_key, one.step_key
        yield from ((one, one) for one in instance.step.after)

    def _is_open(self, key: str) -> bool:
        """Whether a unit is still to settle. One that is neither chosen nor known is replaced by a value given."""
        return key not in self.outcomes and key.partition("[")[0] in self._plan.steps

    def _wait(self, unit: str, others: list[str]) -> None:
        self._waits[unit] = set(others)
        for one in self._waits[unit]:
            self._waiters.setdefault(one, []).append(unit)
        if not others:
            self._open.append(unit)

    def _expand(self, source: str) -> None:
        """The instances of the steps that are mapped over outputs of `source`."""
        for step in self._mapped.pop(source, []):
            keys = self._mapping_keys.get(step.mapped_over or ("", ""), ())
            self._order.update({(step.mapped_over, key): number for number, key in enumerate(keys)})
            wanted = dict.fromkeys(key for key in keys if self._plan.wants(step, key))
            for key in wanted:
                self._add(StepInstance(step, key))
            # Instances that an earlier run executed count, too: if only those of this run were skipped, not all were.
            self._barriers[step.key] = [
                f"{step.key}[{key}]" for key in keys if key in wanted or f"{step.key}[{key}]" in self.outcomes
            ]
            self._wait(step.key, [one for one in self._barriers[step.key] if one not in self.outcomes])

    def _settled(self, first: str, outcome: Outcome) -> None:
        self._settle_one(first, outcome)
        self._decide_ready()

    def _settle_one(self, key: str, outcome: Outcome) -> None:
        self.outcomes[key] = outcome
        for unit in self._waiters.pop(key, ()):
            waits = self._waits[unit]
            waits.discard(key)
            if not waits:
                self._open.append(unit)
        if key in self._mapped:
            self._expand(key)

    def _decide_ready(self) -> None:
        """Look at every unit that waits for nothing more; deciding on one may open others."""
        while self._open:
            key = self._open.pop()
            if key in self._barriers:
                self._settle_one(key, self._outcome_of_all(key))
                continue
            skip = self._decide(self._units[key])
            if skip is None:
                self._push(self._units[key])
            else:
                self._skips.append(skip)
                self._settle_one(key, skip.outcome)

    def _outcome_of_all(self, mapped: str) -> Outcome:
        """Of the instances of a mapped step together; of none, that of the step that should have given the keys."""
        over = self._plan.job.steps[mapped].mapped_over
        outcomes = [self.outcomes.get(one) for one in self._barriers[mapped]]
        if not outcomes and over is not None:
            outcomes = [self.outcomes.get(over[0])]
        if any(one in _BAD for one in outcomes):
            return Outcome.ABANDONED
        return Outcome.SKIPPED if all(one is Outcome.SKIPPED for one in outcomes) else Outcome.SUCCESS

    def _push(self, instance: StepInstance) -> None:
        number = self._order.get((instance.step.mapped_over, instance.mapping_key or ""), 0)
        heapq.heappush(self._ready, (self._index[instance.step.key], number, instance.key))

    def _decide(self, instance: StepInstance) -> Skip | None:
        """Why a step is not executed; None if it is."""
        for unit, step_key in self._before(instance):
            outcome = self.outcomes.get(unit) or self.outcomes.get(step_key)
            if outcome in _BAD:
                why = "failed" if self._failed(unit, step_key) else "was not executed"
                return Skip(instance, Outcome.ABANDONED, f"{step_key} {why}")
        for one in instance.step.after:
            if self.outcomes.get(one) is Outcome.SKIPPED:
                return Skip(instance, Outcome.SKIPPED, f"{one} was skipped")
        for given in instance.step.inputs:
            if (missing := self._missing(instance, given)) is not None:
                return Skip(
                    instance, Outcome.SKIPPED, f"input {given.name!r}: {missing.step_key}.{missing.output} stayed away"
                )
        return None

    def _failed(self, unit: str, step_key: str) -> bool:
        """Whether it failed itself; of a mapped step, whether one of its instances did."""
        lanes = self._barriers.get(step_key, ()) if unit == step_key else ()
        return any(self.outcomes.get(one) is Outcome.FAILURE for one in (unit, step_key, *lanes))

    @property
    def abandoned(self) -> int:
        """How many steps were not executed since something before them failed: instances, and mapped steps of which
        there were none."""
        return sum(
            outcome is Outcome.ABANDONED and not self._barriers.get(key) for key, outcome in self.outcomes.items()
        )

    def _missing(self, instance: StepInstance, given: StepInputDef) -> StepOutputSource | None:
        """An output that the input cannot do without, and that stayed away. A list does with those that came."""
        for one in given.step_sources():
            if isinstance(one, CollectSource) and self.outcomes.get(one.step_key) is Outcome.SKIPPED:
                return StepOutputSource(one.step_key, one.output)
        sources = [one for one in given.step_sources() if isinstance(one, StepOutputSource | MappedSource)]
        absent = [one for one in sources if self._was_settled(instance, one) and not list(self._refs(instance, one))]
        if not absent:
            return None
        if isinstance(given.source, FanInSource) and len(absent) < len(given.source.sources):
            return None
        first = absent[0]
        return first if isinstance(first, StepOutputSource) else StepOutputSource(first.step_key, first.output)

    def _was_settled(self, instance: StepInstance, source: StepOutputSource | MappedSource) -> bool:
        return self._lane(instance, source.step_key) in self.outcomes or source.step_key in self.outcomes

    def _lane(self, instance: StepInstance, step_key: str) -> str:
        """The key of a step upstream: in the instance's own lane, if it is mapped, too."""
        if instance.mapping_key is None or self._plan.job.steps[step_key].mapped_over != instance.step.mapped_over:
            return step_key
        return f"{step_key}[{instance.mapping_key}]"

    def _refs(self, instance: StepInstance, source: object) -> Iterator[Ref]:
        match source:
            case StepOutputSource(step_key, output):
                key = self._lane(instance, step_key)
                if (run_id := self._outputs.get((key, output))) is not None:
                    yield Ref(run_id, key, output)
            case MappedSource(step_key, output):
                if (run_id := self._outputs.get((step_key, output))) is not None:
                    yield Ref(run_id, step_key, output, instance.mapping_key)
            case CollectSource(step_key, output):
                yield from self._collected(step_key, output)

    def _collected(self, step_key: str, output: str) -> Iterator[Ref]:
        over = self._plan.job.steps[step_key].mapped_over
        if over is None:
            for key in self._mapping_keys.get((step_key, output), ()):
                yield Ref(self._outputs[step_key, output], step_key, output, key)
            return
        for key in self._mapping_keys.get(over, ()):
            lane = f"{step_key}[{key}]"
            if (run_id := self._outputs.get((lane, output))) is not None:
                yield Ref(run_id, lane, output)
