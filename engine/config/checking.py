"""A value held against the schema: either it fits, with its defaults filled in, or an error says what would fit."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from .fields import Field
from .place import Place, meant
from .values import SECRET_KEY, FromEnv, Lookup, env_name, plain_text, resolve, shown

LISTED: Final = 40  #: keys in a remedy, at most


class Context(NamedTuple):
    """What a value may refer to."""

    root: Path | None = None  #: relative paths are meant from here; None: from the working directory
    lookup: Lookup = os.environ.get  #: what `{env: NAME}` stands for
    hidden: tuple[str, ...] = ()  #: texts in the value that no error of a class of the user's may show


def check_section(fields: Mapping[str, Field], value: Any, place: Place, context: Context) -> dict[str, Any]:
    """The mapping with every key of `fields`, defaults where it has none. Raises UsageError for what does not fit."""
    value = resolve(value, place, context.lookup)
    return _section(Field(kind="section", fields=fields), value, place, context)


def check_value(field: Field, value: Any, place: Place, context: Context) -> Any:
    """The value as `field` makes it. Raises UsageError for what does not fit.

    `{env: NAME}` is looked up wherever text could be meant. Where only a mapping can, it is a mapping with the key
    `env`: a variable holds text, which would never fit.
    """
    if value is None and field.nullable:
        return None
    if field.taken is not None and isinstance(value, field.taken):
        return value
    if env_name(value) is not None and not _only_mapping(field):
        value = resolve(value, place, context.lookup)
    given, value = value, _from_text(field, value)
    fits, check = _KINDS[field.kind]
    if not fits(value):
        raise _unfit(field, given, place)  # as it was given: what was read from it has lost its mark
    if not _in_range(field, value):
        given = shown(given, secret=_is_secret(field, place))
        raise place.fault(f"{given} is out of range; wanted {wanted(field)}")
    if not _in_size(field, value):
        size = f"has a length of {len(value)}" if value else "is empty"
        raise place.fault(f"{size}; wanted {wanted(field)}")
    return _made(field, check(field, value, place, context), place.hiding(*context.hidden))


def _made(field: Field, value: Any, place: Place) -> Any:
    if field.make is None:
        return value
    try:
        return field.make(value)
    except ValueError as error:  # of a class of the user's; a traceback of it could show what is hidden
        raise place.fault(str(error) or "is refused") from (None if place.hidden else error)


def _only_mapping(field: Field) -> bool:
    if field.kind == "either":
        return all(_only_mapping(option) for option in field.options)
    return field.kind in ("section", "mapping")


def _section(field: Field, value: Any, place: Place, context: Context) -> dict[str, Any]:
    fields = field.fields or {}
    for key in value:
        if key not in fields:
            raise place.at(key).fault(f"there is no key {key!r} here{meant(str(key), fields)}", known_keys(fields))
    for key, inner in fields.items():
        if inner.required and value.get(key) is None and not (inner.nullable and key in value):
            raise place.fault(f"the key {key!r} is missing, which takes {wanted(inner)}")
    return {
        key: check_value(inner, value[key], place.at(key), context)
        if _says_something(inner, value, key)
        else _default(inner, place.at(key), context)
        for key, inner in fields.items()
    }


def _says_something(field: Field, value: Mapping[str, Any], key: str) -> bool:
    """`key:` with nothing behind it is written by people who mean the default, unless null is a value of its own."""
    return value.get(key) is not None or (field.nullable and key in value)


def _default(field: Field, place: Place, context: Context) -> Any:
    default = field.default if field.factory is None else field.factory()
    if default is None:
        return None
    return check_value(field, default, place, context)


def known_keys(fields: Mapping[str, Any]) -> str:
    """The remedy for a key that is none of these."""
    if not fields:
        return "No keys are allowed here: leave `config` out."
    more = f" and {len(fields) - LISTED} more" if len(fields) > LISTED else ""
    return f"Allowed here: {', '.join(islice(fields, LISTED))}{more}."


def _text(field: Field, value: Any, place: Place, context: Context) -> str:
    if field.pattern is not None and not re.search(field.pattern, value):
        given = shown(value, secret=_is_secret(field, place))
        raise place.fault(f"{given} does not fit; wanted {wanted(field)}")
    return str.__str__(value)


def _folder(field: Field, value: Any, place: Place, context: Context) -> str:
    path = Path(_text(field, value, place, context)).expanduser()
    if "\0" in str(path):
        raise place.fault("holds a NUL, which no path can")
    return str(path if context.root is None else context.root / path)


def _in_range(field: Field, value: Any) -> bool:
    return (
        (field.minimum is None or value >= field.minimum)
        and (field.maximum is None or value <= field.maximum)
        and (field.above is None or value > field.above)
        and (field.below is None or value < field.below)
    )


def _in_size(field: Field, value: Any) -> bool:
    if field.kind not in ("text", "folder", "list", "mapping"):
        return True
    return field.shortest <= len(value) and (field.longest is None or len(value) <= field.longest)


def _word(field: Field, value: Any, place: Place, context: Context) -> str:
    if value not in field.allowed:
        given = shown(value, secret=_is_secret(field, place))
        raise place.fault(f"{given} is not one of {', '.join(field.allowed)}{meant(value, field.allowed)}")
    return str.__str__(value)


def _list(field: Field, value: Any, place: Place, context: Context) -> list[Any]:
    return [check_value(field.options[0], item, place.at(number), context) for number, item in enumerate(value)]


def _mapping(field: Field, value: Any, place: Place, context: Context) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise place.at(str(key)).fault(f"the key {key!r} is not text", "Write the key in quotes.")
    return {key: check_value(field.options[0], item, place.at(key), context) for key, item in value.items()}


def _either(field: Field, value: Any, place: Place, context: Context) -> Any:
    for option in field.options:
        if (option.taken and isinstance(value, option.taken)) or _KINDS[option.kind][0](_from_text(option, value)):
            return check_value(option, value, place, context)
    raise _unfit(field, value, place)


def _plain(field: Field, value: Any, place: Place, context: Context) -> Any:
    return plain_text(value)


def _any(field: Field, value: Any, place: Place, context: Context) -> Any:
    return plain_text(resolve(value, place, context.lookup))


def _from_text(field: Field, value: Any) -> Any:
    """What a variable of the environment holds is text, whatever is wanted."""
    if not isinstance(value, FromEnv):
        return value
    if field.kind == "flag":
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if field.kind in ("integer", "number"):
        try:
            return int(value) if field.kind == "integer" else float(value)
        except ValueError:
            return value
    return value


def _unfit(field: Field, value: Any, place: Place) -> Exception:
    return place.fault(f"{shown(value, secret=_is_secret(field, place))} was given; wanted {wanted(field)}")


def _is_secret(field: Field, place: Place) -> bool:
    return field.secret or any(isinstance(key, str) and SECRET_KEY.search(key) for key in place.path)


def wanted(field: Field) -> str:
    """What a field takes, in words."""
    return _words(field) + (" or null" if field.nullable and field.kind != "plain" else "")


def _words(field: Field) -> str:
    match field.kind:
        case "integer" | "number":
            return ("a whole number" if field.kind == "integer" else "a number") + _bounds(field)
        case "one_of":
            return f"one of {', '.join(field.allowed)}"
        case "list" | "mapping":
            return f"a {field.kind}{_size(field, 'items')}, each item {wanted(field.options[0])}"
        case "section":
            return (
                f"a mapping with the keys {', '.join(field.fields or {})}" if field.fields else "a mapping without keys"
            )
        case "text":
            return f"text{_size(field, 'characters')}" + (f" that fits {field.pattern}" if field.pattern else "")
        case "either":
            return ", or ".join(wanted(option) for option in field.options)
    return {"folder": "a path", "flag": "true or false"}.get(field.kind, "any value")


def _size(field: Field, of: str) -> str:
    if field.longest is not None:
        return f" of {field.shortest} to {field.longest} {of}"
    least = 1 if field.kind == "text" else 0  # `is empty; wanted text` says it
    return f" of {field.shortest} or more {of}" if field.shortest > least else ""


def _bounds(field: Field) -> str:
    if field.above is not None or field.below is not None:
        ends = (("above", field.above), ("from", field.minimum), ("below", field.below), ("to", field.maximum))
        return "".join(f" {word} {end}" for word, end in ends if end is not None)
    if field.minimum is not None and field.maximum is not None:
        return f" from {field.minimum} to {field.maximum}"
    if field.minimum is not None:
        return f", {field.minimum} or more"
    return f", at most {field.maximum}" if field.maximum is not None else ""


def _is_integer(value: Any) -> bool:
    return type(value) is int  # True is an int to Python, and to nobody who writes a file


def _is_number(value: Any) -> bool:
    # Not by isfinite, which an int beyond all floats makes raise; no comparison holds for NaN.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_any(value: Any) -> bool:
    return True


#: kind -> whether a value has the type for it, and what is checked then
_KINDS: dict[str, tuple[Callable[[Any], bool], Callable[[Field, Any, Place, Context], Any]]] = {
    "text": (_is_text, _text),
    "folder": (_is_text, _folder),
    "integer": (_is_integer, _plain),
    "number": (_is_number, _plain),
    "flag": (_is_flag, _plain),
    "one_of": (_is_text, _word),
    "list": (_is_list, _list),
    "mapping": (_is_mapping, _mapping),
    "section": (_is_mapping, _section),
    "either": (_is_any, _either),
    "plain": (_is_any, _any),
}
