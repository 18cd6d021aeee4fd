"""What an execution came to, and the values that its steps gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..artifacts.io import InputContext
from ..definitions.inout import RESULT
from ..definitions.steps import Step
from ..errors import UserCodeError, fault
from ..events.key import AssetKey, AssetLike
from ..events.run import RunStatus
from ..log.log import EventRecord
from .boundary import user_code_error_boundary
from .deployment import Deployment
from .frontier import Outcome, Ref
from .run_context import RunContext
from .values import hint_of, io_manager, resources_of, upstream_context
from .worker import RunEnd

PAGE = 1000  #: events read at a time


class ExecutionResult:
    """One run, executed. Values are loaded through their IO managers when they are asked for."""

    def __init__(self, run: RunContext, end: RunEnd) -> None:
        self._run = run
        self._end = end

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def instance(self) -> Deployment:
        """The instance that the run is recorded in; keep it for as long as values are asked for."""
        return self._run.instance

    @property
    def success(self) -> bool:
        return self._end.status is RunStatus.SUCCESS

    @property
    def status(self) -> RunStatus:
        return self._end.status

    @property
    def error(self) -> BaseException | None:
        """What the first step to fail failed with, or the run itself; None after a success."""
        return self._end.error

    @property
    def failed_step_keys(self) -> tuple[str, ...]:
        return tuple(one.step_key for one in self._end.failed)

    @property
    def step_errors(self) -> Mapping[str, BaseException]:
        """What each step that failed for good failed with, in the order in which they did."""
        return {one.step_key: one.error for one in self._end.failed}

    @property
    def step_outcomes(self) -> Mapping[str, str]:
        """SUCCESS, FAILURE, SKIPPED or ABANDONED, by step key; of mapped steps, with the key of each."""
        mapped = {key for key, step in self._run.plan.steps.items() if step.mapped_over is not None}
        known = self._run.plan.known
        return {
            key: str(outcome)
            for key, outcome in self._run.frontier.outcomes.items()
            if key not in mapped and key not in known.succeeded and key not in known.skipped
        }

    def events(self, step_key: str | None = None) -> Iterator[EventRecord]:
        """The events of the run from its log, in order; of one step only, if it is named."""
        after = 0
        while records := self.instance.log.read_shard(self.run_id, after_seq=after, limit=PAGE).records:
            after = records[-1].seq
            yield from (one for one in records if step_key is None or one.event.step_key == step_key)

    def output_for_node(self, node: str, output_name: str = RESULT) -> Any:
        """The value of an output of a step; of a dynamic one, and of a mapped step, a dict from key to value.

        Raises UsageError for a step or an output that there is not, and for one that did not come.
        """
        template = node.partition("[")[0]
        step = self._run.job.steps.get(template)
        if step is None or output_name not in step.outs:
            there = ", ".join(self._run.job.steps)
            raise fault(f"there is no output {output_name!r} of a step {node!r}", f"The steps are: {there}.")
        if step.outs[output_name].is_dynamic:
            keys = self._run.frontier.mapping_keys(node, output_name)
            return {key: self._load(node, output_name, key) for key in keys}
        if step.mapped_over is not None and node == template:
            lanes = {key: f"{node}[{key}]" for key in self._run.frontier.mapping_keys(*step.mapped_over)}
            came = {key: lane for key, lane in lanes.items() if self._run.frontier.has(lane, output_name) is not None}
            return {key: self._load(lane, output_name, None) for key, lane in came.items()}
        return self._load(node, output_name, None)

    def asset_value(self, asset_key: AssetLike) -> Any:
        """The value of an asset that the run made. Raises UsageError for one that it did not make."""
        key = AssetKey.of(asset_key)
        for step in self._run.plan.steps.values():
            making = step.node.making
            if making is not None and key in making.asset_keys:
                return self._load(step.key, making.definition.output_of(key), None)
        raise fault(f"run {self.run_id} makes no asset {key}", "Name one that it makes.")

    def _load(self, step_key: str, output: str, mapping_key: str | None) -> Any:
        run, step = self._run, self._run.job.steps[step_key.partition("[")[0]]
        out = step.outs[output]
        run_id = run.frontier.has(step_key, output)
        if run_id is None:
            outcome = run.frontier.outcomes.get(step_key, Outcome.ABANDONED)
            raise fault(
                f"the output {output!r} of step {step_key} did not come: the step is {outcome}", "Look at result.error."
            )
        if not out.is_kept:
            return None
        if out.io_manager_key not in run.resources:  # only what the steps executed need is made ready
            raise fault(
                f"run {run.run_id} executed no step that needs the resource {out.io_manager_key!r}, so it cannot load "
                f"the output {output!r} of step {step_key}",
                f"Ask the result of run {run_id}, which made it.",
            )
        return self._loaded(self._context(Ref(run_id, step_key, output, mapping_key), step), out.io_manager_key)

    def _context(self, ref: Ref, step: Step) -> InputContext:
        """As a step that takes the value would give it."""
        run, out, making = self._run, step.outs[ref.output], step.node.making
        asset = making.key_of_output(ref.output) if making is not None else None
        partition = run.partition_of(making.definition) if making is not None else None
        return InputContext(
            name=ref.output,
            run_id=run.run_id,
            step_key=ref.step_key,
            upstream_output=upstream_context(ref, out, asset, partition),
            asset_key=asset,
            partition_keys=None if partition is None else (partition,),
            metadata=out.metadata,
            type_hint=hint_of(out.annotation),
            resources=resources_of(run, out.io_manager_key),
        )

    def _loaded(self, context: InputContext, key: str) -> Any:
        manager, gone = io_manager(self._run, key), _torn_down(self._run, key)
        try:
            with user_code_error_boundary(msg_fn=lambda: f"{context.shown} could not be loaded by {key}"):
                return manager.load_input(context)
        except UserCodeError as error:
            if gone:
                error.remedy = (
                    f"The resource {gone!r} was torn down when the run ended. Look at the value in a step, or give "
                    f"{gone!r} as an object of yours, and end it when the values were asked for."
                )
            raise

    def __repr__(self) -> str:
        return f"<ExecutionResult {self.status} of run {self.run_id}>"


def _torn_down(run: RunContext, key: str) -> str | None:
    """The resource itself, or one that it is made with, that was torn down at the end of the run; None if none was."""
    definition = run.job.resource_defs.get(key)
    if definition is None:
        return None
    if definition.is_generator:
        return key
    needed = sorted({*definition.resources, *definition.required_resource_keys})
    return next((gone for one in needed if (gone := _torn_down(run, one)) is not None), None)
