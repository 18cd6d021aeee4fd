"""Prove a view equal to the log, while writers go on; where it is not, name the rows.

Three digests of each table must agree: the running one of the checkpoint, one over the rows as they lie, and that of
the view folded anew, in a scratch file, up to exactly the same position. The first two are read in one snapshot.
Not here: mending a view (rebuild.py), the log's own damage (`foldlog doctor`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import UnavailableError
from ..events.tombstone import HistoryTrimmed, RunDeleted
from .checkpoints import LIVE, Checkpoint
from .database import Database
from .projection import Projection
from .rebuild import Builder, Progress
from .rows import Digest
from .store import Store
from .table import DIGEST_BITS, Key, Row, Table
from .views import Views

NAMED_AT_MOST = 20  #: altered columns that are named of one table
_TRIES = 100  #: each of them a look that somebody else may spoil
_ROWS = 1000  #: fetched at a time


class Altered(NamedTuple):
    """A place where a table is not what the log says. Without a column, the whole row is missing or too many."""

    view: str
    table: str
    key: dict[str, Any]
    column: str | None
    live: Any
    rebuilt: Any

    def __str__(self) -> str:
        where = f"{self.table} {', '.join(f'{name}={value!r}' for name, value in self.key.items())}"
        if self.column is None:
            return f"{where}: {'the row is missing' if self.live is None else 'the log knows no such row'}"
        return f"{where}: {self.column} is {self.live!r}, the log says {self.rebuilt!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewVerified:
    """What was found of one view."""

    view: str
    position: int  #: compared at
    rows: int
    digest: str  #: over the rows of all its tables as they lie, in hex
    rebuilt_digest: str
    running_digest: str
    altered: tuple[Altered, ...] = ()  #: at most 20 a table
    stopped: str | None = None  #: the event the view could not take in; nothing is proved from there on

    @property
    def ok(self) -> bool:
        alike = self.digest == self.rebuilt_digest == self.running_digest
        return alike and not self.altered and self.stopped is None

    def problems(self) -> list[str]:
        """What is wrong, a line each; empty when all is well."""
        found = [str(one) for one in self.altered]
        if self.stopped is not None:
            found.append(f"view {self.view} stopped {self.stopped}; up to position {self.position} it was compared")
        if self.digest == self.rebuilt_digest != self.running_digest:
            found.append(f"view {self.view}: its rows are right, its checkpoint's digest was altered")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found of the views that were looked at."""

    views: tuple[ViewVerified, ...]

    @property
    def ok(self) -> bool:
        return bool(self.views) and all(view.ok for view in self.views)

    @property
    def position(self) -> int:
        """All views were compared at this position, or later."""
        return min(view.position for view in self.views)

    def problems(self) -> list[str]:
        """What is wrong, a line each; `foldlog rebuild` mends it."""
        return [problem for view in self.views for problem in view.problems()]


def verify(views: Views, view: str | None = None, *, progress: Progress | None = None) -> Verification:
    """Compare a view, or all, with the log."""
    chosen = views.named(view)
    for _ in range(_TRIES):
        views.projector.catch_up()
        found = tuple(result for group in _groups(views.store, chosen) for result in _verify(views, group, progress))
        if len(found) < len(chosen):
            continue  # one went on alone meanwhile: it was rebuilt, or helped over what it had stopped at
        verification = Verification(views=found)
        # What was freed while this looked is missing in the view folded anew, and not yet gone from the live one.
        if verification.ok or not _deleted_since(views, verification.position):
            return verification
    raise UnavailableError(f"views were rebuilt, or runs deleted, during each of {_TRIES} attempts to verify")


def _groups(store: Store, projections: list[Projection]) -> list[list[Projection]]:
    """Views that stand at one place are folded in one pass; one that is stopped has a pass of its own."""
    held = store.checkpoints()
    groups: dict[int, list[Projection]] = {}
    for projection in projections:
        groups.setdefault(held[projection.name].position, []).append(projection)
    return list(groups.values())


def _verify(views: Views, group: list[Projection], progress: Progress | None) -> Iterator[ViewVerified]:
    with tempfile.TemporaryDirectory(prefix="foldlog-verify-") as folder:
        scratch = Store(Database.in_file(Path(folder) / "scratch.db", scratch=True), group)
        try:
            yield from _compare(views, scratch, group, progress)
        finally:
            scratch.close()


