"""The rows of one view while a page of events is folded: read through to the database, changes gathered, then written.

Promises: a fold sees its own changes; each row is read at most once and written at most once a page, unless a
`select` comes between; the digest and the number of rows of each table move with the rows.
Not here: the transaction around it (projector.py), the statements (statements.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from .statements import Statements
from .table import DIGEST_BITS, Key, Row, Table

if TYPE_CHECKING:
    from .projection import Projection, Taken

CHUNK = 500  #: rows that are dropped at once
_MODULUS = 1 << DIGEST_BITS


class Digest(NamedTuple):
    """What is known of a whole table: the sum of its rows' hashes modulo 2^128, and how many there are."""

    total: int = 0
    rows: int = 0

    def hex(self) -> str:
        return f"{self.total:032x}"


class AtHand:
    """Rows of hot tables, from page to page, for a writer who is alone with tables that began empty.

    While all rows are at hand, a key that is not has no row, and nothing is looked up. Past the bound they are let go,
    and each page looks up what it needs.
    """

    MOST = 20_000  #: rows of one table; about 10 MB

    def __init__(self) -> None:
        self.rows: dict[Table, dict[Key, Row | None]] = {}
        self.whole: set[Table] = set()

    def of(self, table: Table) -> dict[Key, Row | None]:
        """What is at hand of a table; all of it, if the table is in `whole`."""
        rows = self.rows.get(table)
        if rows is None:
            rows = self.rows[table] = {}
            self.whole.add(table)
        elif len(rows) > self.MOST:
            rows.clear()
            self.whole.discard(table)
        return rows


