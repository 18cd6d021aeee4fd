"""What the function of a step returned, as a sequence of things it gave: outputs, results, facts.

Not here: what becomes of them (outputs.py). A function that yields gives them itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..definitions.assets import Making
from ..definitions.inout import RESULT, ExpectationResult, Out, Output
from ..definitions.results import AssetCheckResult, MaterializeResult, ObserveResult
from ..events.asset import AssetMaterialization, AssetObservation
from .boundary import output_fault, shown
from .frontier import StepInstance

#: what stands for itself, whatever outputs there are
WRAPPED = (
    Output,
    MaterializeResult,
    AssetCheckResult,
    ObserveResult,
    ExpectationResult,
    AssetMaterialization,
    AssetObservation,
)


def wants(making: Making | None, name: str, out: Out) -> bool:
    """Whether the output has to come."""
    return making.wanted(name, out) if making is not None else out.is_required


def each_returned(instance: StepInstance, given: Any) -> Iterator[Any]:
    """What was returned, one thing at a time. Raises UserCodeError for what does not fit the step's outputs."""
    outs, making = instance.step.outs, instance.step.node.making
    if isinstance(given, WRAPPED):
        yield given
    elif isinstance(given, list | tuple) and given and all(isinstance(one, WRAPPED) for one in given):
        yield from given
    elif making is not None and not making.definition.specs and isinstance(given, bool):
        yield AssetCheckResult(passed=given)
    elif not outs:
        if given is not None:
            raise output_fault(f"step {instance.key} has no outputs, and its function returned {shown(given)}")
    elif len(outs) == 1:
        (name, out), *_ = outs.items()
        yield from _single(instance, name, out, given)
    else:
        yield from _several(instance, given)


def _single(instance: StepInstance, name: str, out: Out, given: Any) -> Iterator[Output]:
    if out.is_dynamic:
        if given is None or given == []:
            return  # none came, which is no fault
        raise output_fault(
            f"step {instance.key}: its output {name!r} is dynamic, and its function returned {shown(given)}; "
            "wanted DynamicOutput(value, mapping_key=...), one for each"
        )
    if given is None and not wants(instance.step.node.making, name, out):
        return  # it stays away
    yield Output(given, name)


def _several(instance: StepInstance, given: Any) -> Iterator[Output]:
    outs, making = instance.step.outs, instance.step.node.making
    names = [name for name in outs if making is None or making.key_of_output(name) is not None]
    if given is None and all(not outs[name].is_kept for name in names):
        given = (None,) * len(names)
    if not isinstance(given, tuple) or len(given) != len(names):
        raise output_fault(
            f"step {instance.key} has {len(names)} outputs ({', '.join(names)}), and its function returned "
            f"{shown(given)}; wanted a tuple of {len(names)}, or an Output yielded for each"
        )
    for name, value in zip(names, given, strict=True):
        if isinstance(value, Output):
            yield _named_as(value, name)
        else:
            yield from _single(instance, name, outs[name], value)


def _named_as(value: Output, name: str) -> Output:
    """An Output that stands in a tuple: at the place of the output that it is of, or of none by name."""
    if value.output_name not in (RESULT, name):
        raise output_fault(f"the output {value.output_name!r} stands at the place of {name!r} in the tuple")
    value.output_name = name
    return value