def _compare(
    views: Views, scratch: Store, group: list[Projection], progress: Progress | None
) -> Iterator[ViewVerified]:
    name = group[0].name if len(group) == 1 else "all"
    builder = Builder(views.log, scratch, scratch.checkpoints(), slot=LIVE)

    def build(up_to: int) -> None:
        while builder.step(up_to=up_to):
            if progress is not None:
                progress(name, builder.position, up_to)
        if builder.stopped:
            raise builder.stopped[0]

    build(min(views.store.checkpoints()[p.name].position for p in group))
    # The live views have moved on since. The snapshot is held only for what is left, and for reading the rows.
    with views.store.reading() as live:
        held = views.store.checkpoints(live)
        build(min(held[p.name].position for p in group))
        for projection in group:
            at = held[projection.name]
            if at.position != builder.position:
                continue  # the caller looks again
            if at.cursor:
                views.log.read(after=at.cursor, limit=1)  # raises HistoryDiverged if it is of another history
            yield _look(views.store, live, scratch, projection, at, builder.at[projection.name])


def _look(
    store: Store, live: sa.Connection, scratch: Store, projection: Projection, at: Checkpoint, built: Checkpoint
) -> ViewVerified:
    altered: list[Altered] = []
    lying: dict[str, Digest] = {}
    for table in projection.tables:
        lying[table.name] = _digest_of(live, table, store.tables[table])
        if lying[table.name] != built.digests.get(table.name, Digest()):
            with scratch.database.read() as other:
                differences = _differences(projection, table, live, store.tables[table], other, scratch.tables[table])
                altered += islice(differences, NAMED_AT_MOST)
    return ViewVerified(
        view=projection.name,
        position=at.position,
        rows=sum(digest.rows for digest in lying.values()),
        digest=_together(projection, lying),
        rebuilt_digest=_together(projection, built.digests),
        running_digest=_together(projection, at.digests),
        altered=tuple(altered),
        stopped=f"at position {at.stopped.position}, {at.stopped.type}: {at.stopped.reason}" if at.stopped else None,
    )


def _deleted_since(views: Views, position: int) -> bool:
    kinds = {RunDeleted.KIND.name, HistoryTrimmed.KIND.name}
    return bool(views.log.read(after=views.log.cursor(position), limit=1, types=kinds).records)


def _digest_of(connection: sa.Connection, table: Table, source: sa.Table) -> Digest:
    total = count = 0
    rows = _rows(connection, source)
    while some := list(islice(rows, _ROWS)):
        total += table.hash(some)
        count += len(some)
    return Digest(total % (1 << DIGEST_BITS), count)


def _together(projection: Projection, digests: Mapping[str, Digest]) -> str:
    total = sum(digests.get(table.name, Digest()).total for table in projection.tables)
    return Digest(total % (1 << DIGEST_BITS)).hex()


def _rows(connection: sa.Connection, source: sa.Table, *, order: tuple[str, ...] = ()) -> Iterator[Row]:
    query = sa.select(source).order_by(*(source.c[name] for name in order))
    # Closed also if not read to the end: some drivers can ask nothing else on the connection until then.
    with connection.execution_options(yield_per=_ROWS).execute(query) as result:
        for row in result:
            yield tuple(row)


def _differences(
    projection: Projection,
    table: Table,
    live: sa.Connection,
    live_source: sa.Table,
    other: sa.Connection,
    other_source: sa.Table,
) -> Iterator[Altered]:
    """Walk both tables in order of their keys, side by side."""
    names = table.columns[: table.key]
    ours, theirs = _rows(live, live_source, order=names), _rows(other, other_source, order=names)
    left, right = next(ours, None), next(theirs, None)

    def altered(key: Key, column: str | None, one: Any, two: Any) -> Altered:
        return Altered(projection.name, table.name, dict(zip(names, key, strict=True)), column, one, two)

    while left is not None or right is not None:
        if right is None or (left is not None and left[: table.key] < right[: table.key]):
            assert left is not None
            yield altered(left[: table.key], None, left, None)
            left = next(ours, None)
        elif left is None or right[: table.key] < left[: table.key]:
            yield altered(right[: table.key], None, None, right)
            right = next(theirs, None)
        else:
            for column, one, two in zip(table.columns, left, right, strict=True):
                if one != two or type(one) is not type(two):
                    yield altered(left[: table.key], column, one, two)
            left, right = next(ours, None), next(theirs, None)
