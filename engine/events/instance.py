"""What concerns the deployment as a whole. In `@instance` and `@daemon`."""

from __future__ import annotations

from typing import Any

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Retention, Topic
from .key import AssetKey

__all__ = ["AutomationEvaluated", "DaemonFailed", "DaemonStarted", "DaemonStopped", "ValuesSet"]


class ValuesSet(Fact):
    """Named cursors of programs were set: small text that must outlive them. Recorded by those programs."""

    KIND = Kind("VALUES_SET", Topic.SCHEDULE, Retention.KEPT)

    values: dict[str, str | None]  #: None takes the name away


class DaemonStarted(Fact):
    """A daemon took up its work under a new lease. Recorded by that daemon. Heartbeats are no history."""

    KIND = Kind("DAEMON_STARTED", Topic.LOG, Retention.TICK)

    daemon: str  #: `SENSOR`, `SCHEDULER`, `BACKFILL`, `QUEUED_RUN_COORDINATOR`, ...
    process: str | None = None  #: host and process id, for people
    token: int | None = None  #: fencing token of its lease


class DaemonStopped(Fact):
    """A daemon laid its work down in good order. Recorded by that daemon."""

    KIND = Kind("DAEMON_STOPPED", Topic.LOG, Retention.TICK)

    daemon: str
    process: str | None = None
    token: int | None = None


class DaemonFailed(Fact):
    """An iteration of a daemon raised; it goes on with the next. Recorded by that daemon."""

    KIND = Kind("DAEMON_FAILED", Topic.LOG, Retention.TICK)

    daemon: str
    error: ErrorInfo | None = None


class AutomationEvaluated(Fact):
    """Conditions of an asset were evaluated, and asked for something. Recorded by the automation daemon."""

    KIND = Kind("AUTOMATION_EVALUATED", Topic.ASSET, Retention.TICK)

    asset_key: AssetKey
    evaluation_id: int
    requested_partitions: tuple[str, ...] | None = None  #: None: the asset has no partitions
    document: dict[str, Any] = {}  #: the tree of conditions, as plain values
