"""A view as the projector sees it: a name, a version, tables, and a pure fold.

The rules of a fold, without which a rebuilt view differs from the live one: no clock, no dice, no set order, no
number the database makes; ties go by position; from a kind of fact that a purge frees (`Retention` other than KEPT) it
writes only rows keyed by that run, which RUN_DELETED drops; it takes any event in any order without raising. And it
obeys RUN_DELETED and HISTORY_TRIMMED in system shards only: in a run's shard they may go with that run, and a view
that is folded anew would have the rows that the live one has dropped.
Not here: when it runs, and on which rows (projector.py, rows.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..events.event import Event, Topic
from .table import Key, Table

if TYPE_CHECKING:
    from .rows import Rows


class Taken(NamedTuple):
    """One event as a fold takes it in."""

    shard: str
    seq: int
    position: int
    event: Event[Any]
    body: bytes  #: the event as it is stored, for a view that answers with whole events
    run_id: str | None  #: the run whose shard this is; None in a system shard. No longer than a key may be
    fresh: bool = False  #: the run began in this very page, so no table had a row of it before


class Projection(NamedTuple):
    """One view. Another version has other table names, so that old and new code keep theirs side by side."""

    name: str
    version: int  #: raised when the tables or the fold change; the new tables are then folded from the start
    topics: Topic  #: an unknown kind that concerns one of these stops the view
    types: frozenset[str]  #: the kinds it takes in; all others only move its checkpoint
    tables: tuple[Table, ...]
    keys: Callable[[Taken], Iterable[tuple[Table, Key]]]  #: rows the fold will ask for, to be fetched at once
    fold: Callable[[Rows, Taken], None]
    #: stable name of an SQL view -> its SELECT, with {prefix} before each table, {text:x} for a column of text, and
    #: {name:x} for another that may be a word of SQL
    people: Mapping[str, str]


def select_all(table: Table, *, but: Collection[str] = ()) -> str:
    """The SQL view that shows a table as it is, or without some columns, which hold bytes that tell people nothing."""
    columns = [f"{{{'text' if table.is_text(name) else 'name'}:{name}}}" for name in table.columns if name not in but]
    return f"SELECT {', '.join(columns)} FROM {{prefix}}{table.name}"
