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
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .errors import FoldlogError, UsageError
from .facade.assets import AssetQuestions
from .facade.backfills import Backfills
from .facade.events import EventQuestions
from .facade.export import Export
from .facade.partitions import DynamicPartitions
from .facade.parts import Parts, Shelf
from .facade.pools import Pools
from .facade.queue import QueueQuestions
from .facade.retention import RetentionUpkeep
from .facade.schedules import Schedules
from .facade.snapshots import Snapshots, Values
from .facade.upkeep import Upkeep
from .log.log import EventLog
from .log.writer import EventWriter
from .open import open_log, open_storage, views_place
from .origin import Origin, is_memory

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from .config.configuration import Configuration
    from .config.ref import InstanceRef, InstanceType
    from .payload import DebugRunPayload
    from .views.database import Database
    from .views.views import Views

logger = logging.getLogger("foldlog.instance")


class Instance(
    RetentionUpkeep,
    AssetQuestions,
    EventQuestions,
    DynamicPartitions,
    Schedules,
    Pools,
    QueueQuestions,
    Backfills,
    Snapshots,
    Values,
    Upkeep,
    Export,
    Parts,
):
    """One deployment. Thread-safe; use it as a context manager, or call `close`."""

    def __init__(self, log: EventLog, *, views: str | None = None, origin: Origin | None = None) -> None:
        self._log = log
        self._views_url = views
        self._views: Views | None = None
        self._writer: EventWriter | None = None
        self._lock = threading.RLock()
        self._origin = origin or Origin()
        self._shelf = Shelf()

    @classmethod
    def get(cls, *, fallback_ephemeral: bool = False) -> Self:
        """The instance of FOLDLOG_HOME: as its foldlog.yaml says; without one, `sqlite:///$FOLDLOG_HOME/history`.

        `fallback_ephemeral`: where FOLDLOG_HOME is not set, an instance in memory instead of an error.

        Raises UsageError if FOLDLOG_HOME is not set, relative, or no folder; and what `from_config` raises.
        """
        from .config.configuration import Configuration
        from .config.home import VARIABLE, file_in, home
        from .config.ref import InstanceRef

        if fallback_ephemeral and not os.environ.get(VARIABLE):
            return cls.ephemeral()
        folder = home()
        if (file := file_in(folder)) is not None:
            return cls.from_config(file)
        return cls._configured(Configuration(InstanceRef(root=str(folder))))

    @classmethod
    def from_config(cls, path: str | Path) -> Self:
        """The instance of a configuration file, or of the foldlog.yaml in a folder. Its folder is the root.

        Opens the log; the other parts are made when they are first used. Raises UsageError with file, line and key for
        what is wrong in the file, and what `open_log` raises.
        """
        from .config.configuration import Configuration
        from .config.home import FILE

        path = Path(path)
        return cls._configured(Configuration.read(path / FILE if path.is_dir() else path))

    @classmethod
    def from_ref(cls, ref: InstanceRef) -> Self:
        """The instance of a reference, in whatever process. Raises what `from_config` raises."""
        from .config.configuration import Configuration

        return cls._configured(Configuration(ref))

    @classmethod
    def from_url(
        cls, url: str, *, views: str | None = None, read_only: bool = False, root: str | Path | None = None
    ) -> Self:
        """The instance whose log is at `url`; see `open_log` for what it may be.

        `views`: where else than beside the log the views are kept: `memory://`, `sqlite:///FILE`, `postgresql://…` or
            `mysql://…`.
        `read_only`: nothing is written; answers are as of what others have projected, unless `views` is given, which
            is then this reader's own to fill.
        `root`: the folder for local files; by default the one that the folder of a SQLite log lies in.

        Raises what `open_log` raises.
        """
        log = open_log(url, read_only=read_only)
        origin = Origin(url=url, views=views, root=root)
        return cls(log, views=origin.views, origin=origin)

    @classmethod
    def ephemeral(
        cls,
        *,
        preload: Instance | Iterable[DebugRunPayload] = (),
        folder: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Self:
        """An instance in memory, gone with this object.

        `preload`: runs to begin with: those of another instance, or exported ones (`export_run`).
        `folder`: for local files; by default a temporary one, removed when the instance is closed, or the program ends.
        `overrides`: what foldlog.yaml would say of its parts.
        """
        if overrides and "storage" in overrides:
            raise UsageError("an ephemeral instance has its log in memory; Instance.local_temp takes a storage")
        origin = Origin(url="memory://", root=folder, overrides=overrides)
        instance = cls(open_log("memory://"), origin=origin)
        for payload in preload.export_runs() if isinstance(preload, Instance) else preload:
            payload.load_into(instance.log)
        return instance

    @classmethod
    def local_temp(cls, folder: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Self:
        """A persistent instance on SQLite: other processes can open it by its reference.

        `folder`: where it lies, and stays; by default a temporary folder, removed when this object is closed, or the
            program ends. `overrides`: what foldlog.yaml would say. Raises what `from_config` raises.
        """
        from .config.configuration import Configuration
        from .config.ref import InstanceRef
        from .origin import temporary_folder

        temporary = temporary_folder() if folder is None else None
        root = Path(folder if temporary is None else temporary.name).absolute()  # type: ignore[arg-type]
        root.mkdir(parents=True, exist_ok=True)
        configuration = Configuration(InstanceRef(root=str(root), config=dict(overrides or {})))
        return cls._configured(configuration, temporary=temporary)

    @classmethod
    def _configured(cls, configuration: Configuration, *, temporary: TemporaryDirectory[str] | None = None) -> Self:
        storage = configuration.storage()
        log = open_storage(configuration, storage, read_only=configuration.ref.read_only)
        origin = Origin(configuration=configuration, temporary=temporary)
        return cls(log, views=storage.views, origin=origin)

    @property
    def instance_type(self) -> InstanceType:
        """Whether it outlives this process."""
        from .config.ref import InstanceType

        return InstanceType.EPHEMERAL if self.is_ephemeral else InstanceType.PERSISTENT

    @property
    def is_ephemeral(self) -> bool:
        """Whether its log is gone with this process."""
        return is_memory(self._log)

    def get_ref(self) -> InstanceRef:
        """What opens this instance in another process: `Instance.from_ref`. Pickles, and is JSON.

        Raises UsageError for an ephemeral instance, and one that was made of a log.
        """
        return self._origin.ref(self._log)

    @property
    def root_directory(self) -> Path:
        """The folder of local files, absolute. Raises UsageError if there is none.

        That of foldlog.yaml; by URL, the one that the folder of a SQLite log lies in, else FOLDLOG_HOME; a temporary
        one if the instance is ephemeral.
        """
        root = self._origin.known_root(self._log)
        if root is None:
            error = UsageError(f"the instance of {self._log.backend.url} has no folder on this machine")
            error.remedy = "Set FOLDLOG_HOME, or pass root=FOLDER to Instance.from_url."
            raise error
        return root

    @property
    def _configuration(self) -> Configuration:
        return self._origin.configuration(self._log)

    @property
    def log(self) -> EventLog:
        """The log underneath."""
        return self._log

    @property
    def writer(self) -> EventWriter:
        """The one group-committing writer of this process; opened when first asked for, closed with the instance."""
        with self._lock:
            if self._writer is None:
                self._writer = self._log.writer()
            return self._writer

    def end_writer(self) -> None:
        """Write what is queued, and end the thread that writes; the next append through `writer` begins another."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

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
        with ExitStack() as last_first:
            last_first.callback(self._origin.close)
            last_first.callback(self._log.close)
            last_first.callback(self._shelf.close)  # raises what a part raises; the rest is closed all the same
            if views is not None:
                last_first.callback(views.close)
            if writer is not None:
                try:
                    writer.close()
                except FoldlogError as error:  # each append's own caller was told; a log line has none
                    logger.debug("an append had failed before the instance was closed: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<foldlog.Instance {self._log.backend.url}{' (read only)' if self._log.read_only else ''}>"

    # -- putting it together ------------------------------------------------------------------------------------

    def _open_views(self) -> Views:
        from .log.port import CanKeep, HasDatabase
        from .views.views import Views

        if self._log.closed:
            raise UsageError(f"the instance of {self._log.backend.url} is closed")
        if self._views_url is not None:
            return Views(self._log, _database_at(self._views_url), own_place=True)
        backend = self._log.backend
        if isinstance(backend, CanKeep) and not isinstance(backend, HasDatabase):
            from ..backends.sqlite.home import refuse_network_folder
            from .views.cached import open_cached

            return open_cached(self._log, backend, check=refuse_network_folder)
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

    place = views_place(url)
    if place is None:
        return Database.in_memory()
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        return Database.in_file(place)
    return Database.on_server(place.target, schema=place.schema, shown=place.shown)
