"""MySQL and MariaDB, through pymysql: tables change outside of transactions, text of keys is kept as bytes.

- Making, dropping or renaming a table commits whatever transaction there is. So such a deed is put between
  transactions: what is made is made before the registry names it, what goes is dropped after it was taken out (`drop`),
  and a switch of names is one RENAME TABLE on a second connection, while the first holds the rows of the registry.
  What the registry says of a switch may lag behind; which tables have the names is told by marks (../marks.py).
- Who changes tables holds a lock by name (GET_LOCK), which outlives those commits and ends with the connection.
- Text in keys and indexes is VARBINARY (../table.py): every collation with a case or a padding rule would merge names.
- A statement must fit into one packet of the server, and so must a value that CONCAT has put together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import blake2b
from operator import eq
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ...errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError, UsageError
from .dialect import Renamed, Shape, Value
from .server import Server, chunks, flat

STATEMENT: Final = 1024 * 1024  #: bytes of values in one statement of many rows, at most
SAFE: Final = 128 * 1024  #: bytes that any server takes, also if each takes two in a statement
PIECE: Final = 4 * 1024 * 1024  #: bytes of a long value that are sent at once
SHORT: Final = 16 * 1024  #: bytes of a value that goes with its row in any case
_SESSION: Final = "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
_TRIES: Final = 5
_PATIENCE_S: Final = 60  #: how long one waits for another who changes tables
_TABLES: Final = 50  #: of one SELECT; the server joins at most 61
_VAR_STRING: Final = 253  #: what pymysql calls a column of VARBINARY or VARCHAR
_LATER: Final = "foldlog_later"
_STEERED: Final = "foldlog_steered"
_PACKET: Final = "foldlog_packet"

_AGAIN: Final = frozenset((1213, 1412, 1146))  #: deadlock; a table that was exchanged or dropped in the same moment
_NUMBERS: Final[dict[int, type[FoldlogError]]] = {
    **dict.fromkeys((1213, 1205, 1020, 3572), UnavailableError),  # deadlock, time limit, another's commit, NOWAIT
    **dict.fromkeys((2002, 2003, 2006, 2013, 2055, 1927, 1053, 1317, 3024), UnavailableError),  # connection, server
    **dict.fromkeys((1152, 1158, 1159, 1160, 1161, 1184, 4031), UnavailableError),  # the network
    **dict.fromkeys((1040, 1203, 1226, 1041, 1037, 1038), UnavailableError),  # connections, memory
    **dict.fromkeys((1114, 1021, 1030, 1026, 3), UnavailableError),  # the disk is full
    **dict.fromkeys((1290, 1792, 1836), ReadOnlyError),
    **dict.fromkeys((1142, 1143, 1227, 1370), ReadOnlyError),  # no right on a table, a column, or to do this
    **dict.fromkeys((1044, 1045, 1049, 1130, 1698), UsageError),  # user, password, database or host of the URL
    **dict.fromkeys((1034, 1194, 1712, 1877), CorruptLogError),
}


def _text(data: Any) -> Any:
    return data.decode() if data.__class__ is bytes else data


class MySQL(Server):
    changes_with_rows = False
    shows_by_name = True

    def engine(self, target: sa.URL) -> sa.Engine:
        return sa.create_engine(
            target.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"}),
            connect_args={
                "autocommit": True,
                "init_command": _SESSION,
            },
            pool_size=5,
            max_overflow=5,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    def make_schema(self, connection: sa.Connection, schema: str) -> None:
        pass  # it is the database, which is there: one is connected to it

    def prefix(self, schema: str | None) -> str:
        return f"`{schema.replace('`', '``')}`." if schema else ""

    @contextmanager
    def lent(self, connection: sa.Connection) -> Iterator[None]:
        # For statements in the driver's own words as well as for SQLAlchemy's, at the cost of one call a value.
        if not connection.info.get(_STEERED):
            # Else EXISTS, which concerns the few rows of a page, is worked out for all rows of the table beforehand.
            off = "semijoin=off,materialization=off"
            if is_mariadb(connection.dialect):
                off += ",exists_to_in=off"
            connection.exec_driver_sql(f"SET SESSION optimizer_switch = '{off}'")
            connection.rollback()
            connection.info[_STEERED] = True
        driver: Any = connection.connection.driver_connection
        before = driver.decoders
        driver.decoders = {**before, _VAR_STRING: _text}
        try:
            yield
        finally:
            driver.decoders = before

    @contextmanager
    def reading(self, connection: sa.Connection, tables: Sequence[str]) -> Iterator[sa.Connection]:
        try:
            self._begin_reading(connection, tables)
            yield connection
        finally:
            if not connection.invalidated:
                connection.rollback()

    def _begin_reading(self, connection: sa.Connection, tables: Sequence[str]) -> None:
        for attempt in range(_TRIES):
            try:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                if not tables:
                    connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                    return
                # The snapshot is that of the first row that is looked for, and none is looked for here.
                connection.exec_driver_sql("START TRANSACTION READ ONLY")
                for start in range(0, len(tables), _TABLES):
                    connection.exec_driver_sql(
                        f"SELECT 1 FROM {', '.join(tables[start : start + _TABLES])} WHERE FALSE"
                    )
                return
            except sa.exc.DBAPIError as error:
                # A switch in the same moment, which the server ends by failing who has less.
                if attempt == _TRIES - 1 or _number(error.orig) != 1213:
                    raise
                connection.rollback()

    @contextmanager
    def writing(self, connection: sa.Connection, *, alone: str | None) -> Iterator[sa.Connection]:
        later: list[str] = []
        connection.info[_LATER] = later
        with self._alone(connection, alone):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql("START TRANSACTION")
            try:
                yield connection
                connection.commit()
            except BaseException:
                # Also after 1205, which ends the statement and leaves the transaction open.
                if not connection.invalidated:
                    connection.rollback()
                raise
            self._drop(connection, later)

    def _drop(self, connection: sa.Connection, texts: Sequence[str]) -> None:
        for text in texts:
            try:
                connection.exec_driver_sql(text)
            except sa.exc.DBAPIError as error:
                # Somebody still reads it. Nothing names it any more, and a later rebuild finds it: `stray`.
                if _number(error.orig) != 1205:
                    raise
        if texts:
            connection.commit()

    @contextmanager
    def _alone(self, connection: sa.Connection, name: str | None) -> Iterator[None]:
        if name is None:
            yield
            return
        lock = f"foldlog-views-{blake2b(name.encode(), digest_size=16).hexdigest()}"
        got = connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (lock, _PATIENCE_S)).scalar()
        if got != 1:
            raise UnavailableError(f"another process has been changing the tables of views for {_PATIENCE_S} seconds")
        try:
            with _waiting(connection, _PATIENCE_S // 2):  # else a day or a year
                yield
        finally:
            if not connection.invalidated:
                with suppress(sa.exc.DBAPIError):  # it is gone with the connection, and what went wrong is raised
                    connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (lock,))
                    connection.rollback()

    def is_again(self, error: BaseException) -> bool:
        return _number(error) in _AGAIN

    def kind_of(self, error: BaseException) -> type[FoldlogError] | None:
        if type(error).__name__ == "InterfaceError":  # a connection that is closed; it has no number
            return UnavailableError
        return _NUMBERS.get(_number(error))

    # -- many rows ----------------------------------------------------------------------------------------------------

    def insert(self, connection: sa.Connection, shape: Shape, rows: Sequence[Value]) -> None:
        for some in chunks(rows):
            size = sum(map(_size, some))
            if size <= SAFE or size <= min(STATEMENT, _packet(connection) // 4):
                connection.exec_driver_sql(shape.insert + ", ".join([shape.row] * len(some)), flat(some))
            elif len(some) > 1:
                middle = len(some) // 2
                self.insert(connection, shape, some[:middle])
                self.insert(connection, shape, some[middle:])
            else:
                self._insert_long(connection, shape, some[0])

    def _insert_long(self, connection: sa.Connection, shape: Shape, row: Value) -> None:
        """A row that is too long for a statement: its long values are put together where they lie."""
        long = {number: value for number, value in enumerate(row) if _length(value) > SHORT}
        most = _packet(connection)
        for number, value in long.items():
            if (size := len(value.encode() if isinstance(value, str) else value)) > most:
                raise _too_long(shape, number, size, most)
        short = tuple(value[:0] if number in long else value for number, value in enumerate(row))
        connection.exec_driver_sql(shape.insert + shape.row, short)
        for number, value in long.items():
            # The fewer pieces the better: each rewrites what lies there.
            step = min(PIECE, most // 3) // (1 if isinstance(value, bytes) or value.isascii() else 2)
            column = shape.columns[number]
            text = f"UPDATE {shape.name} SET {column} = CONCAT({column}, {shape.mark}) WHERE {shape.at}"
            for start in range(0, len(value), step):
                connection.exec_driver_sql(text, (value[start : start + step], *row[: shape.key]))

    # -- tables -------------------------------------------------------------------------------------------------------

    def make_alone(self, connection: sa.Connection) -> None:
        pass  # who changes tables has a lock by name

    def type_of(self, written: sa.Dialect, kind: str, most: int | None) -> str:
        if kind == "bytes":
            return "LONGBLOB"
        return f"LONGTEXT CHARACTER SET utf8mb4 COLLATE {collation(written)}" if most is None else f"VARBINARY({most})"

    def create(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        # With its indexes, for an index that a fold misses cannot be made in the middle of a transaction.
        made = str(CreateTable(table, if_not_exists=True).compile(dialect=connection.dialect))
        made = made.replace(f"{table.name} (", f"{{prefix}}{table.name} (", 1)
        indexes = [self._index(connection, index) for index in _indexes(table, late=not late)]
        head, bracket, tail = made.rpartition(")ENGINE")
        text = f"{head}{''.join(f', {one}' for one in indexes)}{bracket}{tail}"
        connection.exec_driver_sql(text.replace("{prefix}", self._place(connection)))

    def create_indexes(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        place = self._place(connection)
        there = connection.exec_driver_sql(f"SHOW INDEX FROM {place}{table.name}").mappings()
        known = {row["Key_name"] for row in there}
        missing = [index for index in _indexes(table, late=late) if index_name(index) not in known]
        if missing:
            added = ", ".join(f"ADD {self._index(connection, index)}" for index in missing)
            connection.exec_driver_sql(f"ALTER TABLE {place}{table.name} {added}")

    def _index(self, connection: sa.Connection, index: sa.Index) -> str:
        columns = ", ".join(self.quoted(column.name) for column in index.columns)
        return f"INDEX {index_name(index)} ({columns})"

    def _place(self, connection: sa.Connection) -> str:
        names = connection.get_execution_options().get("schema_translate_map") or {}
        return self.prefix(names.get(None))

    def drop(self, connection: sa.Connection, name: str) -> None:
        connection.info[_LATER].append(f"DROP TABLE IF EXISTS {name}")

    def clear(self, connection: sa.Connection, names: Sequence[str]) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {', '.join(names)}")

    def stray(self, connection: sa.Connection, schema: str | None, name: str) -> list[str]:
        asked = "SELECT table_name FROM information_schema.tables WHERE table_schema = COALESCE(%s, DATABASE())"
        every = connection.exec_driver_sql(f"{asked} AND table_name LIKE %s", (schema, f"{name}\\_g%")).scalars()
        return [one for one in every if one[len(name) + 2 :].isdigit()]

    def impatient(self, connection: sa.Connection) -> None:
        pass  # the second connection is: `exchange`

    def exchange(
        self,
        connection: sa.Connection,
        beside: AbstractContextManager[sa.Connection],
        prefix: str,
        names: Sequence[Renamed],
    ) -> None:
        pairs = [(a, b) for one in names for a, b in ((one.live, one.aside), (one.ready, one.live))]
        text = ", ".join(f"{prefix}{old} TO {prefix}{new}" for old, new in pairs)
        with beside as other:
            with _waiting(other, 1):
                # While nobody else writes: if that is no longer so, this fails.
                connection.exec_driver_sql("SELECT 1")
                other.exec_driver_sql(f"RENAME TABLE {text}")

    # -- SQL views ----------------------------------------------------------------------------------------------------

    def readable(self, connection: sa.Connection, column: str) -> str:
        short = self.quoted(column.rpartition(".")[2])
        return f"CONVERT({self.quoted(column)} USING utf8mb4) COLLATE {collation(connection.dialect)} AS {short}"

    def quoted(self, column: str) -> str:
        return ".".join(f"`{part}`" for part in column.split("."))

    def show(self, connection: sa.Connection, name: str, select: str) -> None:
        try:
            connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {name} AS {select}".replace("%", "%%"))
        except sa.exc.DBAPIError as error:
            raise _in_the_way(name, error) or error from error

    def hide(self, connection: sa.Connection, name: str) -> None:
        try:
            super().hide(connection, name)
        except sa.exc.DBAPIError as error:
            raise _in_the_way(name, error) or error from error

    # -- questions ----------------------------------------------------------------------------------------------------

    def merged(self, arms: Sequence[Any], order: Sequence[tuple[str, bool]], limit: Any) -> sa.CompoundSelect[Any]:
        # It does not merge: all rows of all arms would be put into a table of its own and sorted.
        each = []
        for number, arm in enumerate(arms):
            columns = arm.selected_columns
            by = [columns[name].asc() if ascending else columns[name].desc() for name, ascending in order]
            each.append(sa.select(arm.order_by(*by).limit(limit).subquery(f"arm{number}")))
        return sa.union_all(*each)

    def behind(
        self, columns: Sequence[sa.ColumnElement[Any]], place: Sequence[Any], *, ascending: bool
    ) -> sa.ColumnElement[bool]:
        # It compares rows, but not by an index: a page would begin at the start of the order.
        column, value = columns[0], place[0]
        past: sa.ColumnElement[bool] = column > value if ascending else column < value
        if len(columns) == 1:
            return past
        reached: sa.ColumnElement[bool] = column >= value if ascending else column <= value
        return sa.and_(reached, sa.or_(past, self.behind(columns[1:], place[1:], ascending=ascending)))

    def distinct(
        self, column: sa.ColumnElement[Any], where: Sequence[sa.ColumnElement[bool]], after: str | None, limit: int
    ) -> sa.Select[Any]:
        # It leaps from value to value by itself; a recursion ends after 1000 steps, without a word on MariaDB.
        # The server leaps only if the columns that lead the index are asked for too.
        start = [column > after] if after is not None else []
        fixed = [one.left for one in where if getattr(one, "operator", None) is eq]
        every = sa.select(*fixed, column).where(*where, *start).distinct().order_by(*fixed, column).limit(limit)
        found = every.subquery("found").c[column.name]
        return sa.select(found).order_by(found)


@contextmanager
def _waiting(connection: sa.Connection, seconds: int) -> Iterator[None]:
    """How long a statement waits for a table; afterwards as before, for the connection may be another's."""
    before = connection.exec_driver_sql("SELECT @@lock_wait_timeout").scalar_one()
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {seconds}")
    try:
        yield
    finally:
        if not connection.invalidated:
            with suppress(sa.exc.DBAPIError):  # it is gone with the connection
                connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {before}")


