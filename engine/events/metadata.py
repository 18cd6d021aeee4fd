"""Values that people attach to facts: plain scalars as they are, all else as one of these tagged structs.

On the wire text, int, float, bool and None stand for themselves; a struct is an array that begins with its tag.
Numbers keep their type: 1, 1.0 and True are three values. NaN, infinities and -0.0 are kept bit for bit. An int has
at most 64 bits (-2**63 to 2**64 - 1). Text is Unicode without lone surrogates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Protocol, TypeAlias, get_args, runtime_checkable

import msgspec

from ..errors import EncodingError
from .event import MAX_DEPTH
from .key import AssetCheckKey, AssetKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

JsonValue: TypeAlias = Any  #: None, bool, int, float, text, lists of these, dicts of these with text keys


class TextMetadata(msgspec.Struct, frozen=True, array_like=True, tag="x", gc=False):
    """Text that would be taken for something else on its own; `to_metadata` never makes one."""

    text: str


class JsonMetadata(msgspec.Struct, frozen=True, array_like=True, tag="j", gc=False):
    """A plain document: None, bool, int, float, text, lists, dicts with text keys; a tuple is read back as a list."""

    value: JsonValue


class UrlMetadata(msgspec.Struct, frozen=True, array_like=True, tag="u", gc=False):
    """An address to follow."""

    url: str


class PathMetadata(msgspec.Struct, frozen=True, array_like=True, tag="p", gc=False):
    """A path in a file system, as text."""

    path: str


class MarkdownMetadata(msgspec.Struct, frozen=True, array_like=True, tag="m", gc=False):
    """Text to show as Markdown."""

    markdown: str


class TimestampMetadata(msgspec.Struct, frozen=True, array_like=True, tag="t", gc=False):
    """An instant."""

    timestamp_us: int  #: microseconds since 1970-01-01 UTC

    @classmethod
    def from_datetime(cls, when: datetime) -> TimestampMetadata:
        """The instant of a datetime that knows its zone; the zone itself is not kept."""
        if when.tzinfo is None or when.utcoffset() is None:
            raise ValueError(f"{when!r} has no time zone")
        return cls((when - _EPOCH) // _US)

    def to_datetime(self) -> datetime:
        """In UTC."""
        return _EPOCH + timedelta(microseconds=self.timestamp_us)


class TableColumn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One column of a table."""

    name: str
    type: str = "string"
    description: str | None = None
    nullable: bool = True
    unique: bool = False
    constraints: tuple[str, ...] = ()  #: other rules, in the user's words
    tags: dict[str, str] = {}


class TableSchemaMetadata(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """The columns of a table, and rules over the whole of it."""

    columns: tuple[TableColumn, ...]
    constraints: tuple[str, ...] = ()


class TableMetadata(msgspec.Struct, frozen=True, array_like=True, tag="b", gc=False):
    """A small table: each record maps column names to plain scalars."""

    records: tuple[dict[str, str | int | float | bool | None], ...]
    schema: TableSchemaMetadata | None = None


class RunReference(msgspec.Struct, frozen=True, array_like=True, tag="r", gc=False):
    """Another run, by id."""

    run_id: str


class AssetReference(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """An asset, by key; or one partition of it."""

    asset_key: AssetKey
    partition: str | None = None


class CheckReference(msgspec.Struct, frozen=True, array_like=True, tag="c", gc=False):
    """An asset check, by key."""

    check_key: AssetCheckKey


MetadataValue: TypeAlias = (
    str
    | int
    | float
    | bool
    | TextMetadata
    | JsonMetadata
    | UrlMetadata
    | PathMetadata
    | MarkdownMetadata
    | TimestampMetadata
    | TableSchemaMetadata
    | TableMetadata
    | RunReference
    | AssetReference
    | CheckReference
    | None
)


@runtime_checkable
class _Located(Protocol):
    """What says where it lies, as the handle of a file does."""

    @property
    def path_desc(self) -> str: ...


_AS_IS = frozenset(get_args(MetadataValue))


def to_metadata(values: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """`values` as facts take them. What is a metadata value already stays as it is; of the rest

    a datetime with a zone becomes a timestamp, a path a path, the handle of a file a path or a URL, an asset key or
    check key a reference, a dict, list or tuple a JSON document, and other numbers (of NumPy, say) the int or float
    they stand for.

    Raises EncodingError, with the key, for a naive datetime, bytes, a set, or anything else.
    """
    return {key: _value(f"metadata[{key!r}]", value) for key, value in values.items()}


def _value(path: str, value: Any) -> MetadataValue:
    if type(value) in _AS_IS:
        return value  # type: ignore[no-any-return]
    match value:
        case datetime():
            try:
                return TimestampMetadata.from_datetime(value)
            except ValueError:
                raise EncodingError(f"{path}: {value!r} has no time zone; give one, as datetime.UTC") from None
        case PurePath():
            return PathMetadata(str(value))
        case AssetKey():
            return AssetReference(value)
        case AssetCheckKey():
            return CheckReference(value)
        case Mapping() | list() | tuple():
            return JsonMetadata(_plain(path, value, 1))
        case _Located(path_desc=str(where)):
            return UrlMetadata(where) if "://" in where and not where.startswith("/") else PathMetadata(where)
        case _:
            return _scalar(path, value)


def _plain(path: str, value: Any, depth: int) -> JsonValue:
    if not isinstance(value, Mapping | list | tuple):
        return _scalar(path, value)
    if depth > MAX_DEPTH:
        raise EncodingError(f"{path}: nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {_key(path, key): _plain(f"{path}[{key!r}]", one, depth + 1) for key, one in value.items()}
    return [_plain(f"{path}[{index}]", one, depth + 1) for index, one in enumerate(value)]


def _key(path: str, key: Any) -> str:
    if not isinstance(key, str):
        raise EncodingError(f"{path}: a key of a document is text, not {key!r}")
    return str(key)


def _scalar(path: str, value: Any) -> str | int | float | bool | None:
    """A number or text of another class, as the built-in one that it equals."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    hint = "; give seconds or microseconds as a number" if isinstance(value, timedelta) else ""
    raise EncodingError(f"{path}: {type(value).__name__} {value!r:.80} is no metadata value{hint}")


def to_table(records: Iterable[Mapping[str, Any]], schema: TableSchemaMetadata | None = None) -> TableMetadata:
    """A table from rows; their values are taken over as `to_metadata` takes scalars."""
    rows = (
        {_key(f"records[{n}]", name): _scalar(f"records[{n}][{name!r}]", value) for name, value in row.items()}
        for n, row in enumerate(records)
    )
    return TableMetadata(tuple(rows), schema)
