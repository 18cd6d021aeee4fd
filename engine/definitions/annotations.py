"""From the annotations of a `Config` class to the fields of a schema (engine/config/fields.py).

Promises: what is not refused here, when a definition is made, can be checked and made from plain values later.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from ..config.checking import Context, check_value, wanted
from ..config.fields import Field
from ..config.place import Place
from ..config.values import SECRET_KEY
from ..errors import UsageError, fault
from .config_class import Config, hints_of, is_mark, shown_class

REMEDY: Final = (
    "Use int, float, str, bool, pathlib.Path, Literal of texts, list[T], tuple[T, ...], dict[str, T], a Config class, "
    "`T | None`, a union of these, or Any; bounds as Annotated[T, msgspec.Meta(...)]."
)
_Factory: Final = type(  # how msgspec marks the factory of a default; it has no public name
    msgspec.defstruct("_", [("x", list[int], msgspec.field(default_factory=list))]).__struct_defaults__[0]
)
Around = tuple[type, ...]  #: the classes that the one looked at is inside of


class _Impossible(Exception):
    """Why an annotation cannot be expressed; whoever catches it says where."""


@lru_cache(maxsize=256)
def schema_of(cls: type[Config]) -> dict[str, Field]:
    """The schema of a class: its keys, what each takes, and what becomes of it.

    Raises UsageError for an annotation that a configuration cannot express, and for a default that does not fit.
    """
    return _schema(cls, ())


def section_of(cls: type[Config]) -> Field:
    """The field that takes a mapping for the class, or an object of it, and gives an object."""
    return _section(cls, schema_of(cls))


def _section(cls: type[Config], fields: dict[str, Field]) -> Field:
    names = dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))

    def made(values: dict[str, Any]) -> Config:
        return cls(**{names[key]: value for key, value in values.items()})

    return Field(kind="section", fields=fields, taken=cls, make=made)


def _schema(cls: type[Config], around: Around) -> dict[str, Field]:
    if cls in around:
        raise fault(f"{shown_class(cls)} holds itself; a configuration has an end", REMEDY)
    hints = hints_of(cls)
    names, keys, defaults = cls.__struct_fields__, cls.__struct_encode_fields__, cls.__struct_defaults__
    defaults = (msgspec.NODEFAULT,) * (len(names) - len(defaults)) + defaults
    schema = {}
    for name, key, default in zip(names, keys, defaults, strict=True):
        what = f"{shown_class(cls)}.{name}"
        try:
            field = _field(hints[name], (), (*around, cls))
        except _Impossible as error:
            raise fault(f"{what}: the annotation {_spelt(hints[name])} is not possible: {error}", REMEDY) from None
        if field.kind == "text" and SECRET_KEY.search(name):
            field = replace(field, secret=True)
        schema[key] = _with_default(field, default, what)
    return schema


def _with_default(field: Field, default: Any, what: str) -> Field:
    if default is msgspec.NODEFAULT:
        return replace(field, required=not field.nullable or field.kind == "plain")
    if isinstance(default, _Factory):
        return replace(field, factory=default.factory)
    try:
        check_value(field, default, Place(), Context())
    except UsageError as error:
        raise fault(f"{what}: its default does not fit: {error}", "Correct the default or the annotation.") from None
    return replace(field, default=default)


def _field(hint: Any, notes: tuple[Any, ...], around: Around) -> Field:
    """`notes`: what `Annotated` says of it, here and around it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _field(args[0], (*hint.__metadata__, *notes), around)
    if origin in (typing.Union, types.UnionType):
        return _union(args, notes, around)
    return _noted(_bare(hint, origin, args, around), notes)


def _bare(hint: Any, origin: Any, args: tuple[Any, ...], around: Around) -> Field:
    if (simple := _SIMPLE.get(hint) if isinstance(hint, type) or hint is Any else None) is not None:
        return simple
    if isinstance(hint, type) and issubclass(hint, Config):
        return _section(hint, _schema(hint, around))
    if origin is Literal:
        if not all(isinstance(one, str) for one in args):
            raise _Impossible("a Literal is of texts")
        return Field(kind="one_of", allowed=args)
    if origin is list:
        return Field(kind="list", options=(_field(args[0], (), around),))
    if origin is tuple:
        if len(args) != 2 or args[1] is not Ellipsis:
            raise _Impossible(f"a tuple is of any length, as tuple[{_spelt(args[0]) if args else 'int'}, ...]")
        return Field(kind="list", options=(_field(args[0], (), around),), make=tuple)
    if origin is dict:
        if args[0] is not str:
            raise _Impossible("the keys of a mapping are text, as dict[str, T]")
        return Field(kind="mapping", options=(_field(args[1], (), around),))
    raise _Impossible(f"there is no {_spelt(hint)} in a configuration")


