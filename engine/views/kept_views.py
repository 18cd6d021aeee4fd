"""Snapshots of views beside a log: which there are, which fit it, fetching one, putting one.

    views/<format>/<projections>/<position, 20 digits>-<chain, 16 hex digits>-<nonce, 8>      heading
    views/<format>/<projections>.parts/<the same>/<number, 6 digits>                         part

`projections` is a hash of the names and versions of all views, for a snapshot is of use to nobody else; chain as in a
cursor, so that a snapshot of another history is told by its name. The heading is put last and dropped first: where it
is, the parts are.
Promises: what is fetched was folded from this very log, or nothing is; a damaged snapshot is passed over, and dropped
by whoever may write.
Not here: the bytes (snapshot_file.py), when and of what a snapshot is made (putting.py).
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import CorruptLogError, FoldlogError, HistoryDiverged, UsageError
from ..log.cursor import CHAIN_BYTES, Cursor, accept, chain_at
from ..log.log import EventLog
from ..log.port import CanKeep, Head, Kept
from .cache import passed
from .checkpoints import LIVE, Checkpoint
from .projection import Projection
from .snapshot_file import FORMAT, PART, Heading, digest_of, expand, parts_of, read_heading, write_heading
from .sqlite_file import connect_to, uri_of

logger = logging.getLogger("foldlog.views")

ALL: Final = "views/"
ABREAST: Final = 4  #: parts that are fetched at once
KEPT: Final = 3  #: snapshots of one history
UNFINISHED_US: Final = 24 * 3600 * 1_000_000  #: how long parts without a heading are left alone
OTHERS_US: Final = 30 * UNFINISHED_US  #: and snapshots of other releases
_STEM: Final = re.compile(r"(\d{20})-([0-9a-f]{16})-[0-9a-f]{8}")


class Snapshot(NamedTuple):
    """A snapshot by its name."""

    stem: str
    position: int
    chain: bytes


class KeptViews:
    """The snapshots of these projections beside one log. Thread-safe."""

    def __init__(self, log: EventLog, store: CanKeep, projections: Sequence[Projection]) -> None:
        self._log = log
        self._store = store
        self._projections = projections
        here = f"{ALL}{FORMAT}/{fingerprint(projections)}"
        self._headings = f"{here}/"
        self._parts = f"{here}.parts/"

    def all(self) -> list[Snapshot]:
        """The newest first; also such as do not fit."""
        return self._among(self._store.kept(self._headings))

    def fitting(self) -> list[Snapshot]:
        """Those of this history, by their names, the newest first."""
        return self._fit(self.all())

    def _among(self, listed: Sequence[Kept]) -> list[Snapshot]:
        found = []
        for one in listed:
            if parts := _STEM.fullmatch(one.name.removeprefix(self._headings)):
                found.append(Snapshot(parts[0], int(parts[1]), bytes.fromhex(parts[2])))
        return sorted(found, reverse=True)

    def _fit(self, found: Sequence[Snapshot]) -> list[Snapshot]:
        head = self._log.backend.head()  # after the list: what is listed lies before it, or was lost
        return [one for one in found if self._fits(one, head)]

    def newest(self) -> int:
        """The position of the newest that fits; 0 if none does."""
        return next((one.position for one in self.fitting()), 0)

    def _fits(self, one: Snapshot, head: Head) -> bool:
        if one.position > head.position:
            return False
        return chain_at(self._log.backend, one.position, head)[:CHAIN_BYTES] == one.chain

    # -- fetching -------------------------------------------------------------------------------------------------

    def fill(self, target: Path) -> bool:
        """Put the newest file of views that fits at a path. False, and nothing is there, if there is none to be had."""
        try:
            return any(self._fetched(one, target) for one in self.fitting())
        except (FoldlogError, OSError) as error:
            logger.warning("the views of %s are folded from the log, for no snapshot came: %s", self._shown, error)
            target.unlink(missing_ok=True)
            return False

    def _fetched(self, one: Snapshot, target: Path) -> bool:
        data = self._store.fetch(f"{self._headings}{one.stem}")
        if data is None:  # dropped meanwhile
            return False
        head = self._log.backend.head()
        try:
            about = read_heading(data)
            self._check_heading(about, one, head)
            self._write(about, one, target)
            self._check_file(target, head)
        except (CorruptLogError, UsageError, sqlite3.Error) as error:
            target.unlink(missing_ok=True)
            logger.warning("the snapshot %s of %s is passed over: %s", one.stem, self._shown, error)
            self._drop_damaged(one)
            return False
        logger.debug("the views of %s begin with the snapshot at position %s", self._shown, one.position)
        return True

    def _drop_damaged(self, one: Snapshot) -> None:
        if self._log.read_only:
            return
        try:
            self._store.drop([f"{self._headings}{one.stem}"])
        except FoldlogError as error:  # it may have no right to; there may be an older one that is whole
            logger.warning("the snapshot %s of %s cannot be dropped: %s", one.stem, self._shown, error)

    def _check_heading(self, about: Heading, one: Snapshot, head: Head) -> None:
        if about.log_id != head.log_id.hex:
            raise HistoryDiverged(f"it is of log {about.log_id}")
        if accept(self._log.backend, about.cursor, head) != one.position or about.position != one.position:
            raise CorruptLogError(f"it is of position {about.position}")

    def _write(self, about: Heading, one: Snapshot, target: Path) -> None:
        """The SQLite file, durably: a power cut must not leave a file with holes."""

        def part(number: int) -> bytes:
            return expand(about, number, self._store.fetch(self._part(one.stem, number)))

        with target.open("xb") as file, ThreadPoolExecutor(ABREAST, "foldlog-fetch") as pool:
            for first in range(0, len(about.parts), ABREAST):
                for content in pool.map(part, range(first, min(first + ABREAST, len(about.parts)))):
                    file.write(content)
            file.flush()
            os.fsync(file.fileno())

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
            accept(self._log.backend, cursor, head)

    # -- putting --------------------------------------------------------------------------------------------------

    def put(self, path: Path, at: Checkpoint, *, given_up: Callable[[], bool]) -> str | None:
        """Keep a SQLite file that nobody has open, whose furthest view stands there; its stem. None once `given_up`
        says so."""
        of = Cursor(at.cursor).parts
        stem = f"{at.position:020d}-{of.chain.hex()}-{secrets.token_hex(4)}"
        digests = []
        for number, part in enumerate(parts_of(path)):
            if given_up():
                return None
            self._store.keep(self._part(stem, number), part)
            digests.append(digest_of(part))
            passed("part")
        about = Heading(of.log_id.hex, at.position, at.cursor, path.stat().st_size, PART, digests)
        self._store.keep(f"{self._headings}{stem}", write_heading(about))
        logger.debug("views put back as %s, %s bytes before compression", stem, about.size)
        return stem

    def drop_old(self, *, but: str, others: bool) -> None:
        """Drop all but the newest snapshots of this history, and what killed ones have left. `others`: all but one."""
        listed = self._store.kept(ALL)
        found = self._among(listed)
        stay = {but} if others else {but, *(one.stem for one in self._fit(found)[:KEPT])}
        gone = {one.stem for one in found} - stay
        names = [f"{self._headings}{stem}" for stem in sorted(gone)]
        now = max((one.modified_us for one in listed), default=0)  # by the store's clock
        for one in listed:
            if one.name.startswith(self._parts):
                stem, age = one.name.removeprefix(self._parts).partition("/")[0], now - one.modified_us
                if stem in gone or (stem not in stay and age > UNFINISHED_US):
                    names.append(one.name)
            elif not one.name.startswith(self._headings) and now - one.modified_us > OTHERS_US:
                names.append(one.name)
        if names:
            self._store.drop(names)

    def _part(self, stem: str, number: int) -> str:
        return f"{self._parts}{stem}/{number:06d}"

    @property
    def _shown(self) -> str:
        return self._log.backend.url


def fingerprint(projections: Sequence[Projection]) -> str:
    """A hash of the names and versions of views."""
    names = sorted(f"{p.name} {p.version}\n" for p in projections)
    return blake2b("".join(names).encode(), digest_size=8).hexdigest()
