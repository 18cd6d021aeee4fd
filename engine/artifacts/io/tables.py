"""Tables of pandas, polars and pyarrow as Parquet. Needs pyarrow, which is loaded when the first table comes.

A table comes back as what the reader's annotation says, else as what was written: the file's metadata says which.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from ...events.metadata import TableColumn, TableSchemaMetadata
from .unfit import Prepared, Unfit

if TYPE_CHECKING:
    import pyarrow

LIBRARIES = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "Table"}  #: and the class of its tables
LIBRARY = b"foldlog.library"  #: in the metadata of the file: what the table was
CONVERSION = (ValueError, TypeError, NotImplementedError, OverflowError)  #: which Arrow's own errors derive from


class UnfitTable(Unfit):
    """A table whose columns Arrow does not know how to keep."""


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
    try:
        table = _to_arrow(value, library)
    except CONVERSION as error:
        raise UnfitTable(
            f"Arrow does not keep this table of {library}: {type(error).__name__}: {error}",
            "Give each column values of one type, or choose format='pickle'.",
        ) from error
    marked = table.replace_schema_metadata({**(table.schema.metadata or {}), LIBRARY: library.encode()})
    return Prepared(lambda file: _write(file, marked), _metadata(table))


def read(file: IO[bytes], type_hint: Any) -> Any:
    """The table. Raises NotInstalled, and what pyarrow raises for a file that is damaged."""
    table = _needed("pyarrow.parquet").read_table(file)
    metadata = dict(table.schema.metadata or {})
    written = metadata.pop(LIBRARY, b"pyarrow").decode()
    library = _library(type_hint) or written
    table = table.replace_schema_metadata(metadata or None)
    if library == "pandas":
        _needed("pandas")
        return table.to_pandas()
    return _needed("polars").from_arrow(table) if library == "polars" else table


def _library(kind: Any) -> str | None:
    """Whose table class it is. Whoever has one has imported its library, so this imports none."""
    for library, name in LIBRARIES.items():
        module = sys.modules.get(library)
        if module is not None and kind is getattr(module, name, None):
            return library
    return None


def _to_arrow(value: Any, library: str) -> pyarrow.Table:
    if library == "pandas":
        return import_module("pyarrow").Table.from_pandas(value)
    return value.to_arrow() if library == "polars" else value


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
