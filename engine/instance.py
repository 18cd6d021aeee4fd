"""One deployment: its log, its views, and what a program reports to it.

    instance = foldlog.Instance.from_url("sqlite:///./history")
    with instance.run("nightly-load", tags={"team": "growth"}) as run:
        run.materialize(["raw", "orders"], metadata={"rows": 1234})
    print(instance.get_run_by_id(run.run_id))

Promises: every answer shows what was acknowledged before the question (opened with `read_only`: what others have
projected; `position` says how far that is). Opening is cheap: the views' database is opened by the first question.
Here, and in open.py, log, codec, backend and views are put together. Not here: what one may report, ask and do
(facade/, a module a subject).
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .errors import FoldlogError, UsageError
from .facade.assets import AssetQuestions
from .facade.events import EventQuestions
from .facade.reporting import Reporting
from .facade.upkeep import Upkeep
from .log.log import EventLog
from .log.writer import EventWriter
from .open import open_log

if TYPE_CHECKING:
    from .views.database import Database
    from .views.views import Views

logger = logging.getLogger("foldlog.instance")


class Instance(Reporting, AssetQuestions, EventQuestions, Upkeep):
    """One deployment. Thread-safe; use it as a context manager, or call `close`."""

    def __init__(self, log: EventLog, *, views: str | None = None) -> None:
        self._log = log
        self._views_url = views
        self._views: Views | None = None
        self._writer: EventWriter | None = None
        self._lock = threading.RLock()

    @classmethod
    def from_url(cls, url: str, *, views: str | None = None, read_only: bool = False) -> Self:
        """The instance whose log is at `url`; see `open_log` for what it may be.

        `views`: where else than beside the log the views are kept: `memory://`, `sqlite:///FILE` or `postgresql://…`.
        `read_only`: nothing is written; answers are as of what others have projected, unless `views` is given, which
            is then this reader's own to fill.

        Raises what `open_log` raises.
        """
        return cls(open_log(url, read_only=read_only), views=views)

    @classmethod
    def ephemeral(cls) -> Self:
        """An instance in memory, gone with this object."""
        return cls.from_url("memory://")

    @property
    def log(self) -> EventLog:
        """The log underneath."""
        return self._log

    @property
    def views(self) -> Views:
        """The views underneath; opened when first asked for."""
        with self._lock:
            if self._views is None:
                self._views = self._open_views()
            return self._views

    @property
    def position(self) -> int:
        """The position of the timeline up to which all views answer, as they stand."""
        return self.views.position

    def close(self) -> None:
        """Write what is queued, and free every handle. Idempotent."""
        with self._lock:
            writer, self._writer = self._writer, None
            views, self._views = self._views, None
        if writer is not None:
            try:
                writer.close()
            except FoldlogError as error:  # each append's own caller was told; a log line has none
                logger.debug("an append had failed before the instance was closed: %s", error)
        if views is not None:
            views.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<foldlog.Instance {self._log.backend.url}{' (read only)' if self._log.read_only else ''}>"

    # -- putting it together ------------------------------------------------------------------------------------

    def _shared_writer(self) -> EventWriter:
        with self._lock:
            if self._writer is None:
                self._writer = self._log.writer()
            return self._writer

    def _open_views(self) -> Views:
        from .views.views import Views

        if self._log.closed:
            raise UsageError(f"the instance of {self._log.backend.url} is closed")
        if self._views_url is not None:
            return Views(self._log, _database_at(self._views_url), own_place=True)
        return Views(self._log, _database_beside(self._log), read_only=self._log.read_only)


def _database_beside(log: EventLog) -> Database:
    """Where the views of a log are unless somebody says otherwise."""
    from .log.port import HasDatabase, HasHome
    from .views.database import Database

    backend = log.backend
    if isinstance(backend, HasDatabase):
        return Database.borrowed(backend.engine, schema=backend.schema, shown=backend.url)
    if isinstance(backend, HasHome):
        return Database.in_file(backend.home.folder / "views.db", read_only=log.read_only)
    return Database.in_memory()


def _database_at(url: str) -> Database:
    from .views.database import Database

    scheme, _, rest = url.partition("://")
    if scheme == "memory" and not rest:
        return Database.in_memory()
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        path = Path(rest[1:])
        if path.is_dir():
            raise UsageError(f"views={url!r}: {path} is a folder; name a file, as sqlite:///./views.db")
        path.parent.mkdir(parents=True, exist_ok=True)
        return Database.in_file(path)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg2"):
        from ..backends.postgres.address import parse

        address = parse(url)
        return Database.on_server(address.target, schema=address.schema, shown=address.shown)
    raise UsageError(f"views={scheme}://…: write memory://, sqlite:///FILE or postgresql://…")
