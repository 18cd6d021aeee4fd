"""The folder for what a deployment keeps on this machine.

BASE/RUN/compute_logs/   what the run's processes print
BASE/RUN/files/          what its steps keep
BASE/schedules~/         what schedules and sensors print
BASE/files~/             files of the file manager
BASE/values~/            values between steps
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..config.configurable import ConfigurableClass
from ..config.fields import Field, folder
from .names import file_name

FILES = "files"
COMPUTE_LOGS = "compute_logs"
FILES_OF_ALL = "files~"
SCHEDULES = "schedules~"  #: no run's folder is called so: `~` has a hash behind it there


class LocalArtifactStorage(ConfigurableClass):
    """Where files of runs lie on this machine. Any text is a safe name in it; folders are made by who writes."""

    def __init__(self, base_dir: str | Path) -> None:
        self._base = Path(base_dir).absolute()

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {"base_dir": folder(required=True)}

    @property
    def base_dir(self) -> Path:
        """The folder that all of it is in."""
        return self._base

    def run_folder(self, run_id: str) -> Path:
        """The folder of one run."""
        return self._base / file_name(run_id)

    def path(self, run_id: str, *names: str) -> Path:
        """The place of a file of a run: `path(run_id, step_key, "model.bin")`. Raises UsageError for an empty name."""
        return self.run_folder(run_id).joinpath(FILES, *map(file_name, names))

    def compute_logs_folder(self, run_id: str) -> Path:
        """The folder of what the run's processes print, unless a compute log manager keeps it elsewhere."""
        return self.run_folder(run_id) / COMPUTE_LOGS

    def schedule_folder(self, schedule: str) -> Path:
        """The folder of what a schedule or a sensor prints."""
        return self._base / SCHEDULES / file_name(schedule)

    def __repr__(self) -> str:
        return f"<LocalArtifactStorage {self._base}>"
