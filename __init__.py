"""foldlog: an event-sourced storage engine for data orchestration.

    with foldlog.open_log("sqlite:///./history") as log:
        log.append("run-1", [foldlog.Event.now(foldlog.events.RunStarted())])

Promises: importing foldlog loads nothing but this file; a public name loads its module when it is first used.
Public is what `__all__` lists, here, in `foldlog.events` (the kinds of facts) and in `foldlog.testing` (the suite that
a backend must pass). Not here: anything that runs at import.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "NEW",
    "AppendKeyConflict",
    "AssetKey",
    "AssetRecord",
    "AssetRecordsFilter",
    "ComputeLogManager",
    "ConfigurableClass",
    "ConfigurableClassData",
    "ConflictError",
    "CorruptLogError",
    "Cursor",
    "EncodingError",
    "Event",
    "EventLog",
    "EventRecord",
    "EventRecordsFilter",
    "EventRecordsResult",
    "EventWriter",
    "FoldlogError",
    "HistoryDiverged",
    "Instance",
    "InstanceRef",
    "InstanceType",
    "JobBucket",
    "LocalArtifactStorage",
    "Page",
    "Purged",
    "QueuedRunCoordinator",
    "ReadOnlyError",
    "Receipt",
    "Run",
    "RunCoordinator",
    "RunLauncher",
    "RunRecord",
    "RunStatus",
    "RunStatusChangeRecordsFilter",
    "RunsFilter",
    "Scheduler",
    "ShardPurged",
    "TagBucket",
    "UnavailableError",
    "UsageError",
    "ViewStopped",
    "events",
    "open_log",
    "register",
    "upcast",
]

TYPE_CHECKING = False  # not imported from typing, which costs more than the rest of this file
if TYPE_CHECKING:
    from .engine import events
    from .engine.artifacts import ComputeLogManager, LocalArtifactStorage
    from .engine.config import ConfigurableClass, ConfigurableClassData
    from .engine.config.ref import InstanceRef, InstanceType
    from .engine.coordination import QueuedRunCoordinator, RunCoordinator, RunLauncher, Scheduler
    from .engine.errors import (
        AppendKeyConflict,
        ConflictError,
        CorruptLogError,
        EncodingError,
        FoldlogError,
        HistoryDiverged,
        ReadOnlyError,
        ShardPurged,
        UnavailableError,
        UsageError,
        ViewStopped,
    )
    from .engine.events.asset import AssetKey
    from .engine.events.event import Event
    from .engine.events.run import RunStatus
    from .engine.instance import Instance
    from .engine.log.cursor import Cursor
    from .engine.log.log import EventLog, EventRecord, Page, Purged
    from .engine.log.port import ANY, NEW, Receipt
    from .engine.log.writer import EventWriter
    from .engine.open import open_log
    from .engine.views.filters import (
        AssetRecordsFilter,
        EventRecordsFilter,
        EventRecordsResult,
        JobBucket,
        RunsFilter,
        RunStatusChangeRecordsFilter,
        TagBucket,
    )
    from .engine.views.records import AssetRecord, Run, RunRecord
    from .serdes import register, upcast

#: where each public name is; tests/test_public_names.py holds it against the imports above
_HOME = {
    "ANY": ".engine.log.port",
    "NEW": ".engine.log.port",
    "AppendKeyConflict": ".engine.errors",
    "AssetKey": ".engine.events.asset",
    "AssetRecord": ".engine.views.records",
    "AssetRecordsFilter": ".engine.views.filters",
    "ComputeLogManager": ".engine.artifacts",
    "ConfigurableClass": ".engine.config",
    "ConfigurableClassData": ".engine.config",
    "ConflictError": ".engine.errors",
    "CorruptLogError": ".engine.errors",
    "Cursor": ".engine.log.cursor",
    "EncodingError": ".engine.errors",
    "Event": ".engine.events.event",
    "EventLog": ".engine.log.log",
    "EventRecord": ".engine.log.log",
    "EventRecordsFilter": ".engine.views.filters",
    "EventRecordsResult": ".engine.views.filters",
    "EventWriter": ".engine.log.writer",
    "FoldlogError": ".engine.errors",
    "HistoryDiverged": ".engine.errors",
    "Instance": ".engine.instance",
    "InstanceRef": ".engine.config.ref",
    "InstanceType": ".engine.config.ref",
    "JobBucket": ".engine.views.filters",
    "LocalArtifactStorage": ".engine.artifacts",
    "Page": ".engine.log.log",
    "Purged": ".engine.log.log",
    "QueuedRunCoordinator": ".engine.coordination",
    "ReadOnlyError": ".engine.errors",
    "Receipt": ".engine.log.port",
    "Run": ".engine.views.records",
    "RunCoordinator": ".engine.coordination",
    "RunLauncher": ".engine.coordination",
    "RunRecord": ".engine.views.records",
    "RunStatus": ".engine.events.run",
    "RunStatusChangeRecordsFilter": ".engine.views.filters",
    "RunsFilter": ".engine.views.filters",
    "Scheduler": ".engine.coordination",
    "ShardPurged": ".engine.errors",
    "TagBucket": ".engine.views.filters",
    "UnavailableError": ".engine.errors",
    "UsageError": ".engine.errors",
    "ViewStopped": ".engine.errors",
    "events": ".engine",
    "open_log": ".engine.open",
    "register": ".serdes",
    "upcast": ".serdes",
}

if not TYPE_CHECKING:  # a type checker that saw this would accept any name

    def __getattr__(name):
        """Load the module of a public name and keep the value, so that the next use costs a look-up."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        home = _HOME[name]
        if name == "events":  # a package, which an attribute of `engine` names only after its import
            value = import_module(f"{home}.{name}", __name__)
        else:
            value = getattr(import_module(home, __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
