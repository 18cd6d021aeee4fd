"""Which runs, events and assets a question is about. Plain values, checked when they are made.

All conditions of a filter hold at once; what is None does not matter. Times are integer microseconds UTC, storage ids
are positions, and both ends of a range are exclusive. A field or value that cannot be raises UsageError and says what
can.
Not here: how they are answered (run_queries.py, asset_queries.py, engine/facade/events.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from ..errors import UsageError
from ..events.key import AssetKey, AssetLike
from ..events.run import RunStatus

if TYPE_CHECKING:
    from ..log.log import EventRecord

MOST = 10_000  #: values that one condition may list
STATUS_TYPES = (
    "RUN_ENQUEUED",
    "RUN_STARTING",
    "RUN_START",
    "RUN_RESUMED",
    "RUN_SUSPENDED",
    "RUN_CANCELING",
    "RUN_SUCCESS",
    "RUN_FAILURE",
    "RUN_CANCELED",
)  #: kinds of facts that may change a run's status after its creation


class _Checked:
    """A filter refuses a field that it does not have, by name."""

    def __new__(cls, *args: Any, **given: Any) -> Self:
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # every filter is a dataclass
        if unknown := sorted(given.keys() - set(known)):
            raise UsageError(f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(known)}")
        return object.__new__(cls)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _texts(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, str) or not isinstance(value, Collection):
                self._refuse(name, value, "a list of texts")
            if not all(isinstance(one, str) for one in value) or len(value) > MOST:
                self._refuse(name, value, f"at most {MOST:,} texts")
            self._set(name, tuple(dict.fromkeys(value)))

    def _text(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                self._refuse(name, value, "a text")

    def _numbers(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not -(2**63) < value < 2**63):
                self._refuse(name, value, "microseconds" if name.endswith("_us") else "a position, an integer")

    def _ids(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, str) or not isinstance(value, Collection) or len(value) > MOST:
            self._refuse(name, value, f"at most {MOST:,} positions")
        if not all(type(one) is int and 0 < one < 2**63 for one in value):
            self._refuse(name, value, "positions, integers from 1")
        self._set(name, tuple(dict.fromkeys(value)))

    def _tags(self, name: str = "tags") -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not isinstance(value, Mapping):
            self._refuse(name, value, "a mapping of keys to a value, or to several of which one holds")
        for key, one in value.items():
            some = [one] if isinstance(one, str) else list(one) if isinstance(one, Collection) else [None]
            if not isinstance(key, str) or not all(isinstance(text, str) for text in some):
                self._refuse(name, value, "texts as keys and values")

    def _asset(self) -> None:
        value: AssetLike | None = getattr(self, "asset_key", None)
        if value is not None:
            self._set("asset_key", AssetKey.of(value))

    def _refuse(self, name: str, value: Any, allowed: str) -> None:
        raise UsageError(f"{type(self).__name__}: {name}={value!r} is not {allowed}")


@dataclass(frozen=True, kw_only=True)
class RunsFilter(_Checked):
    """Which runs."""

    run_ids: Collection[str] | None = None
    job_name: str | None = None
    statuses: Collection[RunStatus | str] | None = None
    tags: Mapping[str, str | Collection[str]] | None = None  #: key to the value, or to several of which one must hold
    snapshot_id: str | None = None  #: of the job
    updated_after_us: int | None = None  #: by the time of the last event of the run's life
    updated_before_us: int | None = None
    created_after_us: int | None = None
    created_before_us: int | None = None
    ended_after_us: int | None = None
    ended_before_us: int | None = None
    exclude_subruns: bool = False  #: leave out the runs of backfills, by their tag `foldlog/backfill`

    def __post_init__(self) -> None:
        self._texts("run_ids")
        self._text("job_name", "snapshot_id")
        self._tags()
        self._numbers("updated_after_us", "updated_before_us", "created_after_us", "created_before_us")
        self._numbers("ended_after_us", "ended_before_us")
        if self.statuses is not None:
            self._set("statuses", _statuses(self.statuses))


@dataclass(frozen=True, kw_only=True)
class EventRecordsFilter(_Checked):
    """Which events, of one type."""

    event_type: str
    asset_key: AssetLike | None = None  #: only for types of assets and checks; so are partitions and tags
    asset_partitions: Collection[str] | None = None
    after_cursor: int | None = None  #: a position
    before_cursor: int | None = None
    after_timestamp_us: int | None = None
    before_timestamp_us: int | None = None
    storage_ids: Collection[int] | None = None
    tags: Mapping[str, str | Collection[str]] | None = None  #: of the fact itself

    def __post_init__(self) -> None:
        if not isinstance(self.event_type, str) or not self.event_type:
            self._refuse("event_type", self.event_type, "the name of a type, as 'STEP_FAILURE'")
        self._asset()
        self._texts("asset_partitions")
        self._numbers("after_cursor", "before_cursor", "after_timestamp_us", "before_timestamp_us")
        self._ids("storage_ids")
        self._tags()


@dataclass(frozen=True, kw_only=True)
class AssetRecordsFilter(_Checked):
    """Which events of one asset."""

    asset_key: AssetLike
    asset_partitions: Collection[str] | None = None
    after_storage_id: int | None = None
    before_storage_id: int | None = None
    after_timestamp_us: int | None = None
    before_timestamp_us: int | None = None
    storage_ids: Collection[int] | None = None
    tags: Mapping[str, str | Collection[str]] | None = None  #: of the fact itself

    def __post_init__(self) -> None:
        self._asset()
        self._texts("asset_partitions")
        self._numbers("after_storage_id", "before_storage_id", "after_timestamp_us", "before_timestamp_us")
        self._ids("storage_ids")
        self._tags()


@dataclass(frozen=True, kw_only=True)
class RunStatusChangeRecordsFilter(_Checked):
    """Which changes of the status of runs, of one type."""

    event_type: str  #: RUN_ENQUEUED, RUN_START, RUN_SUCCESS and the like
    after_storage_id: int | None = None
    before_storage_id: int | None = None
    after_timestamp_us: int | None = None
    before_timestamp_us: int | None = None
    storage_ids: Collection[int] | None = None
    job_names: Collection[str] | None = None

    def __post_init__(self) -> None:
        if self.event_type not in STATUS_TYPES:
            self._refuse("event_type", self.event_type, f"one of {', '.join(STATUS_TYPES)}")
        self._numbers("after_storage_id", "before_storage_id", "after_timestamp_us", "before_timestamp_us")
        self._ids("storage_ids")
        self._texts("job_names")


@dataclass(frozen=True, kw_only=True)
class JobBucket(_Checked):
    """The newest runs of each of some jobs."""

    job_names: Collection[str]
    bucket_limit: int  #: runs of each job, at most

    def __post_init__(self) -> None:
        self._texts("job_names")
        _check_bucket(self, self.job_names)


@dataclass(frozen=True, kw_only=True)
class TagBucket(_Checked):
    """The newest runs with each of some values of a tag."""

    tag_key: str
    tag_values: Collection[str]
    bucket_limit: int  #: runs with each value, at most

    def __post_init__(self) -> None:
        self._text("tag_key")
        self._texts("tag_values")
        _check_bucket(self, self.tag_values)


@dataclass(frozen=True, slots=True)
class EventRecordsResult:
    """A page of events."""

    records: Sequence[EventRecord]
    cursor: str  #: hand it back to go on behind the last record; opaque, but the text of an integer
    has_more: bool


def _check_bucket(bucket: JobBucket | TagBucket, names: Collection[str]) -> None:
    most = MOST // max(len(names), 1)
    if type(bucket.bucket_limit) is not int or not 0 < bucket.bucket_limit <= most:
        bucket._refuse("bucket_limit", bucket.bucket_limit, f"1 to {most:,}; all buckets together hold {MOST:,} runs")


def _statuses(given: Iterable[RunStatus | str]) -> tuple[RunStatus, ...]:
    try:
        if isinstance(given, str):
            raise ValueError
        return tuple(dict.fromkeys(RunStatus(one) for one in given))
    except ValueError:
        allowed = ", ".join(RunStatus)
        raise UsageError(f"RunsFilter: statuses={given!r} is not a list of statuses, which are {allowed}") from None
