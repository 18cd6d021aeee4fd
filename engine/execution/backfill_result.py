"""What a backfill came to, and who is told on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..events.run import RunStatus
from ..reporting.recorder import Listener
from .in_process import StepReport
from .result import ExecutionResult


class RunError(NamedTuple):
    """What a step failed with, in short."""

    error_class: str
    error_message: str

    def __str__(self) -> str:
        name = self.error_class.rpartition(".")[2]
        return f"{name}: {self.error_message}" if self.error_message else name


@dataclass(frozen=True, kw_only=True)
class PartitionRun:
    """What became of one partition. It holds no value and no traceback: a backfill may have many."""

    partition: str
    run_id: str
    status: RunStatus
    seconds: float
    errors: Mapping[str, RunError] = field(default_factory=dict)  #: by the key of the step that failed; "": of the run


@dataclass(frozen=True, kw_only=True)
class BackfillResult:
    """What a backfill came to."""

    backfill_id: str
    runs: tuple[PartitionRun, ...]  #: in the order in which they were executed
    left: tuple[str, ...] = ()  #: partitions that no run was created for, since it was stopped

    @property
    def success(self) -> bool:
        """Whether every partition was made."""
        return not self.left and not self.failed_partitions

    @property
    def failed_partitions(self) -> tuple[str, ...]:
        return tuple(one.partition for one in self.runs if one.status is not RunStatus.SUCCESS)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told of the runs of a backfill."""

    recorded: Callable[[str], None] | None = None  #: with the id of the backfill, when that is in the log
    begun: Callable[[str, str, int], None] | None = None  #: with partition, run id and number of the run, from 1
    ended: Callable[[PartitionRun, ExecutionResult | None], None] | None = None  #: None: somebody else ended the run
    report: StepReport | None = None  #: as of `execute_job`
    listener: Listener | None = None


NOBODY = Watch()
