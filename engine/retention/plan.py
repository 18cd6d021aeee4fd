"""What a policy comes to at a moment: which runs, which facts, how many events and bytes. Changes nothing.

Promises: bounded memory, whatever the size of the log; a plan takes a limited number of runs and says if there are
more. Weights are of the log as it stands: a log line of a run that is to be deleted counts in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import UsageError
from ..events.event import Retention
from ..events.run import RunStatus
from ..log.log import EventLog
from ..log.names import is_system_shard
from ..log.port import Weight
from ..views import run_queries
from ..views.filters import RunsFilter
from ..views.records import RunRecord
from .age import last_position_before
from .policy import FINISHED, RetentionPolicy, RunRule
from .pools import POOLS, Deployment, trim_limit

RUNS = 1000  #: runs of one plan, unless asked otherwise
RUNS_MAX = 10_000
PAGE = 1000


class PlannedRun(NamedTuple):
    """A run that goes."""

    run_id: str
    job_name: str
    status: RunStatus
    ended_us: int
    events: int  #: whose bodies go; facts that are kept do not count
    bytes: int


class PlannedTrim(NamedTuple):
    """Facts of one class that go: `EventLog.trim` with these terms."""

    retention: Retention
    through_position: int
    shard: str | None
    events: int
    bytes: int


class RetentionPlan(NamedTuple):
    """What goes."""

    now_us: int  #: the moment that ages are counted from
    keep_assets: bool  #: of the runs
    runs: tuple[PlannedRun, ...]
    more: bool  #: whether more runs may go than this plan has taken
    trims: tuple[PlannedTrim, ...]

    @property
    def by_class(self) -> dict[str, Weight]:
        """Events and bytes, for `runs`, `log_messages` and `ticks`."""
        parts = {"runs": list[Weight](), "log_messages": list[Weight](), "ticks": list[Weight]()}
        parts["runs"] += [Weight(run.events, run.bytes) for run in self.runs]
        for trim in self.trims:
            name = "log_messages" if trim.retention is Retention.LOG else "ticks"
            parts[name].append(Weight(trim.events, trim.bytes))
        return {name: Weight(sum(w.events for w in some), sum(w.bytes for w in some)) for name, some in parts.items()}


def plan(instance: Deployment, policy: RetentionPolicy, now_us: int, *, limit: int = RUNS) -> RetentionPlan:
    """What the policy comes to at a moment, in microseconds since 1970-01-01 UTC.

    `limit`: how many runs it takes, the earliest created first; 1 to 10,000. Raises UsageError for another limit.
    """
    if type(limit) is not int or not 0 < limit <= RUNS_MAX:
        raise UsageError(f"limit={limit} is out of range: 1 to {RUNS_MAX:,}")
    runs = _runs(instance, policy.runs, now_us, limit + 1) if policy.runs else []
    keep = policy.runs is None or policy.runs.keep_assets
    return RetentionPlan(
        now_us=now_us,
        keep_assets=keep,
        runs=tuple(_weighed(instance.log, run, keep) for run in runs[:limit]),
        more=len(runs) > limit,
        trims=tuple(_trims(instance, policy, now_us)),
    )


def _runs(instance: Deployment, rule: RunRule, now_us: int, limit: int) -> list[RunRecord]:
    over = RunsFilter(statuses=rule.statuses or FINISHED, ended_before_us=rule.cutoff_us(now_us))
    with instance.views.answering("runs") as ask:
        return run_queries.find(ask, instance.log, over, ascending=True, limit=limit)


def _weighed(log: EventLog, record: RunRecord, keep_assets: bool) -> PlannedRun:
    run = record.run
    weights = [
        weight
        for retention, weight in log.weigh(shard=run.run_id).items()
        if not (keep_assets and retention is Retention.KEPT)
    ]
    events, size = sum(one.events for one in weights), sum(one.bytes for one in weights)
    return PlannedRun(run.run_id, run.job_name, run.status, record.ended_us or 0, events, size)


def _trims(instance: Deployment, policy: RetentionPolicy, now_us: int) -> Iterator[PlannedTrim]:
    log = instance.log
    if policy.log_messages is not None:
        through = last_position_before(log, policy.log_messages.cutoff_us(now_us))
        yield from _trim(log, Retention.LOG, through, None)
    if policy.ticks is not None:
        through = last_position_before(log, policy.ticks.cutoff_us(now_us))
        for shard in _system_shards(log):
            reach = trim_limit(instance, through) if shard == POOLS else through
            yield from _trim(log, Retention.TICK, reach, shard)


def _trim(log: EventLog, retention: Retention, through: int, shard: str | None) -> Iterator[PlannedTrim]:
    if through > 0:
        weight = log.weigh(retention, through_position=through, shard=shard).get(retention)
        if weight is not None:
            yield PlannedTrim(retention, through, shard, weight.events, weight.bytes)


def _system_shards(log: EventLog) -> Iterator[str]:
    after = "@"
    while True:
        page = [shard.name for shard in log.shards(after=after, limit=PAGE)]
        yield from (name for name in page if is_system_shard(name))
        if len(page) < PAGE or not is_system_shard(page[-1]):
            return
        after = page[-1]
