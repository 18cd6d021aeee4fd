"""The port on MySQL and MariaDB."""

from __future__ import annotations

from ..sql.backend import SqlBackend
from .address import Address
from .dialect import MysqlDialect


class MysqlBackend(SqlBackend):
    """One log in one database of a MySQL or MariaDB server."""

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        super().__init__(MysqlDialect(address), read_only=read_only)
