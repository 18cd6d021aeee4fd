"""The port on PostgreSQL."""

from __future__ import annotations

from ..sql.backend import SqlBackend
from .address import Address
from .dialect import PostgresDialect


class PostgresBackend(SqlBackend):
    """One log in one schema of a PostgreSQL database."""

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        super().__init__(PostgresDialect(address), read_only=read_only)
