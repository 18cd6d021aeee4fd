"""From what is wanted to what a step is given: one value, or one for each partition; or what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ...errors import UsageError
from .contexts import InputContext
from .value_id import ValueId

F = TypeVar("F")
MAX_SHOWN = 10  #: missing values that a message names; it counts the others


class WhyMissing(NamedTuple):
    """What an IO manager can say of values that it does not have."""

    reason: str = ""
    remedy: str = "First {maker}, with the IO manager that is to load it."  #: `{maker}`: what makes the value


ABSENT = WhyMissing()


def load_each(
    context: InputContext, find: Callable[[Sequence[ValueId]], Mapping[ValueId, F]], load: Callable[[ValueId, F], Any]
) -> Any:
    """What `load_input` gives: one value, or a dict from partition key to value in the order they were asked for.

    `find` says where those are that are there; only if all are, each of them is loaded. Raises UsageError that names
    what is missing.
    """
    return load_each_or_say(context, find, load, ABSENT)


def load_each_or_say(
    context: InputContext,
    find: Callable[[Sequence[ValueId]], Mapping[ValueId, F]],
    load: Callable[[ValueId, F], Any],
    why_missing: WhyMissing,
) -> Any:
    """`load_each`, by an IO manager that knows why a value may be missing."""
    value_ids = context.value_ids
    found = find(value_ids)
    if lost := [one for one in value_ids if one not in found]:
        raise missing(context, lost, why_missing)
    if len(value_ids) == 1:
        return load(value_ids[0], found[value_ids[0]])
    return {one.partition_key: load(one, found[one]) for one in value_ids}


def missing(context: InputContext, lost: Sequence[ValueId], why: WhyMissing = ABSENT) -> UsageError:
    """The error that some of the values which `context` wants are not there."""
    wanted = len(context.value_ids)
    if wanted == 1:
        problem = f"{lost[0]} is not there"
    else:
        keys = ", ".join(repr(one.partition_key) for one in lost[:MAX_SHOWN])
        more = f" and {len(lost) - MAX_SHOWN} more" if len(lost) > MAX_SHOWN else ""
        problem = f"asset {lost[0].asset_key}: {len(lost)} of {wanted} partitions are not there: {keys}{more}"
    error = UsageError(f"{context.shown}: {problem}{'; ' if why.reason else ''}{why.reason}")
    error.remedy = why.remedy.format(maker=lost[0].maker if wanted == 1 else "materialize the missing partitions")
    return error