class Rows:
    """The tables of one view, as of the page that is being folded."""

    def __init__(
        self,
        connection: sa.Connection,
        tables: Mapping[Table, Statements],
        digests: Mapping[str, Digest],
        at_hand: AtHand | None = None,
        *,
        indexed: bool = True,
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._unindexed: set[Table] = set() if indexed else set(tables)  #: may lack the indexes in which folds look
        self._stored: dict[Table, dict[Key, Row | None]] = {
            table: at_hand.of(table) if at_hand and table.hot else {} for table in tables
        }
        self._whole = at_hand.whole if at_hand else frozenset[Table]()
        self._new: dict[Table, list[Row]] = {table: [] for table in tables}
        self._now: dict[Table, dict[Key, Row | None]] = {table: {} for table in tables}
        self._digests = dict(digests)
        self._empty: dict[Table, bool] = {}  #: of tables without rows by their digest, whether that is so
        self.fresh = False  #: the event that is being folded is of a run of which no table had a row before this page

    # -- for folds ----------------------------------------------------------------------------------------------

    def get(self, table: Table, key: Key) -> Any:
        """The row at `key`, or None."""
        changed = self._now[table]
        if key in changed:
            return changed[key]
        stored = self._stored[table]
        if key not in stored:
            if self.fresh and table.of_run:
                return None
            if self._new[table]:
                self.flush()
            self._load(table, [key])
        return stored[key]

    def put(self, table: Table, row: Row) -> None:
        """Set the row at its key."""
        key = row[: table.key]
        if self.fresh and table.of_run:
            self._stored[table].setdefault(key)
        self._now[table][key] = row

    def add(self, table: Table, row: Row) -> None:
        """Set a row of which its key says that it is new: the key holds the position of the event."""
        self._new[table].append(row)

    def delete(self, table: Table, key: Key) -> None:
        """Drop the row at `key`, if there is one."""
        self._now[table][key] = None

    def clear(self, table: Table, **equal: Any) -> None:
        """Drop all rows whose columns equal the given values, a bounded number at a time. An index, and not a late one,
        must begin with these columns."""
        while True:
            # In the order of that index: by the key, each time all of them would be read and sorted for the first few.
            found = self.select(table, columns=table.columns[: table.key], order=tuple(equal), limit=CHUNK, **equal)
            for key in found:
                self.delete(table, key)
            if len(found) < CHUNK:
                return

    def select(
        self,
        table: Table,
        *,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        order: Sequence[str] | None = None,
        above: Mapping[str, int | str] | None = None,
        below: Mapping[str, int] | None = None,
        among: Mapping[str, Sequence[int]] | None = None,
        **equal: Any,
    ) -> list[Any]:
        """The rows whose columns equal the given values, in order of their key. There must be an index for it, and not
        a late one.

        `columns`: only these, as plain tuples. `order`: columns to go by instead of the key. `above`, `below`: columns
        that must be greater or smaller than a value. `among`: columns that must have one of some values. What was
        changed before is written first.
        """
        self.flush()
        if self._is_empty(table):
            return []
        if table in self._unindexed:
            self._unindexed.discard(table)
            self._tables[table].create_indexes(self._connection)
        source = self._tables[table].table
        where = [
            source.c[name] == value if value is not None else source.c[name].is_(None) for name, value in equal.items()
        ]
        where += [source.c[name] > value for name, value in (above or {}).items()]
        where += [source.c[name] < value for name, value in (below or {}).items()]
        where += [source.c[name].in_(values) for name, values in (among or {}).items()]
        ordered = [source.c[name] for name in order or table.columns[: table.key]]
        by = [column.desc() for column in ordered] if newest_first else ordered
        wanted = [source.c[name] for name in columns or table.columns]
        found = self._connection.execute(sa.select(*wanted).where(*where).order_by(*by).limit(limit))
        return [tuple(row) if columns else table.row._make(row) for row in found]

    # -- for the projector --------------------------------------------------------------------------------------

    def fetch(self, projection: Projection, records: Iterable[Taken]) -> None:
        """Load rows that the fold of these records will ask for, many in one statement."""
        if all(statements.one_by_one for statements in self._tables.values()):
            return  # `get` does that
        by_table: dict[Table, dict[Key, None]] = {}
        for record in records:
            for table, key in projection.keys(record):
                if not (record.fresh and table.of_run):
                    by_table.setdefault(table, {})[key] = None
        for table, keys in by_table.items():
            self._load(table, [key for key in keys if key not in self._stored[table]])

    def flush(self) -> None:
        """Write what has changed, and take it into the digests."""
        for table, changes in self._now.items():
            new = self._new[table]
            if new:
                self._exchange(table, [], new)
                new.clear()
            if changes:
                self._write(table, changes)
                changes.clear()

    @property
    def digests(self) -> dict[str, Digest]:
        """By table name, as of the last flush."""
        return self._digests

    def _load(self, table: Table, keys: Sequence[Key]) -> None:
        if not keys:
            return
        stored = self._stored[table]
        stored.update(dict.fromkeys(keys))
        # Of a table of a feature that nobody uses, each key would be looked up in vain.
        if table in self._whole or self._is_empty(table):
            return
        make = table.row._make
        for row in self._tables[table].select(self._connection, keys):
            stored[tuple(row[: table.key])] = make(row)

    def _is_empty(self, table: Table) -> bool:
        if self._digests.get(table.name, Digest()).rows:
            return False
        if table not in self._empty:  # rows put there by hand are to be found, and not to be run into
            self._empty[table] = self._tables[table].is_empty(self._connection)
        return self._empty[table]

    def _write(self, table: Table, changes: dict[Key, Row | None]) -> None:
        stored = self._stored[table]
        self._load(table, [key for key in changes if key not in stored])
        gone: list[Row] = []
        new: list[Row] = []
        for key, row in changes.items():
            old = stored[key]
            if old == row:
                continue
            if old is not None:
                gone.append(old)
            if row is not None:
                new.append(row)
            stored[key] = row
        self._exchange(table, gone, new)

    def _exchange(self, table: Table, gone: Sequence[Row], new: Sequence[Row]) -> None:
        # A changed row is deleted and inserted: one form that every database has, with many rows in a statement.
        self._tables[table].delete(self._connection, [row[: table.key] for row in gone])
        self._tables[table].insert(self._connection, new)
        total, count = self._digests.get(table.name, Digest())
        total = (total + table.hash(new) - table.hash(gone)) % _MODULUS
        self._digests[table.name] = Digest(total, count + len(new) - len(gone))
