"""The schema of a part's configuration: what each key takes. Small on purpose: types, bounds, defaults, nesting.

    {"max_runs": integer(minimum=0, default=10), "mode": one_of("fast", "safe", default="safe")}

Not here: holding a value against it (checking.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "folder", "integer", "number", "flag", "one_of", "list", "mapping", "section", "either", "plain"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """What one key takes. Made by the functions below; those say what each member means."""

    kind: Kind
    required: bool = False
    default: Any = None
    secret: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None  #: as `minimum`, itself excluded
    below: float | None = None
    shortest: int = 0  #: characters of a text, items of a list or a mapping
    longest: int | None = None
    pattern: str | None = None  #: what a text holds somewhere, as `re.search` reads it
    fields: Mapping[str, Field] | None = None
    options: tuple[Field, ...] = ()  #: of a list or a mapping: its one kind of item
    nullable: bool = False  #: whether null is a value of its own, and does not stand for the default
    factory: Callable[[], Any] | None = None  #: makes the default, each time anew
    taken: type | None = None  #: an object of this class is taken as it is
    make: Callable[[Any], Any] | None = None  #: what becomes of a value that fits; its ValueError is one of the value


def text(*, required: bool = False, default: str | None = None, secret: bool = False) -> Field:
    """Text that is not empty. `secret`: never shown, wherever it was written."""
    return Field(kind="text", required=required, default=default, secret=secret, shortest=1)


def folder(*, required: bool = False, default: str | None = None) -> Field:
    """A path on this machine; a relative one is meant from the folder of foldlog.yaml. Given to the part as text."""
    return Field(kind="folder", required=required, default=default, shortest=1)


def integer(
    *, required: bool = False, default: int | None = None, minimum: int | None = None, maximum: int | None = None
) -> Field:
    """A whole number, both bounds included. From the environment it may come as text."""
    return Field(kind="integer", required=required, default=default, minimum=minimum, maximum=maximum)


def number(
    *, required: bool = False, default: float | None = None, minimum: float | None = None, maximum: float | None = None
) -> Field:
    """A number, both bounds included."""
    return Field(kind="number", required=required, default=default, minimum=minimum, maximum=maximum)


def flag(*, required: bool = False, default: bool | None = None) -> Field:
    """`true` or `false`."""
    return Field(kind="flag", required=required, default=default)


def one_of(*allowed: str, required: bool = False, default: str | None = None) -> Field:
    """One of these words."""
    return Field(kind="one_of", allowed=allowed, required=required, default=default)


def list_of(item: Field, *, required: bool = False, default: list[Any] | None = None) -> Field:
    """A list, each item as `item` says."""
    return Field(kind="list", options=(item,), required=required, default=default)


def map_of(item: Field, *, required: bool = False, default: dict[str, Any] | None = None) -> Field:
    """A mapping with keys of the user's choice, each value as `item` says."""
    return Field(kind="mapping", options=(item,), required=required, default=default)


def section(fields: Mapping[str, Field], *, required: bool = False, default: dict[str, Any] | None = None) -> Field:
    """A mapping with these keys and no others."""
    return Field(kind="section", fields=fields, required=required, default=default)


def either(*options: Field, required: bool = False, default: Any = None) -> Field:
    """What one of several fields takes; which one is told by the type of the value."""
    return Field(kind="either", options=options, required=required, default=default)


def plain(*, required: bool = False, default: Any = None) -> Field:
    """Any value, not looked into."""
    return Field(kind="plain", required=required, default=default)
