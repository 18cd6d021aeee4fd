"""`Config`: the class that typed configuration derives from, and what its annotations mean where they stand.

Not here: which annotations are possible (annotations.py), making one from plain values (typed_config.py).
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Mapping
from types import FrameType, SimpleNamespace
from typing import Any, dataclass_transform
from weakref import WeakKeyDictionary

import msgspec

from ..config.place import MASK
from ..config.values import SECRET_KEY
from ..errors import UsageError

_WORD = re.compile(r"[^\W\d]\w*")
#: what the annotations of a class inside a function name, by class: such names are in no module, and soon gone
_NAMED: WeakKeyDictionary[type, Mapping[str, Any]] = WeakKeyDictionary()


class Secret:
    """Marks a text that is never shown: `password: Annotated[str, Secret]`."""


class ConfigMeta(msgspec.StructMeta):
    """Makes each subclass frozen and keyword-only, which msgspec does not pass on."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ConfigMeta:
        if not (options.setdefault("frozen", True) and options.setdefault("kw_only", True)):
            raise UsageError(f"{name}: a Config is frozen and keyword-only; leave `frozen` and `kw_only` out")
        made = super().__new__(mcls, name, bases, namespace, **options)
        if texts := [text for text in namespace.get("__annotations__", {}).values() if isinstance(text, str)]:
            _NAMED[made] = {name: made, **local_names(texts, sys._getframe(1))}
        return made


# On the class, not on its metaclass: type checkers would find that of msgspec.Struct first.
@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Config(msgspec.Struct, metaclass=ConfigMeta, frozen=True, kw_only=True):
    """Base of the typed configuration of ops, assets and resources. Its annotations are its schema.

        class LoadConfig(foldlog.Config):
            table: str
            limit: Annotated[int, msgspec.Meta(ge=1)] = 100
            password: Annotated[str, Secret] | None = None

    A subclass is frozen and keyword-only. `__post_init__` may raise ValueError: it is told as an error of the place
    that the values came from. Possible annotations: int, float, str, bool, pathlib.Path, Literal of texts, list[T],
    tuple[T, ...], dict[str, T], another Config, `T | None`, unions of these that a value's type tells apart, Any, and
    Annotated with `msgspec.Meta` (ge, gt, le, lt, min_length, max_length, pattern, description) or `Secret`.
    """

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Names and values, secrets masked."""
        hidden = secret_names(type(self))
        return [(name, MASK if name in hidden else getattr(self, name)) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def hints_of(cls: type[Config]) -> dict[str, Any]:
    """The annotation of each field of the class and its bases, evaluated. Raises UsageError for an unknown name."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if isinstance(base, ConfigMeta):
            hints |= _own_hints(base, cls.__struct_fields__)
    return hints


def _own_hints(base: type, fields: tuple[str, ...]) -> dict[str, Any]:
    own = {name: hint for name, hint in inspect.get_annotations(base).items() if name in fields}
    inner = {name: value for name, value in vars(base).items() if isinstance(value, type)}
    scope = {**inner, **_NAMED.get(base, {})}
    names = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
    try:
        # Not of the class itself: its bases would be evaluated with it, by the names of this scope.
        return typing.get_type_hints(SimpleNamespace(__annotations__=own), names, scope, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"{shown_class(base)}: its annotations name {error.name!r}, which is not known where the class is defined"
        ) from error


def secret_names(cls: type[Config]) -> frozenset[str]:
    """The fields that hold a text which is not to be shown: marked `Secret`, or named like one."""
    marked = {name for name, hint in hints_of(cls).items() if _holds_mark(hint)}
    return frozenset(marked | {name for name in cls.__struct_fields__ if SECRET_KEY.search(name)})


def is_mark(note: object) -> bool:
    """Whether what stands in `Annotated` is the marker, as class or as object."""
    return note is Secret or isinstance(note, Secret)


def shown_class(cls: type) -> str:
    """The name of a class in messages: without the functions around it."""
    return cls.__qualname__.rpartition("<locals>.")[2]


def _holds_mark(hint: Any) -> bool:
    return any(
        is_mark(part) or _holds_mark(part) for part in (*typing.get_args(hint), *getattr(hint, "__metadata__", ()))
    )


def local_names(texts: list[str], frame: FrameType) -> dict[str, Any]:
    """What the annotations name among the local names of the scopes around a definition, the innermost first."""
    words = {word for text in texts for word in _WORD.findall(text)}
    found: dict[str, Any] = {}
    scope: FrameType | None = frame
    while scope is not None and scope.f_locals is not scope.f_globals:
        found = {name: value for name, value in scope.f_locals.items() if name in words} | found
        in_class = "__qualname__" in scope.f_locals and "__module__" in scope.f_locals
        scope = scope.f_back if in_class else None
    return found
