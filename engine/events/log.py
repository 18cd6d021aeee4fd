"""What programs say while they work: log lines, notes of the engine, captured output. Chatter: may go by age."""

from __future__ import annotations

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Retention, Topic
from .metadata import MetadataValue

__all__ = ["EngineEvent", "ErrorInfo", "LogMessage", "LogsCaptured"]


class LogMessage(Fact):
    """A line of a log. Recorded by the process whose logger took it; the step is in the envelope."""

    KIND = Kind("LOG_MESSAGE", Topic.LOG, Retention.LOG)

    text: str
    level: int = 20  #: as the standard logging levels: 10 debug ... 50 critical
    logger: str | None = None
    error: ErrorInfo | None = None


class EngineEvent(Fact):
    """A note of the engine on its own work, for people. No view may depend on one."""

    KIND = Kind("ENGINE_EVENT", Topic.LOG, Retention.LOG)

    text: str = ""
    metadata: dict[str, MetadataValue] = {}
    error: ErrorInfo | None = None
    marker_start: str | None = None  #: begins a stretch of this name, to be timed
    marker_end: str | None = None  #: ends it


class LogsCaptured(Fact):
    """The output of steps is being captured, and this is where. Recorded by the process that is captured."""

    KIND = Kind("LOGS_CAPTURED", Topic.LOG | Topic.STEP, Retention.LOG)

    file_key: str  #: with the run id, the key under which the compute log manager keeps the output
    step_keys: tuple[str, ...] = ()
    attempt: int = 1
    stdout_uri: str | None = None  #: where people find it, if not through the manager
    stderr_uri: str | None = None
    log_manager: str | None = None