_ANY = Field(kind="plain", nullable=True)
_SIMPLE: Final[dict[Any, Field]] = {
    int: Field(kind="integer"),
    float: Field(kind="number", make=float),
    str: Field(kind="text"),
    bool: Field(kind="flag"),
    Path: Field(kind="folder", shortest=1, taken=Path, make=Path),
    list: Field(kind="list", options=(_ANY,)),
    tuple: Field(kind="list", options=(_ANY,), make=tuple),
    dict: Field(kind="mapping", options=(_ANY,)),
    Any: _ANY,
}

#: kind of field -> what a value's type tells, in the order in which the fields of a union are tried: a variable of the
#: environment holds text, which is read as the narrowest
_TOLD: Final = {
    "flag": "true or false",
    "integer": "whole numbers",
    "number": "numbers",
    "list": "lists",
    "mapping": "mappings",
    "section": "mappings",
    "one_of": "texts",
    "folder": "texts",
    "text": "texts",
}


def _union(args: tuple[Any, ...], notes: tuple[Any, ...], around: Around) -> Field:
    options = [one for one in args if one is not types.NoneType]
    if len(options) == 1:
        return replace(_field(options[0], notes, around), nullable=True)
    if _meta(notes) != {}:
        raise _Impossible("bounds stand at the one type they are for, as Annotated[int, msgspec.Meta(ge=1)] | str")
    fields = [_field(one, notes, around) for one in options]
    told: dict[str, Any] = {}
    for one, field in zip(options, fields, strict=True):
        if field.kind == "plain":
            raise _Impossible("Any already takes all")
        if (told_by := _TOLD[field.kind]) in told:
            raise _Impossible(f"{_spelt(told[told_by])} and {_spelt(one)} both take {told_by}")
        told[told_by] = one
    fields.sort(key=lambda field: list(_TOLD).index(field.kind))
    return Field(kind="either", options=tuple(fields), nullable=len(options) < len(args))


def _noted(field: Field, notes: tuple[Any, ...]) -> Field:
    """The field with the bounds of `msgspec.Meta`, and masked if the notes say so."""
    if any(map(is_mark, notes)):
        if field.kind != "text":
            raise _Impossible("Secret marks text, as Annotated[str, Secret]")
        field = replace(field, secret=True)
    for name, bound in _meta(notes).items():
        kinds, changed = _BOUNDS.get(name, ((), None))
        if changed is None or field.kind not in kinds:
            raise _Impossible(f"{name} is no bound of {wanted(field)}")
        field = replace(field, **changed(field, bound))
    return field


def _meta(notes: tuple[Any, ...]) -> dict[str, Any]:
    """What the notes of msgspec bound; what they only describe is left out."""
    found: dict[str, Any] = {}
    for note in notes:
        if isinstance(note, msgspec.Meta):
            names = ("ge", "gt", "le", "lt", "multiple_of", "pattern", "min_length", "max_length", "tz")
            found |= {name: bound for name in names if (bound := getattr(note, name)) is not None}
    return found


def _bound(member: str, whole: Callable[[float], int] | None = None) -> Callable[[Field, Any], dict[str, Any]]:
    def changed(field: Field, bound: Any) -> dict[str, Any]:
        if whole is None or field.kind == "number":
            return {member: bound}
        return {"minimum" if member == "above" else "maximum": whole(bound)}

    return changed


_NUMBERS, _SIZED = ("integer", "number"), ("text", "list", "mapping")
#: bound of msgspec -> the kinds it is for, and the members of the field that it sets
_BOUNDS: Final[dict[str, tuple[tuple[str, ...], Callable[[Field, Any], dict[str, Any]]]]] = {
    "ge": (_NUMBERS, _bound("minimum")),
    "le": (_NUMBERS, _bound("maximum")),
    "gt": (_NUMBERS, _bound("above", lambda bound: math.floor(bound) + 1)),
    "lt": (_NUMBERS, _bound("below", lambda bound: math.ceil(bound) - 1)),
    "min_length": (_SIZED, _bound("shortest")),
    "max_length": (_SIZED, _bound("longest")),
    "pattern": (("text",), _bound("pattern")),
}


def _spelt(hint: Any) -> str:
    """An annotation as it is written, about."""
    return (
        shown_class(hint) if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
    )
