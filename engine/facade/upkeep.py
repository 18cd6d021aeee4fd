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

    def rebuild(self, view: str | None = None, *, progress: Callable[[str, int, int], None] | None = None) -> int:
        """Fold a view, or all of them, anew from the log, and switch at once. The position that was reached.

        `progress`: called now and then with the view, the position reached and that of the head.
        """
        return self.views.rebuild(view, progress=progress)

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
