"""One connection: pymysql's, with every setting of the session said, whatever the server's defaults are.

Promises: a session commits each statement by itself while the log has it, and begins transactions by itself while
others have it who share the pool (SQLAlchemy, which expects that of the driver); the change goes out with the next
statement and costs no round trip. A connection on which an answer was broken off is never used again: the next
statement would read that answer as its own.

Round trips of a new one: TCP, greeting, password, settings. TLS costs more: one context serves a whole pool, for its
authorities' certificates take long to load; without a check of certificates none are loaded. CPU of a connection,
measured on a busy machine: 0.3 ms plain, 1.4 to 1.8 ms with TLS, 26 ms as pymysql does it, with a context for each.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, CR, SERVER_STATUS

from ...engine.errors import UsageError
from .address import Address

LOCK_S = 20  #: how long a statement waits for another's lock
IDLE_S = 10  #: how long MariaDB lets a transaction of the log be idle: a paused process gives its locks back
STATEMENT_S = 60  #: how long a statement of the log may take
LONG_S = 3600  #: the same for those that go through the whole log
MORE_S = 30  #: how much longer we wait for an answer

PACKET = 1024 * 1024  #: the smallest max_allowed_packet that a log can do with
MOST = 8 * 1024 * 1024  #: bytes of a packet, though the server may take more
MARGIN = 4096  #: what is kept free in a packet

SQL_MODE = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"

_SESSION = f"""
SET NAMES utf8mb4 COLLATE utf8mb4_bin, time_zone = '+00:00', sql_mode = '{SQL_MODE}', completion_type = 'NO_CHAIN',
    innodb_lock_wait_timeout = {LOCK_S}, lock_wait_timeout = 30, wait_timeout = 28800, net_read_timeout = 60,
    net_write_timeout = 60, unique_checks = 1, foreign_key_checks = 1, sql_auto_is_null = 0, sql_safe_updates = 0,
    sql_big_selects = 1, sql_select_limit = 18446744073709551615{{more}};
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
{{state}};
SELECT @@sql_mode, @@{{isolation}}, @@character_set_client, @@max_allowed_packet
"""
# Statistics of tables as they are now, not as they were a day ago; any number of ranges in one statement.
_MYSQL = ", information_schema_stats_expiry = 0, range_optimizer_max_mem_size = 0"

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}


class LogConnection(Connection):
    """A connection of the pool."""

    server_version: str
    server_status: int
    insert_id: Callable[[], int]
    _result: Any
    _force_close: Callable[[], None]

    def __init__(self, address: Address, context: ssl.SSLContext | None) -> None:
        super().__init__(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.encode(),  # as text it would be taken for latin1
            database=address.database,
            unix_socket=address.unix_socket,
            charset="utf8mb4",
            client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
            connect_timeout=address.connect_timeout,
            read_timeout=address.connect_timeout,
            write_timeout=address.connect_timeout,
            autocommit=None,
            local_infile=False,
            program_name="foldlog",
            ssl_disabled=True,
            defer_connect=True,
        )
        if context is not None:
            # Set here, because given as an option it would be made for each connection, or be required.
            self.ssl, self.ctx = True, context
            self._ssl_required = address.tls != "preferred"
            if self._ssl_required:
                self.client_flag |= CLIENT.SSL
        self.room = PACKET - MARGIN  #: bytes of statements that go into one packet
        self._state = self._wanted = ""
        self._is_of_log = True  #: and not another's who shares the pool
        self._asking = False
        self.connect()
        self.lend_to_others()

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self.server_version

    # -- connecting ---------------------------------------------------------------------------------------------

    def connect(self, sock: socket.socket | None = None) -> None:
        if sock is None and self.unix_socket is None:
            sock = self._socket()
        super().connect(sock)

    def _socket(self) -> socket.socket:
        """Whose other end, if gone without a word, is noticed in half a minute and not in two hours."""
        try:
            sock = socket.create_connection((self.host, self.port), self.connect_timeout)
        except OSError as error:
            raise pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, f"no connection to {self.host} ({error})") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return sock

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """All settings of the session; the driver calls this once it is logged in."""
        self._state = self._wanted = self._of_log()
        isolation = "transaction_isolation"
        if self.is_mariadb and _version(self.server_version) < (11, 1):
            isolation = "tx_isolation"
        more = "" if self.is_mariadb else _MYSQL
        cursor = self.cursor()
        cursor.execute(_SESSION.format(more=more, state=self._state, isolation=isolation))
        while cursor.nextset():
            pass
        found = cursor.fetchone()
        if found is None or found[:3] != (SQL_MODE, "READ-COMMITTED", "utf8mb4"):
            raise UsageError(f"the server, or a proxy before it, does not take the settings of a session: {found}")
        if found[3] < PACKET:
            error = UsageError(f"max_allowed_packet of the server is {found[3]} bytes; a log needs {PACKET}")
            error.remedy = "Set max_allowed_packet to 1 MiB or more; 16 MiB is usual."
            raise error
        self.room = min(found[3], MOST) - MARGIN

    # -- whose session it is ------------------------------------------------------------------------------------

    def _of_log(self, limit_s: int = STATEMENT_S) -> str:
        if self.is_mariadb:
            return f"SET autocommit = 1, idle_transaction_timeout = {IDLE_S}, max_statement_time = {limit_s}"
        return f"SET autocommit = 1, max_execution_time = {limit_s * 1000}"

    def _of_others(self, *, autocommit: bool) -> str:
        if self.is_mariadb:
            return f"SET autocommit = {autocommit:d}, idle_transaction_timeout = 0, max_statement_time = 0"
        return f"SET autocommit = {autocommit:d}, max_execution_time = 0"

    def lend_to_log(self, *, long: bool = False) -> None:
        """From the next statement on it is the log's; `long`: a statement may take an hour."""
        limit_s = LONG_S if long else STATEMENT_S
        self._is_of_log = True
        self._wanted = self._of_log(limit_s)
        self._read_timeout = self._write_timeout = limit_s + MORE_S

    def lend_to_others(self) -> None:
        if self._is_of_log:
            if self.open and (self._asking or self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS):
                self.query("ROLLBACK")  # what an interrupt has left
            self.autocommit(False)

    def autocommit(self, value: bool | None) -> None:
        """From the next statement on it is another's, as SQLAlchemy asks for it."""
        self._is_of_log = False
        self._wanted = self._of_others(autocommit=bool(value))
        self._read_timeout = self._write_timeout = LONG_S + MORE_S

    # -- statements ---------------------------------------------------------------------------------------------

    def several(self, sql: str, count: int | None = None) -> list[int]:
        """Run a packet of statements without rows: what the server calls the last inserted id, behind each of them.

        `count`: how many they are, where that is known.
        """
        self.query(sql)
        found = [self.insert_id()]
        self._asking = True
        try:
            while len(found) < count if count is not None else self._result.has_next:
                super().next_result()
                found.append(self.insert_id())
        except pymysql.Error:
            self._asking = False  # an error is the end of an answer
            raise
        self._asking = False
        return found

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        if self._asking:
            self._give_up()
        self._asking = True
        try:
            if self._state != self._wanted:
                self._state = ""  # not known, should this be broken off
                text = sql.encode() if isinstance(sql, str) else sql
                super().query(self._wanted.encode() + b";" + text)
                self._state = self._wanted
                rows = super().next_result(unbuffered)
            else:
                rows = super().query(sql, unbuffered)
        except pymysql.Error:
            self._asking = False
            raise
        self._asking = False
        return rows

    def next_result(self, unbuffered: bool = False) -> int:
        self._asking = True
        try:
            rows = super().next_result(unbuffered)
        except pymysql.Error:
            self._asking = False
            raise
        self._asking = False
        return rows

    def commit(self) -> None:
        self._end(super().commit)

    def rollback(self) -> None:
        if self._state == self._wanted:  # else it has just been lent, and nothing has been asked since
            self._end(super().rollback)

    def _end(self, work: Callable[[], None]) -> None:
        if self._asking:
            self._give_up()
        self._asking = True
        try:
            work()
        except pymysql.Error:
            self._asking = False
            raise
        self._asking = False

    def _give_up(self) -> None:
        self._force_close()
        raise pymysql.OperationalError(CR.CR_SERVER_LOST, "the connection was given up: an answer was broken off")


def context_of(address: Address) -> ssl.SSLContext | None:
    """The TLS context for the connections of a pool. Raises UsageError for files that cannot be read."""
    if address.tls == "disabled":
        return None
    try:
        if address.tls in ("preferred", "required") and address.ssl_ca is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cafile=address.ssl_ca)
            context.check_hostname = address.tls == "verify_identity"
            # The certificates that servers make for themselves lack what RFC 5280 demands.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if address.ssl_cert is not None:
            context.load_cert_chain(address.ssl_cert, address.ssl_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the MySQL URL names certificates that cannot be used: {error}") from error
    return context


def _version(text: str) -> tuple[int, int]:
    """Of a MariaDB: "5.5.5-10.11.18-MariaDB" and "11.4.2-MariaDB"."""
    return version(text)[:2]


def version(text: str) -> tuple[int, int, int]:
    """The numbers of a server's version; MariaDB before 11 puts 5.5.5- in front, for old clients."""
    digits = text.removeprefix("5.5.5-").partition("-")[0].split(".")
    numbers = [int(part) if part.isdigit() else 0 for part in (*digits, "0", "0")]
    return numbers[0], numbers[1], numbers[2]
