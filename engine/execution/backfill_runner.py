"""Executes the runs of a backfill, one after the other.

Promises: a run's id is in the backfill's log before the run is created, so a kill leaves none that nobody knows of;
whatever ends it short of a kill, its end is recorded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from ..definitions.job import JobDefinition
from ..errors import FoldlogError, UserCodeError
from ..events.backfill import (
    BackfillCanceled,
    BackfillCanceling,
    BackfillCompleted,
    BackfillFailed,
    BackfillProgressed,
)
from ..events.errorinfo import ErrorInfo
from ..events.event import Fact
from ..events.run import RunStatus
from ..events.tags import BACKFILL_TAG
from ..log.names import INSTANCE_SHARD
from ..reporting import interrupts
from ..reporting.recorder import Recorder
from .backfill_result import BackfillResult, PartitionRun, RunError, Watch
from .backfill_state import IDLE, at_work_on, worker_text
from .deployment import Deployment
from .interruption import RunInterrupted, Terminated, interrupts_held
from .requests import ExecutionRequest, execute
from .result import ExecutionResult

logger = logging.getLogger("foldlog.execution")


class BackfillRunner:
    """One backfill, as far as this process executes it."""

    def __init__(
        self,
        instance: Deployment,
        job: JobDefinition,
        backfill_id: str,
        wanted: ExecutionRequest,
        watch: Watch,
        *,
        after: int,
    ) -> None:
        self._instance = instance
        self._job = job
        self._id = backfill_id
        self._wanted = replace(wanted, own_tags={**wanted.own_tags, BACKFILL_TAG: backfill_id})
        self._watch = watch
        self._recorder = Recorder(instance.log, instance.writer, INSTANCE_SHARD, job.name)
        self._looked = after  #: seq in the shard of backfills up to which was looked for a request to cancel
        self._runs: list[PartitionRun] = []
        self._worker = worker_text()

    def execute(self, keys: Sequence[str], stop_on_failure: bool) -> BackfillResult:
        """Execute its runs, and record its end."""
        if self._watch.recorded is not None:
            self._watch.recorded(self._id)
        with at_work_on(self._id):
            try:
                return self._execute(keys, stop_on_failure)
            except BaseException as error:
                # A second Ctrl-C waits for the one append that this takes; who insists is let out.
                with interrupts_held(), interrupts.shielded():
                    self._broken(error)
                raise

    def _execute(self, keys: Sequence[str], stop_on_failure: bool) -> BackfillResult:
        for number, key in enumerate(keys, 1):
            if self._is_canceled():
                self._end(BackfillCanceled(backfill_id=self._id))
                return self._result(keys[number - 1 :])
            self._make(key, number)
            if stop_on_failure and self._runs[-1].status is not RunStatus.SUCCESS and number < len(keys):
                self._stopped(key, len(keys) - number)
                return self._result(keys[number:])
        result = self._result(())
        self._end(BackfillCompleted(backfill_id=self._id, failed_partitions=result.failed_partitions))
        return result

    def _end(self, *facts: Fact) -> None:
        idle = BackfillProgressed(backfill_id=self._id, cursor=IDLE)
        self._recorder.record([idle, *facts])

    def _make(self, key: str, number: int) -> None:
        run_id = str(uuid4())
        progress = BackfillProgressed(backfill_id=self._id, run_ids=(run_id,), partitions=(key,), cursor=self._worker)
        self._recorder.record([progress])
        if self._watch.begun is not None:
            self._watch.begun(key, run_id, number)
        since = time.monotonic()
        result: ExecutionResult | RunStatus
        try:
            result = execute(
                self._instance,
                self._job,
                replace(self._wanted, partition_key=key, run_id=run_id),
                raise_on_error=False,
                report=self._watch.report,
                listener=self._watch.listener,
            )
        except RunInterrupted as interrupt:
            if isinstance(interrupt, Terminated):
                raise
            # Somebody has ended or canceled this run, and not the backfill: it counts as one that failed.
            over = interrupt.status is not None and interrupt.status.is_finished
            result = interrupt.status if over and interrupt.status is not None else RunStatus.CANCELED
        self._ended(key, run_id, result, time.monotonic() - since)

    def _ended(self, key: str, run_id: str, result: ExecutionResult | RunStatus, seconds: float) -> None:
        """`result`: of a run that somebody else has ended, the status alone."""
        known = result if isinstance(result, ExecutionResult) else None
        errors = {step: _in_short(one) for step, one in known.step_errors.items()} if known is not None else {}
        if known is not None and known.error is not None and not errors:
            errors = {"": _in_short(known.error)}
        status = result.status if isinstance(result, ExecutionResult) else result
        run = PartitionRun(partition=key, run_id=run_id, status=status, seconds=seconds, errors=errors)
        self._runs.append(run)
        if self._watch.ended is not None:
            self._watch.ended(run, known)

    def _is_canceled(self) -> bool:
        """Whether somebody has asked that it stop."""
        last = self._recorder.last_seq  # recorded by now, so it is among what is read
        while records := self._instance.log.read_shard(
            INSTANCE_SHARD, after_seq=self._looked, types=["BACKFILL_CANCELING"], limit=100
        ).records:
            self._looked = records[-1].seq
            if any(record.event.fact.backfill_id == self._id for record in records):
                return True
        self._looked = max(self._looked, last)  # else the whole backfill is read between any two runs
        return False

    def _stopped(self, key: str, left: int) -> None:
        info = ErrorInfo(
            class_name="RunFailed", message=f"the run of partition {key} failed; {left} behind it are not made"
        )
        self._end(BackfillFailed(backfill_id=self._id, error=info))

    def _broken(self, error: BaseException) -> None:
        """Record what ends it from outside: an interrupt, or an error of the engine. Of what keeps that from being
        recorded there is a warning: what ends it is what the caller is to see."""
        try:
            if isinstance(error, KeyboardInterrupt):
                self._end(BackfillCanceling(backfill_id=self._id), BackfillCanceled(backfill_id=self._id))
            else:
                self._end(BackfillFailed(backfill_id=self._id, error=ErrorInfo.from_exception(error)))
        except FoldlogError as trouble:
            logger.warning("backfill %s: its end could not be recorded: %s", self._id, trouble)

    def _result(self, left: Sequence[str]) -> BackfillResult:
        return BackfillResult(backfill_id=self._id, runs=tuple(self._runs), left=tuple(left))


def _in_short(error: BaseException) -> RunError:
    own = error.__cause__ if type(error) is UserCodeError and error.__cause__ is not None else error
    info = ErrorInfo.from_exception(own, max_causes=0)
    return RunError(info.class_name, info.message)
