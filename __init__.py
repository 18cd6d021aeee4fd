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
    "AssetCheckResult",
    "AssetCheckSpec",
    "AssetDep",
    "AssetIn",
    "AssetKey",
    "AssetOut",
    "AssetRecord",
    "AssetRecordsFilter",
    "AssetSpec",
    "ComputeLogManager",
    "Config",
    "ConfigurableClass",
    "ConfigurableClassData",
    "ConflictError",
    "CorruptLogError",
    "Cursor",
    "Definitions",
    "DynamicOut",
    "DynamicOutput",
    "EncodingError",
    "Event",
    "EventLog",
    "EventRecord",
    "EventRecordsFilter",
    "EventRecordsResult",
    "EventWriter",
    "ExecutionResult",
    "ExpectationResult",
    "Failure",
    "FileHandle",
    "FileManager",
    "FilesIOManager",
    "FoldlogError",
    "HistoryDiverged",
    "HookContext",
    "IOManager",
    "In",
    "InMemoryIOManager",
    "InitResourceContext",
    "InputContext",
    "Instance",
    "InstanceRef",
    "InstanceType",
    "JobBucket",
    "LocalArtifactStorage",
    "LocalFileHandle",
    "LogMoved",
    "MaterializeResult",
    "Nothing",
    "ObserveResult",
    "Out",
    "Output",
    "OutputContext",
    "Page",
    "Purged",
    "QueuedRunCoordinator",
    "ReadOnlyError",
    "Receipt",
    "RetryPolicy",
    "RetryRequested",
    "Run",
    "RunCoordinator",
    "RunLauncher",
    "RunRecord",
    "RunStatus",
    "RunStatusChangeRecordsFilter",
    "RunsFilter",
    "Scheduler",
    "Secret",
    "ShardPurged",
    "StepExecutionContext",
    "TagBucket",
    "UnavailableError",
    "UsageError",
    "UserCodeError",
    "ValueId",
    "ViewStopped",
    "asset",
    "asset_check",
    "define_asset_job",
    "events",
    "execute_job",
    "failure_hook",
    "graph",
    "job",
    "load_each",
    "materialize",
    "materialize_partitions",
    "moving",
    "multi_asset",
    "op",
    "open_log",
    "partitions",
    "reexecute_job",
    "register",
    "resource",
    "success_hook",
    "upcast",
    "user_code_error_boundary",
]

TYPE_CHECKING = False  # not imported from typing, which costs more than the rest of this file
if TYPE_CHECKING:
    from .engine import events
    from .engine.artifacts import ComputeLogManager, LocalArtifactStorage
    from .engine.artifacts.files import FileHandle, FileManager, LocalFileHandle
    from .engine.artifacts.io import (
        FilesIOManager,
        InMemoryIOManager,
        InputContext,
        IOManager,
        OutputContext,
        ValueId,
        load_each,
    )
    from .engine.config import ConfigurableClass, ConfigurableClassData
    from .engine.config.ref import InstanceRef, InstanceType
    from .engine.coordination import QueuedRunCoordinator, RunCoordinator, RunLauncher, Scheduler
    from .engine.definitions import partitions
    from .engine.definitions.asset_decorators import asset, asset_check
    from .engine.definitions.assets import AssetCheckSpec, AssetDep, AssetIn, AssetOut, AssetSpec
    from .engine.definitions.config_class import Config, Secret
    from .engine.definitions.definitions import Definitions, define_asset_job
    from .engine.definitions.graph_decorator import graph
    from .engine.definitions.hook import failure_hook, success_hook
    from .engine.definitions.inout import DynamicOut, DynamicOutput, ExpectationResult, In, Nothing, Out, Output
    from .engine.definitions.job import job
    from .engine.definitions.multi_asset import multi_asset
    from .engine.definitions.op import op
    from .engine.definitions.resource import resource
    from .engine.definitions.results import AssetCheckResult, MaterializeResult, ObserveResult
    from .engine.definitions.retry import Failure, RetryPolicy, RetryRequested
    from .engine.errors import (
        AppendKeyConflict,
        ConflictError,
        CorruptLogError,
        EncodingError,
        FoldlogError,
        HistoryDiverged,
        LogMoved,
        ReadOnlyError,
        ShardPurged,
        UnavailableError,
        UsageError,
        UserCodeError,
        ViewStopped,
    )
    from .engine.events.asset import AssetKey
    from .engine.events.event import Event
    from .engine.events.run import RunStatus
    from .engine.execute import execute_job, materialize, materialize_partitions, reexecute_job
    from .engine.execution.boundary import user_code_error_boundary
    from .engine.execution.contexts import HookContext, InitResourceContext, StepExecutionContext
    from .engine.execution.result import ExecutionResult
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
    from .migrations import moving
    from .serdes import register, upcast

