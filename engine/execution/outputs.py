"""What a step gives: held against its outputs, kept by IO managers, recorded.

Promises: HANDLED_OUTPUT, and the materialization of an asset, are recorded only after the IO manager has kept the
value. STEP_OUTPUT comes before, and says that there was a value and of which type; it counts when the step has
succeeded. What cannot be stored as a fact fails the step, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..definitions.inout import RESULT, DynamicOutput, ExpectationResult, Output
from ..definitions.results import NO_VALUE, AssetCheckResult, MaterializeResult, ObserveResult
from ..events.asset import AssetMaterialization, AssetObservation
from ..events.event import Fact
from ..events.key import AssetKey
from ..events.metadata import MetadataValue, to_metadata
from ..events.step import HandledOutput, StepExpectationResult, StepOutput
from .asset_facts import AssetFacts
from .boundary import output_fault, shown, user_code_error_boundary
from .contexts import StepExecutionContext
from .frontier import StepInstance
from .returned import each_returned, wants
from .run_context import RunContext
from .types import check_type
from .values import Loader, io_manager, output_context

TYPE_REMEDY: Final = (
    "Return a value of that type, or change the annotation: the return type of the function, or Out(type)."
)
MISSING_REMEDY: Final = "Return it or yield an Output of that name; declared with is_required=False it may stay away."


class StepOutputs:
    """What one attempt at a step has given so far."""

    def __init__(self, run: RunContext, instance: StepInstance, context: StepExecutionContext, loader: Loader) -> None:
        self._run = run
        self._instance = instance
        self._context = context
        self._making = instance.step.node.making
        self._assets = AssetFacts(run, instance, loader)
        self._came: dict[str, dict[str, None] | None] = {}  #: outputs; of dynamic ones, the keys in order
        self._done: set[str] = set()  #: names of outputs

    @property
    def came(self) -> dict[str, tuple[str, ...] | None]:
        """The outputs that came; of dynamic ones, their keys, in order."""
        return {name: None if keys is None else tuple(keys) for name, keys in self._came.items()}

    def take_returned(self, given: Any) -> None:
        """Take in what a function returned."""
        for one in each_returned(self._instance, given):
            self.take(one)

    def take(self, one: Any) -> None:
        """Take in one thing that the function gave."""
        match one:
            case Output():
                self._output(one)
            case MaterializeResult():
                self._materialized(one)
            case AssetCheckResult():
                self._hold_checked(self._assets.checked(one, None))
            case ObserveResult():
                self._hold_checked(
                    AssetObservation(
                        asset_key=self._assets.asset(one.asset_key),
                        partition=self._assets.partition(),
                        metadata=to_metadata(one.metadata),
                        tags=dict(one.tags),
                        data_version=one.data_version,
                    )
                )
            case ExpectationResult():
                self._hold_checked(
                    StepExpectationResult(
                        success=one.success,
                        label=one.label,
                        description=one.description,
                        metadata=to_metadata(one.metadata),
                    )
                )
            case AssetMaterialization() | AssetObservation():
                self._hold_checked(one)
                self._run.planned.take_in([one])
            case _:
                raise output_fault(
                    f"step {self._instance.key} yielded {shown(one)}; wanted an Output, DynamicOutput, "
                    "MaterializeResult, AssetCheckResult, ExpectationResult, AssetMaterialization or AssetObservation"
                )

    def _output(self, one: Output) -> None:
        name, key = self._named(one)
        out = self._instance.step.outs[name]
        making = self._making
        if making is not None and making.key_of_output(name) is None:
            raise output_fault(
                f"step {self._instance.key}: the output {name!r} is not among those that this run asked for"
            )
        self._context.output_came(name, key)
        verdict = check_type(out.annotation, one.value)
        metadata = {**self._context.output_metadata(name, key), **to_metadata(one.metadata)}
        self._hold_checked(
            StepOutput(output_name=name, mapping_key=key, type_check=verdict, metadata={} if making else metadata)
        )
        if not verdict.success:
            raise output_fault(f"step {self._instance.key}: its output {name!r}: {verdict.description}", TYPE_REMEDY)
        added = self._keep(name, key, one.value)
        if making is not None and (asset := making.key_of_output(name)) is not None:
            self._made(asset, {**metadata, **(added or {})}, data_version=one.data_version, tags=one.tags)
        if added is not None:
            self._hold_checked(
                HandledOutput(output_name=name, manager_key=out.io_manager_key, mapping_key=key, metadata=added)
            )

    def _named(self, one: Output) -> tuple[str, str | None]:
        """The name and the mapping key of an output. Raises UserCodeError for one that must not come, or not again."""
        outs, name = self._instance.step.outs, one.output_name
        if name not in outs and name == RESULT and len(outs) == 1:
            name = next(iter(outs))
        if name not in outs:
            raise output_fault(f"step {self._instance.key} has no output {name!r}; it has: {', '.join(outs) or 'none'}")
        key = one.mapping_key if isinstance(one, DynamicOutput) else None
        if outs[name].is_dynamic is not isinstance(one, DynamicOutput):
            wanted = "DynamicOutput" if outs[name].is_dynamic else "Output"
            raise output_fault(
                f"step {self._instance.key}: its output {name!r} wants {wanted}, not {type(one).__name__}"
            )
        before = self._came.setdefault(name, {} if key is not None else None)
        if before is None and key is None and name in self._done:
            raise output_fault(f"step {self._instance.key} gave its output {name!r} twice")
        if before is not None and key is not None:
            if key in before:
                raise output_fault(f"step {self._instance.key} gave two values of {name!r} under the key {key!r}")
            before[key] = None
        self._done.add(name)
        return name, key

    def _keep(self, name: str, key: str | None, value: Any) -> dict[str, MetadataValue] | None:
        """Hand the value to its IO manager; what that says of it. None if there is nothing to keep."""
        out = self._instance.step.outs[name]
        if not out.is_kept:
            return None
        manager = io_manager(self._run, out.io_manager_key)
        context = output_context(self._run, self._instance, self._context, name, key)
        with user_code_error_boundary(msg_fn=lambda: f"{context.shown} could not be kept by {out.io_manager_key}"):
            manager.handle_output(context, value)
        return dict(context.added_metadata)

    def _materialized(self, one: MaterializeResult) -> None:
        asset = self._assets.asset(one.asset_key)
        name = self._making.definition.output_of(asset) if self._making is not None else RESULT
        value = None if one.value is NO_VALUE else one.value
        if one.value is not NO_VALUE or not self._instance.step.outs[name].is_kept:
            self._output(Output(value, name, metadata=one.metadata, data_version=one.data_version, tags=one.tags))
        else:
            self._named(Output(None, name))
            metadata = {**self._context.output_metadata(name), **to_metadata(one.metadata)}
            self._made(asset, metadata, data_version=one.data_version, tags=one.tags)
        for result in one.check_results:
            self._hold_checked(self._assets.checked(result, asset))

    def _made(
        self, asset: AssetKey, metadata: dict[str, MetadataValue], *, data_version: str | None, tags: Mapping[str, str]
    ) -> None:
        fact = self._assets.made(asset, metadata, data_version=data_version, tags=tags)
        self._hold_checked(fact)
        self._assets.take_in(fact)

    def check_complete(self) -> None:
        """Raise UserCodeError for an output or a check that should have come, and for a check that blocks."""
        for name, out in self._instance.step.outs.items():
            if name in self._done:
                continue
            if out.is_dynamic:
                self._came[name] = {}
            elif wants(self._making, name, out):
                if out.is_kept:
                    raise output_fault(f"step {self._instance.key} did not give its output {name!r}", MISSING_REMEDY)
                self._output(Output(None, name))
        self._assets.check_complete()

    def _hold_checked(self, fact: Fact) -> None:
        """Hold what a user gave. What cannot be stored fails this step, not the append that other events ride in."""
        given = bool(fact.metadata) if isinstance(fact, StepOutput | HandledOutput) else True
        self._run.recorder.hold(fact, self._instance.key, check=given)
