"""Facts in the form that scripts read (JSON) and in one line that people read.

`jsonable` gives plain JSON: an asset key is its text, a metadata value other than a scalar is
`{"type": "path", "value": ...}`, a float that JSON lacks is `{"type": "float", "value": "NaN"}`, bytes are hex.
Not here: how it is printed (show.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .show import took

if TYPE_CHECKING:
    from ..events.errorinfo import ErrorInfo
    from ..events.event import Event
    from ..log.log import EventRecord

#: metadata struct -> the name of its type, and the field that is its value (None: all of them)
_METADATA = {
    "TextMetadata": ("text", "text"),
    "JsonMetadata": ("json", "value"),
    "UrlMetadata": ("url", "url"),
    "PathMetadata": ("path", "path"),
    "MarkdownMetadata": ("markdown", "markdown"),
    "TimestampMetadata": ("timestamp", "timestamp_us"),
    "TableSchemaMetadata": ("table_schema", None),
    "TableMetadata": ("table", None),
    "RunReference": ("run", "run_id"),
    "AssetReference": ("asset", None),
    "CheckReference": ("asset_check", "check_key"),
}
_KEYS = ("AssetKey", "AssetCheckKey")
MAX_COLUMNS = 20  #: of a table, that `metadata_text` names


def jsonable(value: Any) -> Any:
    """`value`, of a fact or a view, as JSON has it."""
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"type": "float", "value": str(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if hasattr(value, "__struct_fields__"):
        return _struct(value)
    if hasattr(value, "_asdict"):
        return jsonable(value._asdict())
    if isinstance(value, tuple | list | set | frozenset):
        return [jsonable(one) for one in value]
    return str(value)


def _struct(value: Any) -> Any:
    kind = type(value).__name__
    if kind in _KEYS:
        return str(value)
    fields = {name: jsonable(getattr(value, name)) for name in value.__struct_fields__}
    if kind not in _METADATA:
        return fields
    name, only = _METADATA[kind]
    return {"type": name, "value": fields[only] if only else fields}


def record_form(record: EventRecord) -> dict[str, Any]:
    """An event with its places."""
    event = record.event
    return {
        "position": record.position,
        "shard": record.shard,
        "seq": record.seq,
        "run_id": record.run_id,
        "type": event.type,
        "timestamp_us": event.timestamp_us,
        "step_key": event.step_key,
        "job_name": event.job_name,
        "level": event.level,
        "message": event.message,
        "fact": jsonable(event.fact),
    }


def error_form(error: ErrorInfo | None) -> dict[str, Any] | None:
    """An error with its stack and causes."""
    form: dict[str, Any] | None = jsonable(error)
    return form


def error_line(error: ErrorInfo) -> str:
    """Class and message of an error, for people: the class as they call it, without the module that has it."""
    return class_and_message(error.class_name, error.message)


def class_and_message(class_name: str, message: str | None) -> str:
    """The same, of an error that is told by its parts."""
    name = class_name.rpartition(".")[2]
    return f"{name}: {message}" if message else name


def gist(event: Event[Any]) -> str:
    """What an event says, in one line: its message, or what stands out in its fact."""
    return event.message or "; ".join(_particulars(event.fact))


def _particulars(fact: Any) -> Iterator[str]:
    if text := getattr(fact, "text", None):
        yield str(text)
    if key := getattr(fact, "asset_key", None):
        partition = getattr(fact, "partition", None)
        yield f"{key}[{partition}]" if partition is not None else str(key)
    if check := getattr(fact, "check_name", None):
        passed = getattr(fact, "passed", None)
        yield check if passed is None else f"{check} {'passed' if passed else 'DID NOT PASS'}"
    if getattr(fact, "attempt", 1) > 1:
        yield f"attempt {fact.attempt}"
    if error := getattr(fact, "error", None):
        yield error_line(error)
    yield from _plain_fields(fact)


def _plain_fields(fact: Any) -> Iterator[str]:
    for name in ("run_id", "job_name", "reason"):
        value = getattr(fact, name, None)
        if isinstance(value, str) and not (name == "reason" and getattr(fact, "error", None)):
            yield value
    if tags := getattr(fact, "tags", None):
        yield tags_text(tags)
    if (duration_us := getattr(fact, "duration_us", None)) is not None:
        yield took(duration_us)


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags in one line."""
    return " ".join(f"{name}={value}" for name, value in sorted(tags.items()))


def metadata_text(value: Any) -> str:
    """A metadata value in a few words."""
    form = jsonable(value)
    if not isinstance(form, dict):
        return f"{form:,}" if isinstance(form, int) and not isinstance(form, bool) else str(form)
    if form["type"] == "table":
        records = form["value"]["records"]
        return f"table of {len(records)} rows: {', '.join(records[0]) if records else 'empty'}"
    if form["type"] == "table_schema":
        return _columns_text(form["value"]["columns"])
    return str(form["value"])


def _columns_text(columns: list[dict[str, Any]]) -> str:
    """`id int64, name string`, and how many more there are."""
    shown = ", ".join(f"{one['name']} {one['type']}" for one in columns[:MAX_COLUMNS])
    more = f" and {len(columns) - MAX_COLUMNS} more" if len(columns) > MAX_COLUMNS else ""
    return (shown or "no columns") + more
