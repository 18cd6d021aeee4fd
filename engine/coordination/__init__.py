"""Who decides when a run starts, who starts its worker, who watches the clock."""

from .coordinator import DefaultRunCoordinator, RunCoordinator
from .launcher import RunLauncher, WorkerHealth, WorkerStatus
from .process_launcher import ProcessRunLauncher
from .queued import QueuedRunCoordinator
from .scheduler import DaemonScheduler, Scheduler

__all__ = [
    "DaemonScheduler",
    "DefaultRunCoordinator",
    "ProcessRunLauncher",
    "QueuedRunCoordinator",
    "RunCoordinator",
    "RunLauncher",
    "Scheduler",
    "WorkerHealth",
    "WorkerStatus",
]
