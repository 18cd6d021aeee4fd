"""The formats of stored values: which one takes which value, and how it writes and reads.

    json      None, bool, int of 64 bits, finite float, text, handles of files, lists of these, dicts of these with text
              keys
    msgpack   the same and bytes
    parquet   tables of pandas, polars and pyarrow
    pickle    what pickle takes; reading it runs code

Promise: what json and msgpack take comes back equal and of the same types. Not here: where it is written (files.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import pickled, plain, tables
from .unfit import Prepared, Read, Unfit


class Format(NamedTuple):
    """One format. Its name, behind a dot, is the ending of its files."""

    prepare: Callable[[Any], Prepared]  #: raises Unfit for a value that would not come back
    read: Read


#: in the order that decides between two files of which neither the marker nor their times say which is newer
FORMATS = {
    "json": Format(plain.prepare_json, plain.read_json),
    "msgpack": Format(plain.prepare_msgpack, plain.read_msgpack),
    "parquet": Format(tables.prepare, tables.read),
    "pickle": Format(pickled.prepare, pickled.read),
}


def prepare(value: Any, name: str, note: Callable[[str], None]) -> tuple[str, Prepared]:
    """A format's name and what is to be written; `auto` chooses by the type of the value.

    `note` is told when a table is pickled because its columns fit no parquet file. Raises Unfit.
    """
    if name != "auto":
        return name, FORMATS[name].prepare(value)
    if tables.is_table(value):
        try:
            return "parquet", tables.prepare(value)
        except tables.UnfitTable as unfit:
            note(f"{unfit}; it is pickled")
            return "pickle", pickled.prepare(value)
    name = plain.format_of(value)
    if name == "pickle":
        return name, pickled.prepare(value)
    return name, plain.prepared(value, name)


__all__ = ["FORMATS", "Format", "Prepared", "Unfit", "prepare"]
