"""Tables of pandas, polars and pyarrow as Parquet. Needs pyarrow, which is loaded when the first table comes.

A table comes back as what the reader's annotation says, else as what was written: the file's metadata says which.
Promise: as what was written it comes back equal, with the same types and labels, or it is refused (UnfitTable). To know
that, a row is written and read back; see frames.py for pandas, whose types do not say all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from ...events.metadata import TableColumn, TableSchemaMetadata
from . import frames
from .unfit import Prepared, Unfit

if TYPE_CHECKING:
    import pyarrow

LIBRARIES = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "Table"}  #: and the class of its tables
LIBRARY = b"foldlog.library"  #: in the metadata of the file: what the table was
FREQUENCY = b"foldlog.freq"  #: and the frequency of a time index of pandas, which Arrow drops
#: which Arrow's own errors derive from
CONVERSION = (ValueError, TypeError, NotImplementedError, OverflowError, KeyError)
REMEDY = "Label columns with text, give each values of one type that Arrow has, or choose format='pickle'."


class UnfitTable(Unfit):
    """A table that would not come back equal. The message says what of it, as `column 'a'`."""


class NotInstalled(Exception):
    """A package that is needed to read the table. The message says what to install."""


def is_table(value: Any) -> bool:
    """Whether it is a table of one of the libraries; a class that derives from one may hold more than that."""
    return _library(type(value)) is not None


def prepare(value: Any) -> Prepared:
    """Raises UnfitTable for columns that Arrow does not keep, Unfit for what is no table or without pyarrow."""
    library = _library(type(value))
    if library is None:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise Unfit(
            f"parquet keeps tables, and the value is of the type {kind}",
            "Return a DataFrame of pandas or polars or a pyarrow.Table, or leave the format to 'auto'.",
        )
    try:
        import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise Unfit(
            f"to keep a table of {library} as parquet, pyarrow is needed, and {error.name} is not installed",
            "Install pyarrow, or choose format='pickle'.",
        ) from error
    _check(value, library)
    with _converting(library):
        table = _marked(value, library)
    return Prepared(lambda file: _write(file, table), _metadata(table))


def read(file: IO[bytes], type_hint: Any) -> Any:
    """The table. Raises NotInstalled, and what pyarrow raises for a file that is damaged."""
    table = _needed("pyarrow.parquet").read_table(file)
    metadata = dict(table.schema.metadata or {})
    written = metadata.pop(LIBRARY, b"pyarrow").decode()
    frequency = metadata.pop(FREQUENCY, None)
    library = _library(type_hint) or written
    table = table.replace_schema_metadata(metadata or None)
    if library == "pandas":
        _needed("pandas")
        frame = table.to_pandas()
        if frequency is not None:
            with suppress(ValueError):  # somebody has taken rows out of the file
                frame.index.freq = frequency.decode()
        return frame
    return _needed("polars").from_arrow(table) if library == "polars" else table


def _library(kind: Any) -> str | None:
    """Whose table class it is. Whoever has one has imported its library, so this imports none."""
    for library, name in LIBRARIES.items():
        module = sys.modules.get(library)
        if module is not None and kind is getattr(module, name, None):
            return library
    return None


def _check(value: Any, library: str) -> None:
    """Raises UnfitTable for what would not come back equal."""
    if library == "pandas":
        if (problem := frames.unkept(value)) is None:
            problem = frames.changed(sample := frames.sample(value), _back(sample, library))
    else:
        problem = _changed_types(value[:1], _back(value[:1], library), library)
    if problem is not None:
        raise UnfitTable(f"parquet does not give this table of {library} back as it is: {problem}", REMEDY)


def _back(sample: Any, library: str) -> Any:
    """What a small table comes back as."""
    with _converting(library), BytesIO() as file:
        import_module("pyarrow.parquet").write_table(_marked(sample, library), file)
        file.seek(0)
        return read(file, None)


@contextmanager
def _converting(library: str) -> Iterator[None]:
    try:
        yield
    except CONVERSION as error:
        problem = f"Arrow does not keep this table of {library}: {type(error).__name__}: {error}"
        raise UnfitTable(problem, REMEDY) from error


def _changed_types(table: Any, again: Any, library: str) -> str | None:
    """The first column of a table of polars or pyarrow whose type is another one in `again`."""
    after = dict(_types(again, library))
    for name, kind in _types(table, library):
        if after.get(name) != kind:
            return f"column {name!r}: {kind} becomes {after.get(name)}"
    return None


def _types(table: Any, library: str) -> list[tuple[str, Any]]:
    return list(table.schema.items()) if library == "polars" else [(one.name, one.type) for one in table.schema]


def _marked(value: Any, library: str) -> pyarrow.Table:
    """The table as Arrow has it, with what a reader has to know of it."""
    marks = {LIBRARY: library.encode()}
    if library == "pandas":
        table = import_module("pyarrow").Table.from_pandas(value)
        if type(value.index).__name__ in ("DatetimeIndex", "TimedeltaIndex") and value.index.freq is not None:
            marks[FREQUENCY] = value.index.freqstr.encode()
    else:
        table = value.to_arrow() if library == "polars" else value
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **marks})


def _write(file: IO[bytes], table: pyarrow.Table) -> None:
    try:
        import_module("pyarrow.parquet").write_table(table, file)
    except CONVERSION as error:
        raise Unfit(
            f"parquet does not keep this table: {type(error).__name__}: {error}",
            "Give each column a type that parquet has, or choose format='pickle'.",
        ) from error


def _metadata(table: pyarrow.Table) -> dict[str, Any]:
    named = (one for one in table.schema if not one.name.startswith("__index_level_"))  # an index of pandas, of no name
    columns = (TableColumn(one.name, str(one.type), nullable=one.nullable) for one in named)
    return {"rows": table.num_rows, "columns": TableSchemaMetadata(tuple(columns))}


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise NotInstalled(f"install {module.partition('.')[0]} to read this table: {error}") from error
