"""What PostgreSQL's errors mean to a caller: translated here once, by SQLSTATE, never by message.

Not here: which errors are answered by trying again (backends/sql: database.py for lost connections, writing.py for
races).
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import psycopg2

from ...engine.errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError, UsageError
from ..sql import errors as shared
from ..sql.errors import AgainError

GATE_CLOSED = "FL001"  #: errors of our own functions
OTHER_ISOLATION = "FL002"

NO_RIGHT = "42501"
TO_READ = "Give the role the right to read: GRANT USAGE ON SCHEMA, and SELECT ON ALL TABLES IN SCHEMA."
TO_WRITE = (
    "Give the role the right: CREATE ON DATABASE to make a log; SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "
    "to write to one. Without it, open the log with read_only=True."
)

REMEDY: dict[str, type[FoldlogError]] = {
    "08": UnavailableError,  # connection exception
    "22": UsageError,  # data exception: a number or text that no column can hold
    "25006": ReadOnlyError,  # a standby, or a database set to read only
    "25P03": UnavailableError,  # idle in a transaction for too long: this process was paused
    "28": UsageError,  # wrong user or password
    "3D000": UsageError,  # no such database
    "40": AgainError,  # deadlock, serialization: rolled back
    "40003": UnavailableError,  # statement completion unknown
    NO_RIGHT: ReadOnlyError,  # no right to do this
    "53": UnavailableError,  # disk full, out of memory, too many connections
    "54": UsageError,  # beyond a limit of the server, as an index entry's size
    "55P03": UnavailableError,  # lock_timeout
    "57": UnavailableError,  # statement_timeout, shutdown, starting up
    "58": UnavailableError,  # the server's disk or files failed
    "XX001": CorruptLogError,  # data_corrupted
    "XX002": CorruptLogError,  # index_corrupted
}


def translate(deed: str, error: psycopg2.Error, *, writing: bool = True) -> FoldlogError | None:
    """The foldlog error a driver error stands for; None for what must look like a bug of ours."""
    code = error.pgcode
    if code is None:
        # libpq's own errors carry no SQLSTATE: the server could not be reached, refused us, or went away.
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return UnavailableError(f"{deed}: {sentence(error)}")
        if isinstance(error, psycopg2.ProgrammingError) and "dsn" in str(error):
            refused = UsageError(f"{deed}: {sentence(error)}")  # libpq refused an option of the URL
            refused.remedy = "Options of the URL are schema and durability, and those of libpq."
            return refused
        return None
    kind = REMEDY.get(code) or REMEDY.get(code[:2])
    if kind is ReadOnlyError and not writing:
        kind = UsageError  # a role that may not even read
    if kind is None:
        return None
    known = kind(f"{deed}: {sentence(error)} (SQLSTATE {code})")
    if code == NO_RIGHT:
        known.remedy = TO_WRITE if writing else TO_READ
    return known


def sentence(error: psycopg2.Error) -> str:
    """The server's sentence alone: what follows it quotes the statement, and with it the facts."""
    return error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__


def translated(deed: str) -> AbstractContextManager[None]:
    """Errors of the driver, and of the pool around it, as foldlog errors; the unforeseen passes unchanged."""
    return shared.translated(deed, psycopg2.Error, translate)
