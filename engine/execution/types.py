"""Whether a value is of the type that an input or output is annotated with. As far as can be told in no time.

A class is checked with isinstance; of `list[int]` the list, not what is in it; unions by their members. `int` passes
for `float`. What cannot be told (a TypeVar, a Protocol, an unknown name) passes.
"""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Any

from ..definitions.inout import UNSTATED, hands_on_nothing
from ..events.errorinfo import clean
from ..events.step import TypeCheck
from .boundary import shown

PASSED = TypeCheck(success=True)
Kinds = tuple[type, ...] | None  #: None: anything


def check_type(annotation: Any, value: Any) -> TypeCheck:
    """What the annotation says of the value."""
    try:
        kinds = _kinds(annotation)
    except TypeError:  # an annotation that is not hashable, such as Annotated[int, []]
        kinds = _work_out(annotation)
    if kinds is None or isinstance(value, kinds):
        return PASSED
    wanted = " or ".join(kind.__name__ for kind in kinds)
    given = "None" if value is None else f"a {type(value).__name__}: {shown(value)}"
    return TypeCheck(success=False, description=clean(f"{given} was given; wanted {wanted}"))


@lru_cache(maxsize=1024)
def _kinds(annotation: Any) -> Kinds:
    return _work_out(annotation)


def _work_out(annotation: Any) -> Kinds:
    if annotation is UNSTATED or annotation is Any:
        return None
    if hands_on_nothing(annotation):
        return (type(None),)
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _work_out(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        parts = [_work_out(one) for one in typing.get_args(annotation)]
        return None if any(part is None for part in parts) else tuple(kind for part in parts for kind in part or ())
    if origin is typing.Literal:
        return tuple({type(one) for one in typing.get_args(annotation)})
    kind = origin or annotation
    if not isinstance(kind, type) or not _tells(kind):
        return None
    return (float, int) if kind is float else (kind,)


def _tells(kind: type) -> bool:
    """Whether isinstance works with the class, and says what its author meant."""
    if getattr(kind, "_is_protocol", False) or typing.is_typeddict(kind):
        return False
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return True
