"""Whether a fact, as it was built, can be read back: its values have the types its class declares.

msgspec checks types when it decodes, not when a fact is built, so `StepStarted(attempt="x")` encodes and could never
be read again. Decoding each fact once more to find out costs as much as reading it. Instead `ok` answers from the
exact types of the values; only where it says False does the codec look closer (`problem` for the path, then a
decode). True is a promise: what is encoded decodes. False means no more than "not plain to see".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import msgspec.inspect as mi

from ..engine.events.event import MAX_DEPTH
from ..engine.events.key import AssetKey

Check: TypeAlias = Callable[[Any], bool]

SCALARS = frozenset((str, int, float, bool, type(None)))
_SELF_CHECKED = frozenset((AssetKey,))  # looks at its own parts whenever one is built


class Shape(Protocol):
    """What values a place in a fact may take."""

    @property
    def ok(self) -> Check:
        """Whether a value is, at a glance, what may stand here."""

    def problem(self, value: Any, path: str) -> str | None:
        """What is wrong and where, or None if nothing is found."""


class Either:
    """One of several types: scalars and enums by their exact class, containers by a shape each."""

    def __init__(self, plain: frozenset[type], deep: dict[type, Shape], *, sure: bool) -> None:
        self.plain = plain
        self.deep = deep
        self.sure = sure  # False if the declaration has types that are not understood here
        self.checks: dict[type, Check] = {cls: _late(shape) for cls, shape in deep.items()}

    def ok(self, value: Any) -> bool:
        cls = type(value)
        if cls in self.plain:
            return True
        check = self.checks.get(cls)
        return check is not None and check(value)

    def problem(self, value: Any, path: str) -> str | None:
        cls = type(value)
        if cls in self.plain:
            return scalar_problem(value, path)
        for declared, shape in self.deep.items():
            if isinstance(value, declared) or (declared is tuple and isinstance(value, list)):
                return shape.problem(value, path)
        if not self.sure or (cls is int and float in self.plain):
            return scalar_problem(value, path)
        names = sorted({one.__name__ for one in self.plain} | {one.__name__ for one in self.deep})
        return f"{path}: {_name(value)} where {' or '.join(names)} is meant"


class Document:
    """Plain values: None, bool, int, float, text, lists, dicts with text keys. The type `Any` in a declaration."""

    def __init__(self) -> None:
        self.ok: Check = _document

    def problem(self, value: Any, path: str) -> str | None:
        return self._problem(value, path, MAX_DEPTH)

    def _problem(self, value: Any, path: str, room: int) -> str | None:
        if type(value) in SCALARS:
            return scalar_problem(value, path)
        if not isinstance(value, list | tuple | dict):
            return f"{path}: {_name(value)} in a plain document; make it text or a number"
        if not room:
            return f"{path}: nested more than {MAX_DEPTH} deep"
        pairs: Iterator[tuple[Any, Any]] = iter(value.items() if isinstance(value, dict) else enumerate(value))
        for key, one in pairs:
            bad = _key_problem(key, path) if isinstance(value, dict) else None
            bad = bad or self._problem(one, f"{path}[{key!r}]", room - 1)
            if bad:
                return bad
        return None


class Items:
    """A list or a tuple of any length."""

    def __init__(self, item: Shape) -> None:
        self.item = item
        self.ok: Check = _texts if _is_text(item) else lambda value: all(map(item.ok, value))

    def problem(self, value: Any, path: str) -> str | None:
        return _first(self.item.problem(one, f"{path}[{index}]") for index, one in enumerate(value))


class Values:
    """A dict with text keys; the encoder refuses others on its own."""

    def __init__(self, item: Shape) -> None:
        self.item = item
        self.ok: Check = lambda value: all(map(item.ok, value.values()))
        if isinstance(item, Either):
            self.ok = (lambda value: _texts(value.values())) if _is_text(item) else _values_check(item)

    def problem(self, value: Any, path: str) -> str | None:
        return _first(
            _key_problem(key, path) or self.item.problem(one, f"{path}[{key!r}]") for key, one in value.items()
        )


def _values_check(item: Either) -> Check:
    plain, checks = item.plain, item.checks
    all_plain = plain.issuperset

    def ok(value: dict[str, Any]) -> bool:
        if all_plain(map(type, value.values())):  # the usual case, at half the cost of the loop
            return True
        for one in value.values():
            cls = type(one)
            if cls not in plain:
                check = checks.get(cls)
                if check is None or not check(one):
                    return False
        return True

    return ok


def _is_text(shape: Shape) -> bool:
    return isinstance(shape, Either) and shape.plain == {str} and not shape.deep


class Fields:
    """A struct. `ok` is compiled into one expression: `type(f.attempt) is int and ((x := f.error) is None or ...)`."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.fields: tuple[tuple[str, Shape], ...] = ()
        self.ok: Check = self._unknown

    def _unknown(self, value: Any) -> bool:
        return False

    def compile(self, fields: tuple[tuple[str, Shape], ...]) -> None:
        """Take the shapes of the fields; apart from `__init__`, for a struct may hold itself."""
        names: dict[str, Any] = {}
        parts = [_expression(f"f.{name}", shape, names) for name, shape in fields]
        # The text holds names of fields, which are identifiers, and names made here: nothing from outside.
        self.ok = eval(f"lambda f: {' and '.join(parts) or 'True'}", names)
        self.fields = fields

    def problem(self, value: Any, path: str) -> str | None:
        dot = f"{path}." if path else ""
        return _first(shape.problem(getattr(value, name), f"{dot}{name}") for name, shape in self.fields)


