"""Files of a deployment: what steps print, and what they keep on this machine."""

from .compute_logs import ComputeLogManager, LogData, LogMetadata
from .local_logs import LocalComputeLogManager
from .no_logs import NoOpComputeLogManager
from .storage import LocalArtifactStorage

__all__ = [
    "ComputeLogManager",
    "LocalArtifactStorage",
    "LocalComputeLogManager",
    "LogData",
    "LogMetadata",
    "NoOpComputeLogManager",
]
