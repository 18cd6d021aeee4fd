"""What the server's and the driver's errors mean to a caller: translated here once, by number, never by message.

Not here: which errors are answered by trying again (backends/sql: database.py for lost connections and for AgainError,
writing.py for races).
"""

from __future__ import annotations

import ssl
from contextlib import AbstractContextManager

import pymysql

from ...engine.errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError, UsageError
from ..sql import errors as shared
from ..sql.errors import AgainError

TAKEN = 1062  #: a unique key refused a row
NULL_REFUSED = 1048  #: NULL for a column that takes none
TOO_LONG = 1153  #: a packet past max_allowed_packet

REMEDY: dict[int, type[FoldlogError]] = {
    0: UnavailableError,  # the driver's: the connection is closed
    1020: AgainError,  # MariaDB: the row has changed since this transaction's snapshot
    1021: UnavailableError,  # disk full
    1030: UnavailableError,  # the storage engine's own error, as a disk that failed
    1034: CorruptLogError,  # wrong key file
    1037: UnavailableError,  # out of memory
    1040: UnavailableError,  # too many connections
    1041: UnavailableError,  # out of memory
    1044: UsageError,  # no right on the database
    1045: UsageError,  # wrong user or password
    1049: UsageError,  # no such database
    1053: UnavailableError,  # shutting down
    1114: UnavailableError,  # the table's space is full
    1129: UnavailableError,  # too many failed connections of this host
    1130: UsageError,  # this host may not connect
    1142: ReadOnlyError,  # no right on a table
    1143: ReadOnlyError,  # no right on a column
    1153: UsageError,
    1161: UnavailableError,  # timeout while it wrote to us
    1180: UnavailableError,  # an error in COMMIT
    1194: CorruptLogError,  # the table is marked as crashed
    1195: CorruptLogError,
    1203: UnavailableError,  # too many connections of this user
    1205: AgainError,  # waited too long for a lock; the transaction is still open, and is rolled back by us
    1206: UnavailableError,  # too many locks
    1213: AgainError,  # deadlock; the transaction has been rolled back
    1226: UnavailableError,  # too many connections or queries of this user
    1227: ReadOnlyError,  # no right
    1264: UsageError,  # a number that no column can hold
    1290: ReadOnlyError,  # the server is read only (--read-only)
    1317: UnavailableError,  # interrupted (KILL QUERY)
    1366: UsageError,  # a text that no column can hold
    1406: UsageError,  # too long for its column
    1665: UsageError,  # binlog_format=STATEMENT, which goes with no READ COMMITTED
    1712: CorruptLogError,  # the index is corrupted
    1792: ReadOnlyError,  # a read-only transaction
    1836: ReadOnlyError,  # the server is in read-only mode
    1877: CorruptLogError,  # the table is corrupted
    1927: UnavailableError,  # MariaDB: the connection was killed
    1969: UnavailableError,  # MariaDB: max_statement_time
    2003: UnavailableError,  # no connection to the host
    2006: UnavailableError,  # the server has gone away
    2013: UnavailableError,  # lost while it answered
    2026: UsageError,  # TLS: not offered, or not as it must be
    2059: UsageError,  # a way to log in that the driver does not know
    3024: UnavailableError,  # MySQL: max_execution_time
    3159: UsageError,  # only TLS connections are taken
    3168: UnavailableError,  # the server is not available
    3572: AgainError,  # MySQL: NOWAIT found a lock
    4031: UnavailableError,  # MySQL: closed for it was idle
}

_TO_WRITE = "Give the user the right: GRANT ALL ON database.* TO user. Without it, open the log with read_only=True."
REMEDIES = {
    1044: "Give the user rights on the database: GRANT ALL ON database.* TO user.",
    1045: "Check user and password in the URL; special characters are percent-encoded, as @ by %40 and / by %2F.",
    1130: "Let the user connect from this machine: CREATE USER user@host.",
    1142: _TO_WRITE,
    1143: _TO_WRITE,
    2026: "Set up TLS at the server, or choose another ssl_mode in the URL.",
    1049: "Make it first: CREATE DATABASE name.",
    TOO_LONG: "Set max_allowed_packet of the server, and of a proxy before it, to at least 1 MiB.",
    1665: "Set binlog_format of the server to ROW or MIXED.",
}


def translate(deed: str, error: pymysql.Error, *, writing: bool = True) -> FoldlogError | None:
    """The foldlog error a driver error stands for; None for what must look like a bug of ours."""
    code = number(error)
    if isinstance(getattr(error, "original_exception", None), ssl.SSLError):
        refused = UsageError(f"{deed}: {sentence(error)}")
        refused.remedy = "Check ssl_mode and ssl_ca in the URL, and the certificate of the server."
        return refused
    kind = REMEDY.get(code) if code is not None else None
    if kind is None:
        return None
    if kind is ReadOnlyError and not writing:
        kind = UsageError  # a user who may not even read
    known = kind(f"{deed}: {sentence(error)} (error {code})")
    if code in (1142, 1143) and not writing:
        known.remedy = "Give the user the right to read: GRANT SELECT ON database.* TO user."
    elif code in REMEDIES:
        known.remedy = REMEDIES[code]
    return known


def number(error: BaseException) -> int | None:
    """The server's or the driver's number of an error."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def sentence(error: pymysql.Error) -> str:
    """The server's sentence alone."""
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    return text.strip().partition("\n")[0] or "the connection is closed"


def translated(deed: str) -> AbstractContextManager[None]:
    """Errors of the driver, and of the pool around it, as foldlog errors; the unforeseen passes unchanged."""
    return shared.translated(deed, pymysql.Error, translate)