#: where each public name is; tests/test_public_names.py holds it against the imports above
_HOME = {
    "ANY": ".engine.log.port",
    "NEW": ".engine.log.port",
    "AppendKeyConflict": ".engine.errors",
    "AssetCheckResult": ".engine.definitions.results",
    "AssetCheckSpec": ".engine.definitions.assets",
    "AssetDep": ".engine.definitions.assets",
    "AssetIn": ".engine.definitions.assets",
    "AssetKey": ".engine.events.asset",
    "AssetOut": ".engine.definitions.assets",
    "AssetRecord": ".engine.views.records",
    "AssetRecordsFilter": ".engine.views.filters",
    "AssetSpec": ".engine.definitions.assets",
    "ComputeLogManager": ".engine.artifacts",
    "Config": ".engine.definitions.config_class",
    "ConfigurableClass": ".engine.config",
    "ConfigurableClassData": ".engine.config",
    "ConflictError": ".engine.errors",
    "CorruptLogError": ".engine.errors",
    "Cursor": ".engine.log.cursor",
    "Definitions": ".engine.definitions.definitions",
    "DynamicOut": ".engine.definitions.inout",
    "DynamicOutput": ".engine.definitions.inout",
    "EncodingError": ".engine.errors",
    "Event": ".engine.events.event",
    "EventLog": ".engine.log.log",
    "EventRecord": ".engine.log.log",
    "EventRecordsFilter": ".engine.views.filters",
    "EventRecordsResult": ".engine.views.filters",
    "EventWriter": ".engine.log.writer",
    "ExecutionResult": ".engine.execution.result",
    "ExpectationResult": ".engine.definitions.inout",
    "Failure": ".engine.definitions.retry",
    "FileHandle": ".engine.artifacts.files",
    "FileManager": ".engine.artifacts.files",
    "FilesIOManager": ".engine.artifacts.io",
    "FoldlogError": ".engine.errors",
    "HistoryDiverged": ".engine.errors",
    "HookContext": ".engine.execution.contexts",
    "IOManager": ".engine.artifacts.io",
    "In": ".engine.definitions.inout",
    "InMemoryIOManager": ".engine.artifacts.io",
    "InitResourceContext": ".engine.execution.contexts",
    "InputContext": ".engine.artifacts.io",
    "Instance": ".engine.instance",
    "InstanceRef": ".engine.config.ref",
    "InstanceType": ".engine.config.ref",
    "JobBucket": ".engine.views.filters",
    "LocalArtifactStorage": ".engine.artifacts",
    "LocalFileHandle": ".engine.artifacts.files",
    "LogMoved": ".engine.errors",
    "MaterializeResult": ".engine.definitions.results",
    "Nothing": ".engine.definitions.inout",
    "ObserveResult": ".engine.definitions.results",
    "Out": ".engine.definitions.inout",
    "Output": ".engine.definitions.inout",
    "OutputContext": ".engine.artifacts.io",
    "Page": ".engine.log.log",
    "Purged": ".engine.log.log",
    "QueuedRunCoordinator": ".engine.coordination",
    "ReadOnlyError": ".engine.errors",
    "Receipt": ".engine.log.port",
    "RetryPolicy": ".engine.definitions.retry",
    "RetryRequested": ".engine.definitions.retry",
    "Run": ".engine.views.records",
    "RunCoordinator": ".engine.coordination",
    "RunLauncher": ".engine.coordination",
    "RunRecord": ".engine.views.records",
    "RunStatus": ".engine.events.run",
    "RunStatusChangeRecordsFilter": ".engine.views.filters",
    "RunsFilter": ".engine.views.filters",
    "Scheduler": ".engine.coordination",
    "Secret": ".engine.definitions.config_class",
    "ShardPurged": ".engine.errors",
    "StepExecutionContext": ".engine.execution.contexts",
    "TagBucket": ".engine.views.filters",
    "UnavailableError": ".engine.errors",
    "UsageError": ".engine.errors",
    "UserCodeError": ".engine.errors",
    "ValueId": ".engine.artifacts.io",
    "ViewStopped": ".engine.errors",
    "asset": ".engine.definitions.asset_decorators",
    "asset_check": ".engine.definitions.asset_decorators",
    "define_asset_job": ".engine.definitions.definitions",
    "events": ".engine",
    "execute_job": ".engine.execute",
    "failure_hook": ".engine.definitions.hook",
    "graph": ".engine.definitions.graph_decorator",
    "job": ".engine.definitions.job",
    "load_each": ".engine.artifacts.io",
    "materialize": ".engine.execute",
    "materialize_partitions": ".engine.execute",
    "moving": ".migrations",
    "multi_asset": ".engine.definitions.multi_asset",
    "op": ".engine.definitions.op",
    "open_log": ".engine.open",
    "partitions": ".engine.definitions",
    "reexecute_job": ".engine.execute",
    "register": ".serdes",
    "resource": ".engine.definitions.resource",
    "success_hook": ".engine.definitions.hook",
    "upcast": ".serdes",
    "user_code_error_boundary": ".engine.execution.boundary",
}

if not TYPE_CHECKING:  # a type checker that saw this would accept any name

    def __getattr__(name):
        """Load the module of a public name and keep the value, so that the next use costs a look-up."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        home = _HOME[name]
        if name in ("events", "moving", "partitions"):  # packages, which attributes name only after their import
            value = import_module(f"{home}.{name}", __name__)
        else:
            value = getattr(import_module(home, __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
