"""Plain data as JSON or MessagePack: exactly what these give back as it was.

By exact type: a tuple, an int key, an enum or a subclass of dict would come back as something else, so they are not
plain; nor are NaN and infinities, text with lone surrogates, and ints of more than 64 bits. Handles of files are plain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import IO, Any, NamedTuple

import msgspec

from ..files.handles import KINDS, MARK, revived
from .unfit import Prepared, Unfit

MAX_DEPTH = 100  #: lists and dicts inside one another
LOWEST, HIGHEST = -(2**63), 2**64 - 1
REMEDY = "Change that part of the value, or leave the format to 'auto' or 'pickle', which keep any value."

ENCODE: dict[str, Callable[[Any], bytes]] = {"json": msgspec.json.encode, "msgpack": msgspec.msgpack.encode}


class Fault(NamedTuple):
    """Why a value is not plain, and where."""

    path: str  #: from the value on, as `['a'][0]`
    reason: str


def format_of(value: Any) -> str:
    """`json`, `msgpack` for what has bytes in it, or `pickle` for what neither gives back exactly.

    A list or dict that is in the value twice would come back as two, so that is for pickle as well.
    """
    look = _Look(with_bytes=True, keep_sharing=True)
    if look.fault(value) is not None:
        return "pickle"
    return "msgpack" if look.has_bytes else "json"


def prepared(value: Any, name: str) -> Prepared:
    """To be written in the format that `format_of` said."""
    return Prepared(lambda file: _write(file, ENCODE[name](value)))


def prepare_json(value: Any) -> Prepared:
    """Raises Unfit for what JSON does not give back."""
    return _checked(value, "json", with_bytes=False)


def prepare_msgpack(value: Any) -> Prepared:
    """Raises Unfit for what MessagePack does not give back."""
    return _checked(value, "msgpack", with_bytes=True)


def read_json(file: IO[bytes], type_hint: Any) -> Any:
    """The value. Raises msgspec.DecodeError for a file that is damaged."""
    return _decoded(file.read(), msgspec.json.decode)


def read_msgpack(file: IO[bytes], type_hint: Any) -> Any:
    """The value. Raises msgspec.DecodeError for a file that is damaged."""
    return _decoded(file.read(), msgspec.msgpack.decode)


def _decoded(data: bytes, decode: Callable[[bytes], Any]) -> Any:
    value = decode(data)
    return (
        revived(value) if MARK.encode() in data else value
    )  # few values have handles; the others are not gone through


def _checked(value: Any, name: str, *, with_bytes: bool) -> Prepared:
    fault = _Look(with_bytes=with_bytes, keep_sharing=False).fault(value)
    if fault is not None:
        raise Unfit(f"{name} does not give value{fault.path} back as it is: {fault.reason}", REMEDY)
    return prepared(value, name)


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)


class _Look:
    """One look through a value."""

    def __init__(self, *, with_bytes: bool, keep_sharing: bool) -> None:
        self.has_bytes = False
        self._with_bytes = with_bytes
        self._keep_sharing = keep_sharing
        self._seen: dict[int, bool] = {}  #: lists and dicts by id: whether all that is in them was looked at

    def fault(self, value: Any, depth: int = 1) -> Fault | None:
        """The first thing that would not come back as it is."""
        kind = type(value)
        if kind is list or kind is dict:
            return self._fault_inside(value, depth)
        if kind is bytes and self._with_bytes:
            self.has_bytes = True
            return None
        if kind in KINDS:
            value = value.path_desc
        reason = _scalar_fault(value)
        return Fault("", reason) if reason else None

    def _fault_inside(self, value: Any, depth: int) -> Fault | None:
        done = self._seen.get(id(value))
        if done is not None:
            if done and not self._keep_sharing:
                return None
            return Fault("", "it is in the value twice" if done else "it contains itself")
        if depth > MAX_DEPTH:
            return Fault("", f"it is nested more than {MAX_DEPTH} deep")
        self._seen[id(value)] = False
        items: Iterable[tuple[Any, Any]] = enumerate(value)
        if type(value) is dict:
            items = value.items()
            for key in value:
                if type(key) is not str or _scalar_fault(key):
                    return Fault("", f"its key {_shown(key)} is no text")
            if MARK in value:
                return Fault("", f"its key {MARK!r} stands for the handle of a file")
        for key, one in items:
            if (fault := self.fault(one, depth + 1)) is not None:
                return Fault(f"[{key!r:.80}]{fault.path}", fault.reason)
        self._seen[id(value)] = True
        return None


def _scalar_fault(value: Any) -> str | None:
    kind = type(value)
    if value is None or kind is bool:
        return None
    if kind is int:
        return None if LOWEST <= value <= HIGHEST else "an int of more than 64 bits"
    if kind is float:
        return None if math.isfinite(value) else f"the float {value}"
    if kind is str:
        return None if value.isascii() or _is_unicode(value) else "text with a lone surrogate"
    return f"a value of the type {kind.__module__}.{kind.__qualname__}".replace("type builtins.", "type ")


def _shown(key: Any) -> str:
    """A key, of a kind whose text is short and raises nothing; of others the type."""
    kind = type(key)
    plain = key is None or kind in (bool, str, float) or (kind is int and LOWEST <= key <= HIGHEST)
    return f"{key!r:.80}" if plain else f"of the type {kind.__qualname__}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
