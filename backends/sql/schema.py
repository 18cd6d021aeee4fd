"""How the tables of a log come to be, and whose they are.

Promises: made whole or not at all, by one of several processes that open a new database at once; tables of another
program or another version are refused.
"""

from __future__ import annotations

from uuid import uuid4

from ...engine.errors import CorruptLogError, UsageError
from ...engine.log.port import GENESIS
from .database import Database
from .dialect import Dialect, Doing, Mode
from .tables import FORMAT, PROGRAM


def prepare(database: Database, *, read_only: bool) -> None:
    """Check that the schema holds a log this program knows, and make one where there is none.

    Raises CorruptLogError for another program's tables, UsageError for another version, for a missing log with
    `read_only`, and for a server that cannot hold one.
    """
    dialect = database.dialect
    deed = f"opening the log in {dialect.place}"

    def look(tx: Doing) -> bool:
        dialect.check_server(tx, read_only=read_only)
        return check(tx, dialect)

    if database.ask_in(deed, look):
        return
    if read_only:
        raise UsageError(
            f"there is no log in {dialect.place} at {dialect.shown}; open it for writing once to create it"
        )
    database.run(deed, lambda tx: _create(tx, dialect), mode=Mode.WRITE, repeatable=True)


def _create(tx: Doing, dialect: Dialect) -> None:
    dialect.create(tx, lambda tx: check(tx, dialect), lambda tx: fill(tx, dialect))


def check(tx: Doing, dialect: Dialect) -> bool:
    """Whether a log is there; what else could be there is refused."""
    place = f"{dialect.place} at {dialect.shown}"
    columns = dialect.columns_of_log(tx)
    if not columns:
        return False
    rows = tx.all("SELECT program, format FROM foldlog.log") if {"program", "format"} <= columns else []
    if not rows and dialect.is_being_made(tx):
        return False
    if not rows or rows[0][0] != PROGRAM:
        raise not_ours("log", dialect)
    check_format(rows[0][1], place)
    return True


def not_ours(table: str, dialect: Dialect) -> CorruptLogError:
    """The error for a table of another program."""
    error = CorruptLogError(f"{dialect.place} at {dialect.shown}: the table `{table}` there is not foldlog's")
    error.remedy = f"Choose another {dialect.elsewhere} in the URL; what is there was left as it is."
    return error


def check_format(found: int, place: str) -> None:
    """Raise UsageError for a format that is not this release's."""
    if found > FORMAT:
        error = UsageError(f"{place}: the log has format {found}, this release knows {FORMAT}")
        error.remedy = "Install the release that upgraded it, or a newer one."
        raise error
    if found < FORMAT:
        error = UsageError(f"{place}: the log has format {found}, this release needs {FORMAT}")
        error.remedy = "Run `foldlog migrate upgrade --url URL`; programs of the older release that are running go on."
        raise error


def fill(tx: Doing, dialect: Dialect) -> None:
    """The first rows of a new log."""
    values = {"program": PROGRAM, "format": FORMAT, "log_id": dialect.key(uuid4()), "genesis": GENESIS}
    tx.execute("INSERT INTO foldlog.gate (one, state, note) VALUES (1, 0, '')")
    tx.execute(
        "INSERT INTO foldlog.epoch (number, after_position, chain, started_us, reason) "
        "VALUES (1, 0, %(genesis)s, $now, 'created')",
        values,
    )
    tx.execute(
        "INSERT INTO foldlog.log (one, program, format, log_id, epoch, position, chain) "
        "VALUES (1, %(program)s, %(format)s, %(log_id)s, 1, 0, %(genesis)s)",
        values,
    )
