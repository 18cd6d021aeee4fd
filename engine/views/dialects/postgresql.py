"""PostgreSQL: tables change inside a transaction, under locks that end with it.

Not here: opening the database of a log, which its backend does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ...errors import FoldlogError, ReadOnlyError, UnavailableError, UsageError
from .dialect import Renamed
from .server import Server
from .sqlite import create_indexes, rename_each

_MAKING: Final = 7310859841  #: of the advisory lock
_STATES: Final[dict[str, type[FoldlogError]]] = {
    # lost connection, deadlock, time limit, another's commit: what goes away by itself
    **dict.fromkeys(("08", "40", "53", "55", "57"), UnavailableError),
    **dict.fromkeys(("25006", "42501"), ReadOnlyError),  # a standby; no right to do this
}


class PostgreSQL(Server):
    changes_with_rows = True
    shows_by_name = False  # it holds on to the tables themselves

    def engine(self, target: sa.URL) -> sa.Engine:
        return sa.create_engine(target, pool_size=5, max_overflow=5, pool_pre_ping=True, hide_parameters=True)

    def make_schema(self, connection: sa.Connection, schema: str) -> None:
        connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))

    def prefix(self, schema: str | None) -> str:
        return f'"{schema}".' if schema else ""

    @contextmanager
    def reading(self, connection: sa.Connection, tables: Sequence[str]) -> Iterator[sa.Connection]:
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            if tables:
                connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
            yield connection
        finally:
            connection.rollback()

    @contextmanager
    def writing(self, connection: sa.Connection, *, alone: str | None) -> Iterator[sa.Connection]:
        connection = connection.execution_options(isolation_level="READ COMMITTED")
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def single(self, connection: sa.Connection) -> sa.Connection:
        return connection.execution_options(isolation_level="AUTOCOMMIT")

    def is_again(self, error: BaseException) -> bool:
        return False

    def kind_of(self, error: BaseException) -> type[FoldlogError] | None:
        state = getattr(error, "pgcode", None)
        if state is None:
            return UnavailableError if type(error).__name__ == "OperationalError" else None
        return _STATES.get(str(state)) or _STATES.get(str(state)[:2])

    # -- tables -------------------------------------------------------------------------------------------------------

    def make_alone(self, connection: sa.Connection) -> None:
        # CREATE TABLE IF NOT EXISTS of two sessions can clash in the catalog.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")

    def create(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        connection.execute(CreateTable(table, if_not_exists=True))
        if not late:
            self.create_indexes(connection, table, late=True)

    def create_indexes(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        create_indexes(connection, table, late=late)

    def drop(self, connection: sa.Connection, name: str) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")

    def stray(self, connection: sa.Connection, schema: str | None, name: str) -> list[str]:
        return []

    def impatient(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '500ms'")

    def exchange(
        self,
        connection: sa.Connection,
        beside: AbstractContextManager[sa.Connection],
        prefix: str,
        names: Sequence[Renamed],
    ) -> None:
        # All at once: two that lock one by one can wait for each other.
        live = ", ".join(f"{prefix}{name}" for name in sorted(one.live for one in names))
        connection.exec_driver_sql(f"LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE")
        rename_each(connection, prefix, names)

    # -- SQL views ----------------------------------------------------------------------------------------------------

    def readable(self, connection: sa.Connection, column: str) -> str:
        return column

    def quoted(self, column: str) -> str:
        return column

    def show(self, connection: sa.Connection, name: str, select: str) -> None:
        # In place, for views of users' own may stand on it; anew only if its columns are others.
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {name} AS {select}")
        except sa.exc.ProgrammingError:
            self.hide(connection, name)
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {select}")

    def hide(self, connection: sa.Connection, name: str) -> None:
        try:
            super().hide(connection, name)
        except sa.exc.InternalError as error:
            refused = UsageError(f"the SQL view {name} cannot be replaced: {str(error.orig).strip()}")
            refused.remedy = "Drop what depends on it, then try again; make it anew afterwards."
            raise refused from error


DIALECT: Final = PostgreSQL()
