"""Upkeep of the views: rebuild them, prove them, see where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ReadOnlyError
from ..log.port import Copied
from .base import Facade

if TYPE_CHECKING:
    from ..views.verify import Verification
    from ..views.views import ViewStatus


class Upkeep(Facade):
    """What an operator does with an instance."""

    def rebuild(
        self,
        view: str | None = None,
        *,
        progress: Callable[[str, int, int], None] | None = None,
        afresh: bool = False,
    ) -> int:
        """Fold a view, or all of them, anew from the log, and switch at once. The position that was reached.

        Interrupted, the next call goes on from there, unless `afresh`. What is replaced is kept for `roll_back_view`.
        `progress`: called now and then with the view, the position reached and that of the head.

        Raises ViewStopped if a fold cannot take in an event; that view keeps its live tables, the others are switched.
        """
        return self.views.rebuild(view, progress=progress, afresh=afresh)

    def cancel_rebuild(self, view: str | None = None) -> list[str]:
        """Drop what an interrupted rebuild has left; the views that had anything."""
        return self.views.cancel_rebuild(view)

    def roll_back_view(self, view: str) -> int:
        """Put back what the last rebuild of a view has replaced, once it has caught up; the position it has reached.

        Raises UsageError if nothing is kept, ViewStopped if it cannot catch up.
        """
        return self.views.roll_back(view)

    def drop_old_views(self, view: str | None = None) -> list[str]:
        """Free what rebuilds have replaced and older versions have left; the names of the tables that went."""
        return self.views.drop_old(view)

    def put_back_views(self, *, drop_older: bool = False) -> int:
        """Keep a snapshot of the views beside the log now, as is done now and then; the position it is of.

        `drop_older`: and drop those before it, which may hold what was deleted from the log since.

        For logs on object storage, whose views are in a cache on each machine: another one begins with the snapshot.
        Raises UsageError for any other, ReadOnlyError for an instance that was opened for reading.
        """
        return self.views.put_back(drop_older=drop_older)

    def retry_view(self, view: str | None = None) -> list[ViewStatus]:
        """Try again the event at which a view, or any, has stopped; where each stands after that."""
        return self.views.retry(view)

    def verify(
        self, view: str | None = None, *, progress: Callable[[str, int, int], None] | None = None
    ) -> Verification:
        """Prove a view, or all of them, equal to the log. Writers go on. What was altered is named in the answer."""
        from ..views.verify import verify

        return verify(self.views, view, progress=progress)

    def backup(self, folder: str | Path, *, progress: Callable[[str, int, int], None] | None = None) -> Copied:
        """Copy the log, and the views beside it, to a folder while others write, seal and delete; see
        `EventLog.backup`. The copy is an instance by itself: `Instance.from_url` with its folder.
        """
        return self.log.backup(folder, beside=("views.db",), progress=progress)

    def status(self) -> dict[str, Any]:
        """For people and metrics: the log's counts, its head, and where each view stands."""
        try:
            views: Sequence[ViewStatus] = self.views.status()
        except ReadOnlyError:  # opened for reading, and nothing is projected yet
            views = []
        return {
            "url": self.log.backend.url,
            "head": self.log.head().position,
            "log": self.log.stats(),
            "views": [view._asdict() for view in views],
        }
