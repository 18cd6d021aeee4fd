"""The folder that the tour works in: made, begun anew, or continued; never somebody else's.

    HOME/history            the log and its views
         deliveries/ raw/   what came in, and what was kept of it
         days.csv  months.csv  records.csv  warehouse.db  seattle-weather.svg
         storage/           values that the pipeline keeps in no file of its own
         DEMO.txt           tells that the folder was made by the tour

Not here: what is done in it (demo.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from ..engine.cli.options import sqlite_url
from ..engine.errors import UsageError
from ..engine.open import open_log

MARK = "DEMO.txt"
ABOUT = "Made by `foldlog demo`, which may delete it when it runs again. Nothing else should be kept here.\n"
OWN = (
    *("history", "deliveries", "raw", "storage"),
    *("days.csv", "months.csv", "records.csv", "warehouse.db", "seattle-weather.svg"),
)
TAG = "demo"  #: the tag that every run of the tour carries


class Home(NamedTuple):
    """The folder of the tour."""

    folder: Path
    before: str = "nothing"  #: what became of what an earlier tour had left

    @property
    def history(self) -> Path:
        return self.folder / "history"

    @property
    def url(self) -> str:
        return sqlite_url(self.history)

    @property
    def is_begun(self) -> bool:
        return self.history.exists()


def prepare(folder: Path, *, keep: bool) -> Home:
    """The home, empty, or with `keep` as it was left. Raises UsageError if the folder is not the tour's to empty."""
    home = Home(folder)
    if folder.exists() and not folder.is_dir():
        raise _refused(f"{folder} is a file")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise _refused(f"{folder} is not empty and was not made by `foldlog demo`")
        if keep:
            home = home._replace(before="its runs are kept, and new ones are added (--keep)")
        else:
            _empty(home)
            home = home._replace(before="it was emptied (--keep adds to it instead)")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(ABOUT, encoding="utf-8")
    return home


def _refused(what: str) -> UsageError:
    error = UsageError(what)
    error.remedy = "Name another folder with --home."
    return error


def _empty(home: Home) -> None:
    """Remove what the tour has made, and nothing else."""
    if home.is_begun and (run_id := _foreign_run(home)) is not None:
        error = UsageError(f"{home.history} holds run {run_id}, which is none of the tour's; it would be deleted")
        error.remedy = "Add to what is there with --keep, or name another folder with --home."
        raise error
    for name in OWN:
        path = home.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _foreign_run(home: Home) -> str | None:
    """A run in the log that the tour did not report."""
    with open_log(home.url) as log:
        after, at_head = None, False
        while not at_head:
            page = log.read(after=after, types={"RUN_CREATED"})
            for record in page.events:
                if TAG not in getattr(record.event.fact, "tags", {}):
                    return record.shard
            after, at_head = page.cursor, page.at_head
    return None
