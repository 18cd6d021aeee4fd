"""Reading the timeline by type: the index of types, then the rows of the type in the receipts that it names.

Promises: each event once, in order; the work grows with the page, not with what the receipts hold beside it; a receipt
that holds no event of a type that the index promises is damage: purges and trims take types out of the index in the
transaction in which they free the events.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...engine.errors import CorruptLogError
from ...engine.log.port import Stored
from .database import Database
from .reading import Place, Records
from .rows import BIGGEST

FIRST = 5_000  #: events that the receipts of the first round hold, about; four times as many in each that follows
MOST = 200_000

#: the receipt in which the edge lies may have events past it
FORWARD = """
position >= coalesce((SELECT max(b.position) FROM foldlog.timeline b WHERE b.position <= %(edge)s), 0)
"""
BACK = "position < %(edge)s"

# A statement of its own for each type: of several types in one list, a server would sort all their positions.
OF_TYPE = """
SELECT position FROM (
    SELECT position FROM foldlog.timeline_type WHERE type = %({name})s AND {where}
    ORDER BY position {way} LIMIT %(most)s
) {name}
"""

RECEIPTS = """
SELECT t.position, t.first_seq, t.count, t.shard_id, $text(s.name), s.state
FROM foldlog.timeline t JOIN foldlog.shard s ON s.shard_id = t.shard_id WHERE t.position IN %(positions)s
"""

STILL = "SELECT 1 FROM foldlog.timeline_type WHERE position = %(position)s AND type IN %(types)s"


def read(db: Database, after: int, limit: int, types: frozenset[str]) -> list[Stored]:
    """Up to `limit` records of some types past `after`, the oldest first."""
    return _page(db, min(after, BIGGEST), limit, sorted(types), newest_first=False)


def read_back(db: Database, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
    """Up to `limit` records of some types below `before`, the newest first."""
    return _page(db, BIGGEST if before is None else min(before, BIGGEST), limit, sorted(types), newest_first=True)


def _page(db: Database, edge: int, limit: int, types: Sequence[str], *, newest_first: bool) -> list[Stored]:
    found: list[Stored] = []
    events = FIRST
    if not types:
        return []
    while True:
        most = limit - len(found) + 1
        positions = _positions(db, edge, most, types, newest_first=newest_first)
        receipts = _receipts(db, positions, types)
        if not newest_first:  # the first may end at the edge; gone on with, it would be found again for ever
            receipts = [place for place in receipts if place.last > edge]
        places = _some(receipts, events)
        found += _records(db, places, edge, types, newest_first=newest_first)
        if len(found) >= limit or (len(places) == len(receipts) and len(positions) < most):
            return found[:limit]
        edge, events = places[-1].position if newest_first else places[-1].last, min(MOST, 4 * events)


def _positions(db: Database, edge: int, most: int, types: Sequence[str], *, newest_first: bool) -> list[int]:
    """The next receipts that hold one of some types; the first may end at the edge."""
    way, where = ("DESC", BACK) if newest_first else ("ASC", FORWARD)
    parts, values = [], {"edge": edge, "most": most}
    for number, type in enumerate(types):
        parts.append(OF_TYPE.replace("{name}", f"t{number}").replace("{where}", where).replace("{way}", way))
        values[f"t{number}"] = type  # type: ignore[assignment]
    sql = f"SELECT position FROM ({' UNION '.join(parts)}) u ORDER BY position {way} LIMIT %(most)s"
    return [position for (position,) in db.ask("reading the timeline by type", sql, values)]


def _receipts(db: Database, positions: Sequence[int], types: Sequence[str]) -> list[Place]:
    """Where these receipts are, in the same order."""
    if not positions:
        return []
    rows = db.ask("reading the timeline by type", RECEIPTS, {"positions": tuple(positions)})
    places = {place.position: place for place in map(Place._make, rows)}
    for position in positions:
        if position not in places:
            raise CorruptLogError(f"the receipt at position {position} is missing from the timeline")
    return [places[position] for position in positions]


def _some(places: Sequence[Place], events: int) -> list[Place]:
    """As many of the first as hold about `events` events, and one at least."""
    chosen: list[Place] = []
    for place in places:
        if chosen and events <= 0:
            break
        chosen.append(place)
        events -= place.size
    return chosen


def _records(
    db: Database, places: Sequence[Place], edge: int, types: Sequence[str], *, newest_first: bool
) -> list[Stored]:
    after, until = (0, edge - 1) if newest_first else (edge, BIGGEST)
    spans = [(place, place.part(after, until)) for place in places]
    spans = [(place, span) for place, span in spans if span.first <= span.last]
    records = Records(db, "reading the timeline by type")
    records.fetch(spans, types)
    found = []
    for place, span in spans:
        seqs = [seq for seq in range(span.first, span.last + 1) if records.has(place, seq)]
        if not seqs and span.last - span.first + 1 == place.size:
            _check_lost(db, place, types)
        found += [records.at(place, seq) for seq in (reversed(seqs) if newest_first else seqs)]
    return found


def _check_lost(db: Database, place: Place, types: Sequence[str]) -> None:
    """Raise CorruptLogError for a receipt that holds nothing of what the index still says it does."""
    values = {"position": place.position, "types": tuple(types)}
    if db.ask("reading the timeline by type", STILL, values):
        kinds = " or ".join(types[:3])
        raise CorruptLogError(
            f"the receipt at position {place.position} holds no {kinds}, which the index of types says"
        )
