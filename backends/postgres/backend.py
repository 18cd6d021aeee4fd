"""The port on PostgreSQL: what SQL servers share, and waking those who wait."""

from __future__ import annotations

from ..sql.backend import SqlBackend
from .address import Address
from .dialect import PostgresDialect
from .waking import Waker


class PostgresBackend(SqlBackend):
    """One log in one schema of a PostgreSQL database."""

    pass_s = 0.005  #: followers learn of what is appended within that; a pass holds the order for less

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        dialect = PostgresDialect(address)
        super().__init__(dialect, read_only=read_only)
        self._waker = Waker(self._database, dialect)

    def wait(self, *, timeout_us: int) -> None:
        self._waker.wait(timeout_us)

    def is_followed(self) -> bool:
        return self._waker.is_followed()

    def close(self) -> None:
        self._waker.close()
        super().close()
