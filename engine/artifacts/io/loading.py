"""From what is wanted to what a step is given: one value, or one for each partition; or what is missing."""

from __future__ import annotations

from collections.abc import Callable
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
    context: InputContext,
    find: Callable[[ValueId], F | None],
    load: Callable[[ValueId, F], Any],
    *,
    why_missing: WhyMissing = ABSENT,
) -> Any:
    """What `load_input` gives. `find` says where a value is, or None; only when all are there is one of them loaded.

    Raises UsageError that names what is missing.
    """
    value_ids = context.value_ids
    found: list[tuple[ValueId, F]] = []
    missing: list[ValueId] = []
    for value_id in value_ids:
        if (place := find(value_id)) is None:
            missing.append(value_id)
        else:
            found.append((value_id, place))
    if missing:
        raise _missing(context, missing, len(value_ids), why_missing)
    if len(value_ids) == 1:
        return load(*found[0])
    return {value_id.partition_key: load(value_id, place) for value_id, place in found}


def _missing(context: InputContext, missing: list[ValueId], wanted: int, why: WhyMissing) -> UsageError:
    if wanted == 1:
        problem = f"{missing[0]} is not there"
    else:
        keys = ", ".join(repr(one.partition_key) for one in missing[:MAX_SHOWN])
        more = f" and {len(missing) - MAX_SHOWN} more" if len(missing) > MAX_SHOWN else ""
        problem = f"asset {missing[0].asset_key}: {len(missing)} of {wanted} partitions are not there: {keys}{more}"
    error = UsageError(f"{context.shown}: {problem}{'; ' if why.reason else ''}{why.reason}")
    error.remedy = why.remedy.format(maker=missing[0].maker if wanted == 1 else "materialize the missing partitions")
    return error
