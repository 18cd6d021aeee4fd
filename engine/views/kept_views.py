"""Snapshots of views beside a log: which there are, which fit it, and fetching one.

    views/<format>/<projections>/<position, 20 digits>-<chain there, 16 hex digits>

`projections` is a hash of the names and versions of all views, for a snapshot is of use to nobody else; chain as in a
cursor, so that a snapshot of another history is told by its name.
Promises: what is fetched was folded from this very log, or nothing is; a damaged snapshot is passed over, and dropped
by whoever may write.
Not here: the bytes (snapshot_file.py), making snapshots (putting.py).
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import CorruptLogError, FoldlogError, HistoryDiverged, UsageError
from ..log.cursor import CHAIN_BYTES, Cursor, accept, chain_at
from ..log.log import EventLog
from ..log.port import CanKeep, Head, Kept
from .checkpoints import LIVE
from .projection import Projection
from .snapshot_file import FORMAT, heading, unpack
from .sqlite_file import connect_to, uri_of

logger = logging.getLogger("foldlog.views")

ALL: Final = "views/"
_NAME: Final = re.compile(r"(\d{20})-([0-9a-f]{16})")


class Snapshot(NamedTuple):
    """A snapshot by its name."""

    name: str
    position: int
    chain: bytes
    modified_us: int


class KeptViews:
    """The snapshots of these projections beside one log. Thread-safe."""

    def __init__(self, log: EventLog, store: CanKeep, projections: Sequence[Projection]) -> None:
        self.store = store
        self._log = log
        self._projections = projections
        self.prefix = f"{ALL}{FORMAT}/{_fingerprint(projections)}/"

    def name(self, position: int, chain: bytes) -> str:
        """Of a snapshot at this position."""
        return f"{self.prefix}{position:020d}-{chain[:CHAIN_BYTES].hex()}"

    def all(self) -> list[Snapshot]:
        """Those of these projections, the newest first."""
        return self.among(self.store.kept(self.prefix))

    def among(self, kept: Sequence[Kept]) -> list[Snapshot]:
        """The same, of files that were listed."""
        found = []
        for one in kept:
            if one.name.startswith(self.prefix) and (parts := _NAME.fullmatch(one.name.removeprefix(self.prefix))):
                found.append(Snapshot(one.name, int(parts[1]), bytes.fromhex(parts[2]), one.modified_us))
        return sorted(found, reverse=True, key=lambda one: one.position)

    def fits(self, one: Snapshot, head: Head) -> bool:
        """Whether it is of this history, by its name. `head`: read after it was listed."""
        if one.position > head.position:
            return False
        return chain_at(self._log.backend, one.position, head)[:CHAIN_BYTES] == one.chain

    def newest(self) -> int:
        """The position of the newest that fits; 0 if none does."""
        found = self.all()
        head = self._log.backend.head()
        return next((one.position for one in found if self.fits(one, head)), 0)

    def fill(self, target: Path) -> bool:
        """Put the newest file of views that fits at a path. False, and nothing is there, if there is none to be had."""
        try:
            found = self.all()
            head = self._log.backend.head()
            return any(self._fetched(one, head, target) for one in found if self.fits(one, head))
        except (FoldlogError, OSError) as error:
            logger.warning("the views of %s are folded from the log, for no snapshot came: %s", self._shown, error)
            target.unlink(missing_ok=True)
            return False

    def _fetched(self, one: Snapshot, head: Head, target: Path) -> bool:
        data = self.store.fetch(one.name)
        if data is None:  # dropped meanwhile
            return False
        try:
            self._check_heading(data, one, head)
            unpack(data, target)
            self._check_file(target, head)
        except (CorruptLogError, UsageError, sqlite3.Error) as error:
            target.unlink(missing_ok=True)
            logger.warning("the snapshot %s of %s is passed over: %s", one.name, self._shown, error)
            if not self._log.read_only:
                self.store.drop([one.name])
            return False
        logger.debug("the views of %s begin with the snapshot at position %s", self._shown, one.position)
        return True

    def _check_heading(self, data: bytes, one: Snapshot, head: Head) -> None:
        about = heading(data)
        if about.log_id != head.log_id.hex:
            raise HistoryDiverged(f"it is of log {about.log_id}")
        if accept(self._log.backend, about.cursor, head) != one.position or about.position != one.position:
            raise CorruptLogError(f"it is of position {about.position}")

    def _check_file(self, path: Path, head: Head) -> None:
        """Raise CorruptLogError or sqlite3.Error unless SQLite and this log know what to do with the file."""
        with closing(connect_to(uri_of(path, "immutable"))) as db:
            if (told := db.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise CorruptLogError(f"SQLite finds it damaged: {told}")
            rows = db.execute("SELECT name, version, cursor FROM foldlog_views WHERE slot = ?", (LIVE,)).fetchall()
        cursors = {(name, version): cursor for name, version, cursor in rows}
        for cursor in {cursors.get((p.name, p.version), "") for p in self._projections}:
            if not cursor:
                raise CorruptLogError("a view is missing in it")
            accept(self._log.backend, Cursor(cursor), head)

    @property
    def _shown(self) -> str:
        return self._log.backend.url


def _fingerprint(projections: Sequence[Projection]) -> str:
    names = sorted(f"{p.name} {p.version}\n" for p in projections)
    return blake2b("".join(names).encode(), digest_size=8).hexdigest()
