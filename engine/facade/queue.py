"""The queue of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import LIMIT, Facade, check_limit

if TYPE_CHECKING:
    from ..views.orchestration_records import QueuedRun, QueueStatus


class QueueQuestions(Facade):
    """Which runs wait, and what takes their place."""

    def get_queued_runs(self, *, cursor: str | None = None, limit: int = LIMIT) -> list[QueuedRun]:
        """The runs that wait, the greatest priority first, among equals in the order in which they first came.

        `cursor`: a run's id; the answer goes on behind it, and is empty if that run does not wait any more.
        """
        from ..views import queue, queue_queries

        check_limit(limit)
        with self.views.asking("queue") as (connection, tables):
            return queue_queries.queued(connection, tables[queue.QUEUE], after=cursor, limit=limit)

    def get_queue_status(self) -> QueueStatus:
        """How many runs wait and how many take a place, and which code locations are paused."""
        from ..views import queue_queries

        with self.views.asking("queue") as (connection, tables):
            return queue_queries.status(connection, tables)
