"""The mapping between two assets where none was given: what can only be meant, else an error that says what to give."""

from __future__ import annotations

from ...errors import fault
from .base import PartitionsDefinition
from .listed import StaticPartitionsDefinition
from .mapping import (
    AllPartitionMapping,
    IdentityPartitionMapping,
    PartitionMapping,
    TimeWindowPartitionMapping,
)
from .multi import MultiPartitionsDefinition
from .multi_mapping import MultiToSingleDimensionPartitionMapping, dimensions_like
from .windows import TimeWindowPartitionsDefinition


def default_mapping(downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> PartitionMapping:
    """The mapping from partitions downstream to those upstream that needs no saying.

    The same definition, or static ones with the same keys: the same key. Two definitions of windows: those that share
    some time. Two dimensions and one of them: the parts in that one. Downstream not partitioned: all of upstream.

    Raises UsageError where none of these holds, with the mappings that one may give.
    """
    if downstream is None:
        return AllPartitionMapping()
    if downstream == upstream or _same_keys(downstream, upstream):
        return IdentityPartitionMapping()
    if isinstance(downstream, TimeWindowPartitionsDefinition) and isinstance(upstream, TimeWindowPartitionsDefinition):
        return TimeWindowPartitionMapping()
    shared = _shared_dimensions(downstream, upstream)
    if len(shared) == 1:
        return MultiToSingleDimensionPartitionMapping(shared[0])
    raise fault(
        f"no partition mapping is clear from {downstream.describe()} downstream to {upstream.describe()} upstream",
        _remedy(downstream, upstream, shared),
    )


def _same_keys(one: PartitionsDefinition, other: PartitionsDefinition) -> bool:
    return (
        isinstance(one, StaticPartitionsDefinition)
        and isinstance(other, StaticPartitionsDefinition)
        and set(one.keys) == set(other.keys)
    )


def _shared_dimensions(downstream: PartitionsDefinition, upstream: PartitionsDefinition) -> list[str]:
    if isinstance(downstream, MultiPartitionsDefinition):
        return dimensions_like(downstream, upstream)
    return dimensions_like(upstream, downstream) if isinstance(upstream, MultiPartitionsDefinition) else []


def _remedy(downstream: PartitionsDefinition, upstream: PartitionsDefinition, shared: list[str]) -> str:
    """What to give, the nearest first."""
    if shared:
        choice = " or ".join(f"MultiToSingleDimensionPartitionMapping({name!r})" for name in shared)
        return f"Give partition_mapping={choice}."
    choices = ["AllPartitionMapping()", "LastPartitionMapping()", "SpecificPartitionsPartitionMapping([...])"]
    if isinstance(downstream, StaticPartitionsDefinition) and isinstance(upstream, StaticPartitionsDefinition):
        choices.insert(0, "StaticPartitionMapping({...})")
    return f"Give partition_mapping=, one of {', '.join(choices)}."
