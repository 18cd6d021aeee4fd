"""A value held against the schema: either it fits, with its defaults filled in, or an error says what would fit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .fields import Field
from .place import Place, meant
from .values import SECRET_KEY, FromEnv, Lookup, resolve, shown


class Context(NamedTuple):
    """What a value may refer to."""

    root: Path | None = None  #: relative paths are meant from here; None: from the working directory
    lookup: Lookup = os.environ.get  #: what `{env: NAME}` stands for


def check_section(fields: Mapping[str, Field], value: Any, place: Place, context: Context) -> dict[str, Any]:
    """The mapping with every key of `fields`, defaults where it has none. Raises UsageError for what does not fit."""
    value = resolve(value, place, context.lookup)
    return _section(Field(kind="section", fields=fields), value, place, context)


def _check(field: Field, value: Any, place: Place, context: Context) -> Any:
    given, value = value, _from_text(field, value, place)
    fits, check = _KINDS[field.kind]
    if not fits(value):
        raise _unfit(field, given, place)  # as it was given: what was read from it has lost its mark
    if not _in_range(field, value):
        given = shown(given, secret=_is_secret(field, place))
        raise place.fault(f"{given} is out of range; wanted {wanted(field)}")
    return check(field, value, place, context)


def _section(field: Field, value: Any, place: Place, context: Context) -> dict[str, Any]:
    fields = field.fields or {}
    for key in value:
        if key not in fields:
            raise place.at(key).fault(f"there is no key {key!r} here{meant(str(key), fields)}", known_keys(fields))
    for key, inner in fields.items():
        if inner.required and value.get(key) is None:
            raise place.fault(f"the key {key!r} is missing, which takes {wanted(inner)}")
    return {
        # `key:` with nothing behind it is written by people who mean the default.
        key: _default(inner, context) if value.get(key) is None else _check(inner, value[key], place.at(key), context)
        for key, inner in fields.items()
    }


def _default(field: Field, context: Context) -> Any:
    if field.default is None:
        return None
    return _check(field, field.default, Place(), context)


def known_keys(fields: Mapping[str, Any]) -> str:
    """The remedy for a key that is none of these."""
    return f"Allowed here: {', '.join(fields)}." if fields else "No keys are allowed here: leave `config` out."


def _text(field: Field, value: Any, place: Place, context: Context) -> str:
    if not value:
        raise place.fault(f"is empty; wanted {wanted(field)}")
    return str.__str__(value)


def _folder(field: Field, value: Any, place: Place, context: Context) -> str:
    path = Path(_text(field, value, place, context)).expanduser()
    if "\0" in str(path):
        raise place.fault("holds a NUL, which no path can")
    return str(path if context.root is None else context.root / path)


def _in_range(field: Field, value: Any) -> bool:
    low = field.minimum is not None and value < field.minimum
    return not low and (field.maximum is None or value <= field.maximum)


def _word(field: Field, value: Any, place: Place, context: Context) -> str:
    if value not in field.allowed:
        given = shown(value, secret=_is_secret(field, place))
        raise place.fault(f"{given} is not one of {', '.join(field.allowed)}{meant(value, field.allowed)}")
    return str.__str__(value)


def _list(field: Field, value: Any, place: Place, context: Context) -> list[Any]:
    return [_check(field.options[0], item, place.at(number), context) for number, item in enumerate(value)]


def _mapping(field: Field, value: Any, place: Place, context: Context) -> dict[str, Any]:
    return {key: _check(field.options[0], item, place.at(key), context) for key, item in value.items()}


def _either(field: Field, value: Any, place: Place, context: Context) -> Any:
    for option in field.options:
        if _KINDS[option.kind][0](_from_text(option, value, place)):
            return _check(option, value, place, context)
    raise _unfit(field, value, place)


def _plain(field: Field, value: Any, place: Place, context: Context) -> Any:
    from .values import plain_text

    return plain_text(value)


def _from_text(field: Field, value: Any, place: Place) -> Any:
    """What a variable of the environment holds is text, whatever is wanted."""
    if not isinstance(value, FromEnv):
        return value
    if field.kind == "flag":
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if field.kind in ("integer", "number"):
        try:
            return int(value) if field.kind == "integer" else float(value)
        except ValueError:
            raise _unfit(field, value, place) from None  # the cause would show the value
    return value


def _unfit(field: Field, value: Any, place: Place) -> Exception:
    return place.fault(f"{shown(value, secret=_is_secret(field, place))} was given; wanted {wanted(field)}")


def _is_secret(field: Field, place: Place) -> bool:
    return field.secret or any(isinstance(key, str) and SECRET_KEY.search(key) for key in place.path)


def wanted(field: Field) -> str:
    """What a field takes, in words."""
    match field.kind:
        case "integer" | "number":
            return ("a whole number" if field.kind == "integer" else "a number") + _bounds(field)
        case "one_of":
            return f"one of {', '.join(field.allowed)}"
        case "list" | "mapping":
            return f"a {field.kind}, each item {wanted(field.options[0])}"
        case "section":
            return f"a mapping with the keys {', '.join(field.fields or {})}"
        case "either":
            return ", or ".join(wanted(option) for option in field.options)
    return {"text": "text", "folder": "a path", "flag": "true or false"}.get(field.kind, "any value")


def _bounds(field: Field) -> str:
    if field.minimum is not None and field.maximum is not None:
        return f" from {field.minimum} to {field.maximum}"
    if field.minimum is not None:
        return f", {field.minimum} or more"
    return f", at most {field.maximum}" if field.maximum is not None else ""


def _is_integer(value: Any) -> bool:
    return type(value) is int  # True is an int to Python, and to nobody who writes a file


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


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
    "plain": (_is_any, _plain),
}
