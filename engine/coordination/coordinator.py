"""Coordinators decide when a run that was asked for is launched."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..events.event import Fact
from ..events.run import RunCanceled, RunCanceling, RunStatus
from .part import InstancePart
from .transition import existing, transition

if TYPE_CHECKING:
    from ..views.records import Run

logger = logging.getLogger("foldlog.coordination")

WAITING = (RunStatus.QUEUED, RunStatus.NOT_STARTED)


class RunCoordinator(InstancePart, ABC):
    """Takes runs that were created, and sees that each is launched once."""

    @abstractmethod
    def submit_run(self, run_id: str) -> Run:
        """Take the run in. One that is not NOT_STARTED was taken in before: it is returned as it is, with a warning.

        Raises UsageError if there is no such run.
        """

    def cancel_run(self, run_id: str) -> bool:
        """Stop the run. One that has no worker yet is canceled at once; else its worker is asked to stop. One that was
        executed by a call, without a launcher, finds what is recorded here when its next step begins.

        False if it is over. Raises UsageError if there is no such run, or no launcher to ask its worker by.
        """

        def canceling(run: Run) -> Sequence[Fact]:
            if run.status in WAITING:
                return [RunCanceling(), RunCanceled()]
            if run.is_finished or run.status is RunStatus.CANCELING:
                return []
            if not self._finds_out(run):
                self.instance.run_launcher  # noqa: B018  # raises if there is none, before anything is recorded
            return [RunCanceling()]

        recorded = transition(self.instance, run_id, canceling)
        run = existing(self.instance, run_id)
        if run.is_finished:
            return recorded
        if self._finds_out(run):
            return True
        if not self.instance.run_launcher.terminate(run_id):
            logger.warning("run %s is to stop, but no worker of it could be asked", run_id)
        return True

    def _finds_out(self, run: Run) -> bool:
        """Whether its worker looks by itself for what others record: it executes a plan, and nobody launched it. A
        program that only reports what it does never looks."""
        launched = self.instance.log.read_shard(run.run_id, types=["RUN_LAUNCHED", "RUN_STARTING"], limit=1).records
        return run.plan_snapshot_id is not None and not launched


class DefaultRunCoordinator(RunCoordinator):
    """Launches each run at once."""

    def submit_run(self, run_id: str) -> Run:
        run = existing(self.instance, run_id)
        if run.status is not RunStatus.NOT_STARTED:
            warn_of_second(run)
            return run
        return self.instance.launch_run(run_id)


def warn_of_second(run: Run) -> None:
    """Say that the run was submitted before."""
    logger.warning("run %s is %s: it was submitted before, and is left as it is", run.run_id, run.status)
