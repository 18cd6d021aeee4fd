"""Which frames of pandas a Parquet file gives back as they are.

Most of a frame comes back as its types say, so one row is written and read back to compare those. What types do not
say is looked at as a whole: the cells of object columns, which may hold anything, and labels.
Not here: how it is written and read (tables.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from . import plain

if TYPE_CHECKING:
    import pandas

OF_CELLS = (str, bytes, date, Decimal)  #: what an object column may hold, beside None: values of one of these types
MAX_SHOWN = 5  #: types that a message names


def unkept(frame: pandas.DataFrame) -> str | None:
    """What of its labels and objects would not come back equal, or None. Looks at each cell of object columns."""
    return next(_unkept(frame), None)


def sample(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A row of the frame that shows all its types; none of a frame without rows. Only for what `unkept` passed."""
    row = frame.iloc[:1].copy(deep=False)
    if len(row):
        for label in _object_columns(frame):  # one that begins with None does not show what else it holds
            cell = next((one for one in frame[label].to_numpy() if one is not None), None)
            row[label] = type(frame[label])([cell], index=row.index, dtype=object)
    return row


def changed(frame: pandas.DataFrame, again: pandas.DataFrame) -> str | None:
    """What of a frame is not the same in `again`, or None."""
    pairs: Iterable[tuple[str, Callable[[pandas.DataFrame], Any]]] = [
        ("its column labels", lambda one: (one.columns.dtype, one.columns.tolist())),
        ("the name of its column labels", lambda one: one.columns.name),
        *[(f"column {label!r}", _dtype_of(at)) for at, label in enumerate(frame.columns)],
        ("its index", lambda one: (_index_types(one.index), one.index.tolist())),
        ("the names of its index", lambda one: list(one.index.names)),
        ("the frequency of its index", lambda one: getattr(one.index, "freq", None)),
        ("its attrs", lambda one: one.attrs),
        ("its flags", lambda one: one.flags.allows_duplicate_labels),
    ]
    for what, of in pairs:
        if (before := of(frame)) != (after := of(again)):
            shown = f": {before} becomes {after}" if what.startswith("column ") else ""
            return f"{what}{shown}"
    return None if frame.equals(again) else "its cells"


def _unkept(frame: pandas.DataFrame) -> Iterator[str]:
    columns = frame.columns
    if columns.nlevels > 1 or len(kinds := set(map(type, columns))) > 1 or not kinds <= {str, int}:
        yield "its column labels, which are not all text or all int"
    if not all(name is None or type(name) is str for name in (columns.name, *frame.index.names)):
        yield "the names of its labels, which are no text"
    if not columns.is_unique:
        yield f"column {columns[columns.duplicated()][0]!r}, of which there are several"
    for label in _object_columns(frame):
        if problem := _cells(frame[label].to_numpy()):
            yield f"column {label!r}: {problem}"
    for level in range(frame.index.nlevels):
        labels = frame.index.get_level_values(level)
        if str(labels.dtype) == "object" and (problem := _cells(labels.to_numpy())):
            yield f"its index: {problem}"
    if plain.format_of(frame.attrs) != "json":
        yield "its attrs, which JSON does not give back"


def _object_columns(frame: pandas.DataFrame) -> list[Any]:
    return [label for label, dtype in frame.dtypes.items() if str(dtype) == "object"]


def _cells(cells: Any) -> str | None:
    """What is wrong with the cells of an object column, or None."""
    kinds = set(map(type, cells)) - {type(None)}
    if len(kinds) > 1 or not kinds <= set(OF_CELLS):
        names = sorted(kind.__qualname__ for kind in kinds)
        return f"cells of the types {', '.join(names[:MAX_SHOWN])}" if len(names) > 1 else f"cells of type {names[0]}"
    if kinds == {Decimal} and not all(one is None or one.is_finite() for one in cells):
        return "decimals that are no numbers"
    return None


def _dtype_of(at: int) -> Callable[[pandas.DataFrame], Any]:
    return lambda one: one.dtypes.iloc[at]


def _index_types(index: pandas.Index) -> list[Any]:
    return [index.get_level_values(level).dtype for level in range(index.nlevels)]
