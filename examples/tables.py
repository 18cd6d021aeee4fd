"""An IO manager of the pipeline's own: rows are kept as CSV files, which people can open, too.

    weather/raw, partition 2014    FOLDER/raw/2014.csv
    weather/days                   FOLDER/days.csv

Promises: rows come back equal and of the same class. A file is the former one or the new one, never a part of one, also
after a power loss. Any text may be a partition or a part of a key: no file is outside FOLDER, and no two assets or
partitions share one (on a file system that tells `a` from `A`).
Not here: values of other kinds, which the default IO manager keeps.
"""

from __future__ import annotations

import csv
import os
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import foldlog
from foldlog.examples.weather import Day, Month, RecordDay

PREFIX = "weather/"  #: what the keys of all assets here begin with, and no file's name does
CLASSES: tuple[type[Any], ...] = (Day, Month, RecordDay)  #: the first line of a file tells which its rows are of
_READ: Mapping[Any, Callable[[str], Any]] = {date: date.fromisoformat, int: int, float: float, str: str}


class Tables(foldlog.IOManager):
    """Keeps the rows of an asset in a file of its own below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def handle_output(self, context: foldlog.OutputContext, value: Any) -> None:
        path = self._path(context.value_id)
        write(path, value)
        context.add_output_metadata({"path": path, "rows": len(value)})

    def load_input(self, context: foldlog.InputContext) -> Any:
        def find(value_ids: Sequence[foldlog.ValueId]) -> dict[foldlog.ValueId, Path]:
            paths = {one: self._path(one) for one in value_ids}
            return {one: path for one, path in paths.items() if path.exists()}

        return foldlog.load_each(context, find, lambda _, path: read(path))

    def _path(self, value: foldlog.ValueId) -> Path:
        """`raw/2014.csv`: a folder for the partitions of an asset."""
        if value.asset_key is None or not str(value.asset_key).startswith(PREFIX):
            raise foldlog.UsageError(f"{value} is no asset of {PREFIX}; only those are kept as tables")
        asset = _file_name(str(value.asset_key).removeprefix(PREFIX))
        if value.partition_key is None:
            return self.folder / f"{asset}.csv"
        return self.folder / asset / f"{_file_name(value.partition_key)}.csv"


def _file_name(text: str) -> str:
    """The text, with what a file's name may not have as `%2F`: a slash, and a dot in front, as of `..`."""
    name = quote(text, safe=" ")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def write(path: Path, rows: Sequence[NamedTuple]) -> None:
    """Write rows of one class; an empty list cannot say of which. The file appears whole, or not at all."""
    if not rows:
        raise ValueError(f"there are no rows for {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{uuid4().hex}.tmp"  # of this writer only; in the same folder, so that it can be renamed
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(rows[0]._fields)
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())  # before it has its name, or a power loss could leave an empty file under that
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make names in the folder last."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read(path: Path) -> list[Any]:
    """The rows of a file that `write` has written."""
    with path.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    kind = next((one for one in CLASSES if one._fields == tuple(header)), None)
    if kind is None:
        raise ValueError(f"{path}: no rows of this program have the columns {header}")
    readers = [_READ[hint] for hint in typing.get_type_hints(kind).values()]
    return [_row(kind, readers, row) for row in rows]


def _row(kind: type[Any], readers: Iterable[Callable[[str], Any]], texts: Iterable[str]) -> Any:
    return kind(*(read(text) for read, text in zip(readers, texts, strict=True)))
