"""A log decoded, for analysis: one row an event, as JSON lines or Parquet. It cannot be imported again.

The fact is read from its bytes without its class: a map of the fields that are not at their defaults. So every kind
has the same form, also one that nobody here knows. Deleted events have no row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import msgpack

from ...engine.errors import CorruptLogError, UsageError, fault
from ...engine.log.cursor import accept
from ...engine.log.log import EventLog
from ...engine.log.names import is_system_shard
from ...engine.log.port import Entry, Record
from .exporting import whole, writing
from .place import Place, Progress, existing, quiet

PAGE = 10_000
PAGE_BYTES = 4 * 1024 * 1024  #: of bodies, about; decoded they take some times that
FORMS = ("jsonl", "parquet")
#: column -> its type in Parquet
COLUMNS = {
    "position": "int64",
    "shard": "string",
    "seq": "int64",
    "run_id": "string",
    "type": "string",
    "timestamp": "timestamp",
    "step_key": "string",
    "job_name": "string",
    "level": "int64",
    "message": "string",
    "asset": "string",
    "partition": "string",
    "version": "int64",
    "fact": "string",
}

Row = dict[str, Any]


class Tabled(NamedTuple):
    """What an export for analysis holds."""

    position: int  #: up to which it goes
    cursor: str  #: pass it as `after` for what comes next
    events: int


def export_table(
    log: str | EventLog,
    file: str | Path | BinaryIO,
    form: str,
    *,
    after: str | None = None,
    progress: Progress | None = None,
) -> Tabled:
    """Write one row an event: position, shard, seq, run, type, time, step, job, level, message, asset, partition,
    version and the fact as JSON.

    `form`: `jsonl`, or `parquet`, which needs pyarrow. `file`: a path, `-` for the standard output, or a stream.
    `after`: a cursor: only what came since.

    Raises UsageError for another form, where there is no log, or without pyarrow.
    """
    if form not in FORMS:
        raise UsageError(f"form={form!r} is not one of {', '.join(FORMS)}")
    make = _Lines if form == "jsonl" else _parquet()
    with existing(log, or_read=True) as place, writing(file) as stream:
        head = place.log.catch_up()
        start = accept(place.backend, after, head) if after is not None else 0
        events = 0
        with make(stream) as sink:
            for position, rows in _pages(place, start, head.position):
                sink.write(rows)
                events += len(rows)
                (progress or quiet)("events", position - start, head.position - start)
        return Tabled(head.position, place.log.cursor(head.position), events)


def _pages(place: Place, after: int, through: int) -> Iterator[tuple[int, list[Row]]]:
    """Rows past one position and up to another, in pages that are bounded in bytes, too."""
    at = whole(place, after)
    while at < through:
        entries = place.backend.extract(after=at, limit=PAGE, size=PAGE_BYTES)
        if not entries:
            raise CorruptLogError(f"{place.url}: the timeline ends at {at}, and not at {through}")
        at = entries[-1].placed.last_position
        rows = [row for entry in entries for row in _rows(entry) if after < row["position"] <= through]
        yield min(at, through), rows


def _rows(entry: Entry) -> Iterator[Row]:
    position, receipt, _ = entry.placed
    for number, record in enumerate(entry.records):
        if record is not None:
            yield _row(receipt.shard, receipt.first_seq + number, position + number, record)


def _row(shard: str, seq: int, position: int, record: Record) -> Row:
    fact, step_key, job_name, level, message, version = _envelope(record.type, record.body)
    asset = fact.get("asset_key") if isinstance(fact, Mapping) else None
    partition = fact.get("partition") if isinstance(fact, Mapping) else None
    return {
        "position": position,
        "shard": shard,
        "seq": seq,
        "run_id": None if is_system_shard(shard) else shard,
        "type": record.type,
        "timestamp": record.ts_us,
        "step_key": step_key,
        "job_name": job_name,
        "level": level,
        "message": message,
        "asset": "/".join(map(str, _path(asset))) if asset is not None else None,
        "partition": partition if isinstance(partition, str) else None,
        "version": version,
        "fact": fact,
    }


def _envelope(kind: str, body: bytes) -> tuple[Any, Any, Any, Any, Any, int]:
    """What a body says, read without classes: docs/format.md."""
    try:
        items = msgpack.unpackb(body, raw=False, strict_map_key=False, unicode_errors="surrogateescape")
        fact, _, step_key, job_name, level, message = items[:6]
        return fact, step_key, job_name, level, message, int(items[-1])
    except (msgpack.UnpackException, ValueError, TypeError) as error:
        raise CorruptLogError(f"a record of type {kind}, {len(body)} bytes, is damaged: {error}") from error


def _path(asset: Any) -> list[Any]:
    """The parts of an asset's key, as the wire has it."""
    while isinstance(asset, list) and len(asset) == 1 and isinstance(asset[0], list):
        asset = asset[0]
    if isinstance(asset, Mapping):
        return _path(next(iter(asset.values()), []))
    return asset if isinstance(asset, list) else [asset]


def as_json(value: Any) -> str:
    """JSON of a fact: bytes as hex, a float that JSON lacks as {"type": "float", "value": "NaN"}."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError):
        return json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return {"type": "float", "value": str(value)}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


class _Sink(Protocol):
    def write(self, rows: list[Row]) -> None: ...
    def __enter__(self) -> _Sink: ...
    def __exit__(self, *failure: object) -> None: ...


class _Lines:
    """JSON lines; the time in microseconds, under the name `timestamp_us`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            named = {f"{name}_us" if name == "timestamp" else name: value for name, value in row.items()}
            self._stream.write(as_json(named).encode("utf-8", "backslashreplace") + b"\n")

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *failure: object) -> None:
        return None


def _parquet() -> Any:
    try:
        pyarrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise fault("Parquet needs the package pyarrow", "Run `pip install foldlog[parquet]`.") from error
    types = {"int64": pyarrow.int64(), "string": pyarrow.string(), "timestamp": pyarrow.timestamp("us", tz="UTC")}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])

    class Parquet:
        """One row group a page."""

        def __init__(self, stream: BinaryIO) -> None:
            self._writer = parquet.ParquetWriter(stream, schema, compression="zstd")

        def write(self, rows: list[Row]) -> None:
            for row in rows:
                row["fact"] = as_json(row["fact"])
            columns = {name: [_text(row[name]) for row in rows] for name in COLUMNS}
            self._writer.write_table(pyarrow.table(columns, schema=schema))

        def __enter__(self) -> Parquet:
            return self

        def __exit__(self, *failure: object) -> None:
            self._writer.close()

    return Parquet


def _text(value: Any) -> Any:
    """A value as Parquet has it: text that is no UTF-8 escaped."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
