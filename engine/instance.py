"""One deployment: its log, its views, and what a program reports to it.

    instance = foldlog.Instance.from_url("sqlite:///./history")
    with instance.run("nightly-load", tags={"team": "growth"}) as run:
        run.materialize(["raw", "orders"], metadata={"rows": 1234})
    print(instance.get_run_by_id(run.run_id))

Promises: every answer shows what was acknowledged before the question (opened with `read_only`: what others have
projected; `position` says how far that is). Opening is cheap: the views' database is opened by the first question.
Here, and in open.py, log, codec, backend and views are put together. Not here: what they do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from .errors import FoldlogError, ReadOnlyError, UsageError
from .events.event import Event, Fact, Topic
from .events.key import AssetKey, AssetLike
from .log.log import EventLog, EventRecord, ShardPage
from .log.port import Receipt
from .log.writer import EventWriter
from .open import open_log

if TYPE_CHECKING:
    from .events.run import RunStatus
    from .reporting import RunReporter
    from .views.database import Database
    from .views.records import AssetEvent, AssetRecord, CheckRecord, PartitionRecord, Run, RunRecord, StepRecord
    from .views.verify import Verification
    from .views.views import Views, ViewStatus

logger = logging.getLogger("foldlog.instance")

ASSET_SHARDS = 16  #: shards that asset events of no run are spread over
LIMIT = 1000  #: rows an answer has at most, unless asked otherwise
LIMIT_MAX = 10_000


class Instance:
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

    # -- reporting ----------------------------------------------------------------------------------------------

    def run(
        self,
        job_name: str,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        run_config: Mapping[str, Any] | None = None,
        parent_run_id: str | None = None,
        root_run_id: str | None = None,
        plan: Iterable[AssetLike] | None = None,
        code_location: str | None = None,
    ) -> RunReporter:
        """A run to report, as a context manager: created and started on entry, ended on exit.

        `run_id`: a name of the caller's, else a new one. `plan`: the assets the run means to make.
        `root_run_id`: by default that of the parent, or the parent itself.

        Entering raises ConflictError if there is a run of that id, ShardPurged if it was deleted.
        """
        from .events.run import RunCreated  # who only asks does not load what only reporting needs
        from .reporting import RunReporter

        if parent_run_id is not None and root_run_id is None:
            parent = self.get_run_by_id(parent_run_id)
            root_run_id = (parent.root_run_id if parent else None) or parent_run_id
        created = RunCreated(
            job_name=job_name,
            tags=dict(tags or {}),
            run_config=dict(run_config or {}),
            parent_run_id=parent_run_id,
            root_run_id=root_run_id,
            asset_selection=None if plan is None else tuple(AssetKey.of(key) for key in plan),
            code_location=code_location,
        )
        return RunReporter(self._log, self._shared_writer(), created, run_id or str(uuid4()))

    def report_runless_asset_event(self, fact: Fact, *, key: UUID | None = None) -> Receipt:
        """Record what happened to an asset outside of any run: a materialization, an observation, a wipe.

        `key`: fresh per decision, the same on its every retry. Raises UsageError for a fact of no asset.
        """
        asset_key = getattr(fact, "asset_key", None)
        if not isinstance(asset_key, AssetKey) or not fact.KIND.topics & Topic.ASSET:
            raise UsageError(f"{type(fact).__name__} is no event of an asset")
        return self._log.append(asset_shard(asset_key), [Event.now(fact)], key=key)

    def delete_run(self, run_id: str, *, keep_assets: bool = True, reason: str | None = None) -> Receipt:
        """Delete a run for good: its events and its rows. Its storage is freed, and its id takes no events any more.

        `keep_assets`: what the run did to assets stays; else it goes too, and what was known before shows again.
        Interrupted, or asked again, the same call completes it. Raises UsageError if there is no such run.
        """
        from .events.tombstone import RunDeleted

        fact = RunDeleted(run_id=run_id, keep_assets=keep_assets, reason=reason)
        return self._log.purge(run_id, Event.now(fact), keep=keep_assets)

    # -- runs ---------------------------------------------------------------------------------------------------

    def get_run_by_id(self, run_id: str) -> Run | None:
        """The run, or None."""
        record = self.get_run_record_by_id(run_id)
        return record.run if record else None

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """The run with its times and its end, or None."""
        found = self.get_run_records(run_ids=[run_id], limit=1)
        return found[0] if found else None

    def get_run_records(
        self,
        *,
        limit: int = LIMIT,
        cursor: str | None = None,
        ascending: bool = False,
        run_ids: Collection[str] | None = None,
        job_name: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> list[RunRecord]:
        """Runs that meet all conditions, the newest first (`ascending`: the oldest).

        `cursor`: the id of a run; the answer goes on behind it, and is empty if there is no such run.
        `tags`: key to the value, or to several of which one must hold. `limit`: 1 to 10,000.
        """
        from .views import run_queries

        _check_limit(limit)
        query = run_queries.RunQuery(run_ids=run_ids, job_name=job_name, statuses=statuses, tags=tags)
        with self.views.asking("runs") as (connection, tables):
            if cursor is not None:
                at = run_queries.find(connection, tables, run_queries.RunQuery([cursor]), limit=1)
                if not at:
                    return []
                behind = at[0].storage_id
                query = query._replace(after=behind) if ascending else query._replace(before=behind)
            return run_queries.find(connection, tables, query, limit=limit, ascending=ascending)

    def get_runs_count(
        self,
        *,
        job_name: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> int:
        """How many runs meet all conditions; see `get_run_records`."""
        from .views import run_queries

        query = run_queries.RunQuery(job_name=job_name, statuses=statuses, tags=tags)
        with self.views.asking("runs") as (connection, tables):
            return run_queries.count(connection, tables, query)

    def get_run_steps(self, run_id: str, *, limit: int = LIMIT) -> list[StepRecord]:
        """The steps of a run, in the order in which they began. `limit`: 1 to 10,000."""
        from .views import steps

        _check_limit(limit)
        with self.views.asking("steps") as (connection, tables):
            return steps.of_run(connection, tables[steps.STEPS], run_id, limit=limit)

    get_run_step_stats = get_run_steps

    def logs(
        self, run_id: str, *, after_seq: int = 0, limit: int = LIMIT, types: Collection[str] | None = None
    ) -> ShardPage:
        """The events of a run, from the log itself, oldest first; see `EventLog.read_shard`."""
        return self._log.read_shard(run_id, after_seq=after_seq, limit=limit, types=types)

    # -- assets -------------------------------------------------------------------------------------------------

    def get_asset_keys(
        self, *, prefix: AssetLike | None = None, cursor: AssetLike | None = None, limit: int = LIMIT
    ) -> list[AssetKey]:
        """Keys of the assets of which something is known and not wiped, in the order of their text.

        `prefix`: only this key and those under it. `cursor`: a key; the answer goes on behind it.
        """
        from .views import asset_queries

        _check_limit(limit)
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.asset_keys(
                connection, tables, prefix=_key_or_none(prefix), after=_key_or_none(cursor), limit=limit
            )

    def get_asset_records(
        self,
        asset_keys: Iterable[AssetLike] | None = None,
        *,
        prefix: AssetLike | None = None,
        cursor: AssetLike | None = None,
        limit: int = LIMIT,
    ) -> list[AssetRecord]:
        """Assets with the latest of each thing that happened to them, as `get_asset_keys` lists them."""
        from .views import asset_queries

        _check_limit(limit)
        keys = None if asset_keys is None else [AssetKey.of(key) for key in asset_keys]
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.asset_records(
                connection, tables, keys=keys, prefix=_key_or_none(prefix), after=_key_or_none(cursor), limit=limit
            )

    def has_asset_key(self, asset_key: AssetLike) -> bool:
        """Whether anything is known of the asset that was not wiped."""
        from .views import asset_queries

        with self.views.asking("assets") as (connection, tables):
            return asset_queries.has_asset(connection, tables, AssetKey.of(asset_key))

    def get_latest_materialization_event(
        self, asset_key: AssetLike, *, partition: str | None = None
    ) -> EventRecord | None:
        """The latest materialization of an asset, or of one partition of it, whole and typed, from the log."""
        from .views import asset_queries

        with self.views.asking("assets") as (connection, tables):
            found = asset_queries.latest_materialization(connection, tables, AssetKey.of(asset_key), partition)
        if found is None:
            return None
        records = self._log.read_shard(found.shard, after_seq=found.seq - 1, limit=1).records
        return next((r._replace(position=found.position) for r in records if r.seq == found.seq), None)

    def get_materializations(
        self, asset_key: AssetLike, *, cursor: int | None = None, limit: int = LIMIT
    ) -> list[AssetEvent]:
        """The materializations of an asset, the newest first. `cursor`: a position; the answer goes on before it."""
        from .views import asset_queries

        _check_limit(limit)
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.materializations(
                connection, tables, AssetKey.of(asset_key), before=cursor, limit=limit
            )

    def get_asset_partitions(
        self,
        asset_key: AssetLike,
        *,
        statuses: Collection[str] | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> list[PartitionRecord]:
        """The partitions of an asset, by name. `statuses`: IN_PROGRESS, FAILED, MATERIALIZED, MISSING."""
        from .views import asset_queries

        _check_limit(limit)
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.partitions(
                connection, tables, AssetKey.of(asset_key), statuses=statuses, after=cursor, limit=limit
            )

    def get_asset_checks(
        self, asset_key: AssetLike, *, check_name: str | None = None, limit: int = LIMIT
    ) -> list[CheckRecord]:
        """Evaluations of the checks of an asset, the newest first."""
        from .views import checks

        _check_limit(limit)
        with self.views.asking("checks") as (connection, tables):
            return checks.of_asset(
                connection, tables[checks.CHECKS], AssetKey.of(asset_key), check_name=check_name, limit=limit
            )

    # -- upkeep -------------------------------------------------------------------------------------------------

    def rebuild(self, view: str | None = None, *, progress: Callable[[str, int, int], None] | None = None) -> int:
        """Fold a view, or all of them, anew from the log, and switch at once. The position that was reached.

        `progress`: called now and then with the view, the position reached and that of the head.
        """
        return self.views.rebuild(view, progress=progress)

    def verify(
        self, view: str | None = None, *, progress: Callable[[str, int, int], None] | None = None
    ) -> Verification:
        """Prove a view, or all of them, equal to the log. Writers go on. What was altered is named in the answer."""
        from .views.verify import verify

        return verify(self.views, view, progress=progress)

    def status(self) -> dict[str, Any]:
        """For people and metrics: the log's counts, its head, and where each view stands."""
        try:
            views: Sequence[ViewStatus] = self.views.status()
        except ReadOnlyError:  # opened for reading, and nothing is projected yet
            views = []
        return {
            "url": self._log.backend.url,
            "head": self._log.head().position,
            "log": self._log.stats(),
            "views": [view._asdict() for view in views],
        }

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


def asset_shard(asset_key: AssetKey) -> str:
    """The shard of an asset's events of no run: the same in every process, for ever."""
    number = int.from_bytes(blake2b(asset_key.to_text().encode(), digest_size=8).digest()) % ASSET_SHARDS
    return f"@asset-events/{number}"


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


def _key_or_none(key: AssetLike | None) -> AssetKey | None:
    return None if key is None else AssetKey.of(key)


def _check_limit(limit: int) -> None:
    if not 0 < limit <= LIMIT_MAX:
        raise UsageError(f"limit={limit} is out of range: 1 to {LIMIT_MAX:,}")
