"""What differs between the databases that views live in, a file for each; nowhere else is asked which one it is.

dialect.py      what is asked of a dialect
sqlite.py       one file or memory, one writer, tables change inside a transaction
server.py       what servers share: many rows in a statement
postgresql.py   tables change inside a transaction, under locks
mysql.py        MySQL and MariaDB: tables change outside of one, and text is kept as bytes
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import sqlalchemy as sa

from ...errors import UsageError
from .dialect import Dialect

_MODULES: Final = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_made: Final[dict[str, Dialect]] = {}


def of(written: sa.Dialect) -> Dialect:
    """The dialect of SQLAlchemy's. Raises UsageError for a database that no views can live in."""
    found = _made.get(written.name)
    if found is None:
        name = _MODULES.get(written.name)
        if name is None:
            raise UsageError(f"views live in SQLite, PostgreSQL, MySQL or MariaDB, not in {written.name}")
        made: Dialect = import_module(f".{name}", __package__).DIALECT
        found = _made[written.name] = made
    return found