def _expression(place: str, shape: Shape, names: dict[str, Any]) -> str:
    """The test of one field as Python text; what it refers to is added to `names`."""

    def bound(value: Any) -> str:
        names[name := f"n{len(names)}"] = value
        return name

    if not isinstance(shape, Either):
        return f"{bound(shape.ok)}({place})"
    tests = ["@ is None"] if type(None) in shape.plain else []
    tests += [f"type(@) is {bound(cls)}" for cls in sorted(shape.plain - {type(None)}, key=lambda cls: cls.__name__)]
    for cls, inner in shape.deep.items():
        look = "True" if cls in _SELF_CHECKED else f"{bound(_late(inner))}(x)"
        tests.append(f"type(@) is {bound(cls)} and {f'(not x or {look})' if cls is dict else look}")
    # The first test reads the field into x, the others look at x.
    text = " or ".join(tests or ["False"]).replace("@", f"(x := {place})", 1).replace("@", "x")
    return f"({text})"


def _late(shape: Shape) -> Check:
    """The check of a shape that may not be compiled yet."""
    return shape.ok if not isinstance(shape, Fields) or shape.fields else lambda value: shape.ok(value)


def shape_of(cls: type) -> Fields:
    """The shape of a struct class, as its annotations declare it."""
    return _Maker().struct(mi.type_info(cls))


class _Maker:
    def __init__(self) -> None:
        self.structs: dict[type, Fields] = {}

    def struct(self, info: mi.Type) -> Fields:
        if not isinstance(info, mi.StructType):
            raise TypeError(f"{info!r} is no struct")
        made = self.structs.get(info.cls)
        if made is None:
            made = self.structs[info.cls] = Fields(info.cls)
            made.compile(tuple((field.name, self.make(field.type)) for field in info.fields))
        return made

    def make(self, info: mi.Type) -> Shape:
        if isinstance(info, mi.AnyType):
            return Document()
        plain: set[type] = set()
        deep: dict[type, Shape] = {}
        sure = True
        for one in info.types if isinstance(info, mi.UnionType) else (info,):
            match one:
                case mi.StructType(cls=cls):
                    deep[cls] = self.struct(one)
                case mi.VarTupleType(item_type=item, min_length=None, max_length=None):
                    deep[tuple] = Items(self.make(item))
                case mi.ListType(item_type=item, min_length=None, max_length=None):
                    deep[list] = Items(self.make(item))
                case mi.DictType(key_type=mi.StrType(), value_type=item, min_length=None, max_length=None):
                    deep[dict] = Values(self.make(item))
                case mi.EnumType(cls=cls):
                    plain.add(cls)
                case mi.StrType() | mi.IntType() | mi.FloatType() | mi.BoolType() | mi.NoneType() if one == type(one)():
                    plain.add(_PLAIN[type(one)])
                case _:  # bounded, or of a kind foldlog's own facts do not use: the codec decodes to be sure
                    sure = False
        return Either(frozenset(plain), deep, sure=sure)


_PLAIN: dict[type[mi.Type], type] = {
    mi.StrType: str,
    mi.IntType: int,
    mi.FloatType: float,
    mi.BoolType: bool,
    mi.NoneType: type(None),
}


def _texts(values: Iterable[Any]) -> bool:
    """Whether all are text. Joining asks C for each; subclasses of str, which join too, the encoder has refused."""
    try:
        "".join(values)
    except TypeError:
        return False
    return True


def _document(value: Any, room: int = MAX_DEPTH) -> bool:
    cls = type(value)
    if cls in SCALARS:
        return True
    if cls is dict:
        value = value.values()
    elif cls is not list and cls is not tuple:
        return False
    return room > 0 and (SCALARS.issuperset(map(type, value)) or all(_document(one, room - 1) for one in value))


def scalar_problem(value: Any, path: str) -> str | None:
    """Why a scalar cannot be written, or None."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"{path}: an integer of {value.bit_length()} bits; 64 are stored (-2**63 to 2**64 - 1)"
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            return f"{path}: a lone surrogate at character {error.start}; it is no text"
    return None


def _key_problem(key: Any, path: str) -> str | None:
    if type(key) is not str:
        return f"{path}: the key {key!r:.80} is {_name(key)}; keys are text"
    return scalar_problem(key, f"{path}[{key!r}]")


def _first(problems: Iterator[str | None]) -> str | None:
    return next((problem for problem in problems if problem), None)


def _name(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
