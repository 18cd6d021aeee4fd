"""Snapshots: what a job and its plan looked like when a run was made of them. In `@instance`, once per content.

Kept: runs of years may share one.
"""

from __future__ import annotations

from typing import Any

from .event import Fact, Kind, Retention, Topic

__all__ = ["JobSnapshot", "PlanSnapshot"]


class JobSnapshot(Fact):
    """The structure of a job, as a plain document. Recorded by whoever creates the first run with it."""

    KIND = Kind("JOB_SNAPSHOT", Topic.RUN, Retention.KEPT)

    snapshot_id: str  #: derived from the content: the same document has the same id
    job_name: str
    document: dict[str, Any] = {}  #: None, bool, int, float, text, lists, dicts with text keys


class PlanSnapshot(Fact):
    """The steps of an execution plan and what they wait for. Recorded by whoever creates the first run with it."""

    KIND = Kind("PLAN_SNAPSHOT", Topic.RUN, Retention.KEPT)

    snapshot_id: str  #: derived from the content: the same document has the same id
    job_snapshot_id: str | None = None
    document: dict[str, Any] = {}  #: None, bool, int, float, text, lists, dicts with text keys