def is_mariadb(dialect: sa.Dialect) -> bool:
    """Whether the server of a dialect that has been connected is MariaDB."""
    return bool(getattr(dialect, "is_mariadb", False))


def collation(dialect: sa.Dialect) -> str:
    """By code point, and a blank at the end counts. The two servers share no name for it."""
    return "utf8mb4_nopad_bin" if is_mariadb(dialect) else "utf8mb4_0900_bin"


def index_name(index: sa.Index) -> str:
    """An index, which other tables may have by the same name: so it keeps it from generation to generation, and a
    statement may name it."""
    return re.sub(r"_g\d+$", "", str(index.name))


def _indexes(table: sa.Table, *, late: bool) -> list[sa.Index]:
    every = sorted(table.indexes, key=lambda index: str(index.name))
    return [index for index in every if late or not index.info["late"]]


def _length(value: Any) -> int:
    """Bytes of a value, roughly: numbers are short."""
    if value.__class__ is str:
        return len(value) if value.isascii() else 4 * len(value)
    return len(value) if value.__class__ is bytes else 8


def _size(row: Value) -> int:
    return sum(map(_length, row))


def _packet(connection: sa.Connection) -> int:
    """The longest value that the server can put together."""
    known: int | None = connection.info.get(_PACKET)
    if known is None:
        known = connection.info[_PACKET] = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())
    return known


def _too_long(shape: Shape, number: int, size: int, most: int) -> UnavailableError:
    error = UnavailableError(
        f"a row of {shape.name} has {size:,} bytes in {shape.columns[number]}, the server takes {most:,} at most"
    )
    error.remedy = f"Set max_allowed_packet of the server to {2 * size:,} or more, and start this process again."
    return error


def _in_the_way(name: str, error: sa.exc.DBAPIError) -> UsageError | None:
    if _number(error.orig) != 1347:
        return None
    refused = UsageError(f"{name} is to be an SQL view of foldlog, and is something else: {error.orig}")
    refused.remedy = f"Rename or drop {name}, then try again."
    return refused


def _number(error: BaseException | None) -> int:
    """The server's or pymysql's number of an error; 0 if it has none."""
    args = getattr(error, "args", ())
    return args[0] if args and type(args[0]) is int else 0


DIALECT: Final = MySQL()
