"""An IO manager of the pipeline's own: rows are kept as CSV files, which people can open, too.

    weather/raw, partition 2014    FOLDER/raw/2014.csv
    weather/days                   FOLDER/days.csv

Promises: rows come back equal and of the same class. A file is the former one or the new one, never a part of one.
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

import foldlog
from foldlog.engine.artifacts.io import ValueId, load_each
from foldlog.examples.weather import Day, Month, RecordDay

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
        def find(value_ids: Sequence[ValueId]) -> dict[ValueId, Path]:
            paths = {one: self._path(one) for one in value_ids}
            return {one: path for one, path in paths.items() if path.exists()}

        return load_each(context, find, lambda _, path: read(path))

    def _path(self, value: ValueId) -> Path:
        """`raw/2014.csv`: without `assets`, and without the word that all assets begin with."""
        names = value.path[2:] if value.asset_key is not None else value.path
        return self.folder.joinpath(*names).with_suffix(".csv")


def write(path: Path, rows: Sequence[NamedTuple]) -> None:
    """Write rows of one class; an empty list cannot say of which. The file appears whole, or not at all."""
    if not rows:
        raise ValueError(f"there are no rows for {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0]._fields)
        writer.writerows(rows)
    os.replace(beside, path)


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
