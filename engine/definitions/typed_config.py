"""Typed configuration: a `Config` class, its schema, and an object of it from what a person has written.

Promises: a wrong value is told with its path, what was given and what is allowed; what is secret is not shown.
The annotations that are possible: annotations.py. The class itself: config_class.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any, TypeVar, cast

from ..config.checking import Context, check_value, wanted
from ..config.fields import Field
from ..config.place import MASK, REMEDY, Place
from ..config.values import FromEnv, Lookup, env_name, shown
from .annotations import schema_of, section_of
from .config_class import Config, Secret, secret_names

__all__ = ["Config", "Secret", "config_document", "make_config", "schema_of", "values_of"]

C = TypeVar("C", bound=Config)


def make_config(cls: type[C], value: Any, place: Place, context: Context) -> C:
    """An object of the class from a mapping of plain values, `{env: NAME}` in it looked up; nothing is an empty one.

    An object of the class is taken as it is, also further in. Relative paths are meant from `context.root`; defaults
    are used as the class has them. Raises UsageError at the place of what is wrong.
    """
    section = section_of(cls)
    hidden = (*context.hidden, *_of_environment(value, context.lookup), *_marked(section, value))
    if place.remedy == REMEDY and place.source is None:
        keys = "; ".join(f"{key} ({wanted(field)})" for key, field in (section.fields or {}).items())
        place = replace(place, remedy=f"{cls.__name__} takes {keys or 'no keys'}.")
    return cast(C, check_value(section, {} if value is None else value, place, context._replace(hidden=hidden)))


def values_of(config: Config) -> dict[str, Any]:
    """What an object of a class holds, by the keys that a configuration calls it by."""
    names = zip(config.__struct_encode_fields__, config.__struct_fields__, strict=True)
    return {key: getattr(config, name) for key, name in names}


def config_document(cls: type[Config]) -> dict[str, Any]:
    """The schema for people and snapshots, as plain values: key -> type in words, whether required, default.

    A default that a function makes is given only if it is empty; a secret one is masked.
    """
    return {key: _document(field) for key, field in schema_of(cls).items()}


def _document(field: Field) -> dict[str, Any]:
    document: dict[str, Any] = {"type": wanted(field), "required": field.required}
    if field.factory in (list, dict, tuple):
        document["default"] = _plain(cast(Any, field.factory)())
    elif not field.required and field.factory is None:
        document["default"] = MASK if field.secret and field.default else _plain(field.default)
    for inner in (field, *field.options):
        if inner.fields:
            document["fields"] = {key: _document(one) for key, one in inner.fields.items()}
    return document


def _plain(value: Any) -> Any:
    """A default as JSON has it, secrets of nested objects masked."""
    if isinstance(value, Config):
        hidden = secret_names(type(value))
        keys = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {key: MASK if name in hidden else _plain(getattr(value, name)) for name, key in keys}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else shown(value)


def _of_environment(value: Any, lookup: Lookup) -> Iterator[str]:
    """What the variables hold that a value names: not to be shown, whatever is done with it."""
    if isinstance(value, FromEnv):
        yield str.__str__(value)
    elif (name := env_name(value)) is not None:
        yield lookup(name) or ""
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _of_environment(item, lookup)


def _marked(field: Field, value: Any) -> Iterator[str]:
    """The texts in a value, not yet checked, that stand where the schema has a secret."""
    if field.secret and isinstance(value, str):
        yield value
    inside: list[tuple[Field, Any]] = []
    if field.kind == "either":
        inside = [(option, value) for option in field.options]
    elif field.kind == "list" and isinstance(value, list | tuple):
        inside = [(field.options[0], item) for item in value]
    elif field.kind in ("section", "mapping") and isinstance(value, Mapping):
        of = field.fields if field.fields is not None else dict.fromkeys(value, *field.options)
        inside = [(inner, value[key]) for key, inner in of.items() if key in value]
    for inner, item in inside:
        yield from _marked(inner, item)
