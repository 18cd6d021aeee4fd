"""Reading shards and the timeline, each record checked.

Promises: no more rows are touched than the page is long, but for what a filter of types within a shard skips; a record
that should be there and is not is damage, and is told apart from a purged one.
An answer is put together from several statements without a transaction around them. What they find can only vanish
meanwhile, in a purge or a trim: where something is missing, the state of its shard is looked up once more.
Not here: the timeline by type (typed.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from ...engine.errors import CorruptLogError
from ...engine.log.port import Shard, ShardState, Stored
from .database import Database, Transaction
from .dialect import Span, Values
from .rows import BIGGEST, FREED, OPEN, PURGED, SEALED, STATES, Row, page_of, stored

NUMBER = "SELECT shard_id FROM foldlog.shard WHERE name = %(shard)s"

# `kept` has the rows of purged shards, `event` those of all others; a row without a type was freed by a trim, or is the
# guard of a fenced shard.
SHARD = """
SELECT e.shard_id, e.seq, e.ts_us, e.topics, e.crc, $text(e.type), e.body FROM foldlog.{table} e
WHERE e.shard_id = %(id)s AND e.type <> '' AND {where} ORDER BY e.seq {way} LIMIT %(limit)s
"""

PLACES = """
SELECT first_seq, position, count FROM foldlog.timeline
WHERE shard_id = %(id)s AND first_seq <= %(last)s AND first_seq >= coalesce(
    (SELECT max(b.first_seq) FROM foldlog.timeline b WHERE b.shard_id = %(id)s AND b.first_seq <= %(first)s), 0)
ORDER BY first_seq
"""

# Positions are dense, so a page is a range of them, and every position of the range must have an answer. The receipt in
# which the page begins may have begun before. A server cannot see how short the range is: without a LIMIT it would go
# through all shards for each page.
RECEIPTS = """
SELECT t.position, t.first_seq, t.count, t.shard_id, $text(s.name), s.state
FROM (
    SELECT p.position, p.first_seq, p.count, p.shard_id FROM foldlog.timeline p
    WHERE p.position <= %(until)s AND p.position >= coalesce(
        (SELECT max(b.position) FROM foldlog.timeline b WHERE b.position <= %(after)s), 0)
    ORDER BY p.position LIMIT %(most)s
) t
JOIN foldlog.shard s ON s.shard_id = t.shard_id ORDER BY t.position
"""

# A sealed shard with news is open again, and the sequencer has not been there yet. The least one, because it is at hand
# in the index: for any one, a server that takes most news for those of this shard goes through all of them.
DESCRIBE = """
SELECT $text(s.name), s.state, s.ordered_seq,
    CASE WHEN s.state = 1 THEN (SELECT min(n.first_seq) FROM foldlog.news n WHERE n.shard_id = s.shard_id) END
FROM foldlog.shard s WHERE {where} ORDER BY s.name LIMIT %(limit)s
"""

STATES_NOW = "SELECT shard_id FROM foldlog.shard WHERE state = 3 AND shard_id IN %(ids)s"


class Place(NamedTuple):
    """A receipt on the timeline, as far as a page wants it."""

    position: int
    first_seq: int
    size: int
    shard_id: int
    shard: str
    state: int

    @property
    def last(self) -> int:
        """The position of its last event."""
        return self.position + self.size - 1

    def part(self, after: int, until: int) -> Span:
        """Its seqs at positions past `after` and up to `until`."""
        first = self.first_seq + max(after + 1 - self.position, 0)
        return Span(self.shard_id, first, self.first_seq + min(self.size - 1, until - self.position))


def read_shard(
    db: Database, shard: str, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
) -> list[Stored]:
    deed = f"reading shard {shard}"
    number = db.ask(deed, NUMBER, {"shard": shard})
    if not number:
        return []
    where = "e.seq < %(after)s" if newest_first and after_seq else "1 = 1" if newest_first else "e.seq > %(after)s"
    if types is not None:
        where += " AND e.type IN %(types)s"
    values = {
        "id": number[0][0],
        "after": min(after_seq, BIGGEST),
        "limit": limit,
        "types": tuple(sorted(types)) if types else ("",),
    }
    sql = SHARD.replace("{where}", where).replace("{way}", "DESC" if newest_first else "ASC")
    rows = _events(db, deed, sql.replace("{table}", "event"), values)
    if len(rows) < limit:
        # A purge in between gives the same record twice.
        kept = {row[1]: row for row in _events(db, deed, sql.replace("{table}", "kept"), values)}
        if kept:
            kept.update((row[1], row) for row in rows)
            rows = sorted(kept.values(), key=itemgetter(1), reverse=newest_first)[:limit]
    return page_of(shard, rows, _positions(db, deed, values["id"], [row[1] for row in rows]))


def _events(db: Database, deed: str, sql: str, values: Values) -> list[Row]:
    return db.ask_in(deed, lambda tx: db.dialect.events(tx, sql, values))


def _positions(db: Database, deed: str, id: object, seqs: Sequence[int]) -> list[int | None]:
    """The positions of records of one shard, in order; None where they have none yet."""
    if not seqs:
        return []
    first, last = sorted((seqs[0], seqs[-1]))
    places = db.ask(deed, PLACES, {"id": id, "first": first, "last": last})
    # By slices: nearly always there is no seq between first and last that was not asked for.
    every: list[int | None] = [None] * (last - first + 1)
    for first_seq, position, count in places:
        begin, end = max(first_seq, first), min(first_seq + count, last + 1)
        every[begin - first : end - first] = range(position + begin - first_seq, position + end - first_seq)
    if len(every) > len(seqs):
        return [every[seq - first] for seq in seqs]
    return every if seqs[0] == first else every[::-1]


def read(db: Database, after: int, limit: int) -> list[Stored]:
    deed = "reading the timeline"
    after = min(after, BIGGEST - limit)
    until = after + limit
    rows = db.ask(deed, RECEIPTS, {"after": after, "until": until, "most": limit + 1})
    places = [place for place in map(Place._make, rows) if place.last > after]
    found = Records(db, deed)
    found.fetch([(place, place.part(after, until)) for place in places])
    page = []
    for place in places:
        span = place.part(after, until)
        for seq in range(span.first, span.last + 1):
            page.append(found.at(place, seq))
    return page


class Records:
    """Records by shard and seq, fetched by the spans in which they lie."""

    def __init__(self, db: Database, deed: str) -> None:
        self._db = db
        self._deed = deed
        self._rows: dict[tuple[int, int], Row] = {}
        self._purged: set[int] = set()

    def fetch(self, wanted: Sequence[tuple[Place, Span]], types: Collection[str] | None = None) -> None:
        """Fetch the records of some spans; of `types`, those."""
        self._purged |= {place.shard_id for place, _ in wanted if place.state == PURGED}
        self._load("event", [span for place, span in wanted if place.state != PURGED], types)
        self._load("kept", [span for place, span in wanted if place.state == PURGED], types)
        found = all if types is None else any
        lost = [span for place, span in wanted if place.state != PURGED and not found(self._have(span))]
        if lost:  # purged since its receipt was read, or damaged
            ids = {"ids": tuple({span.shard_id for span in lost})}
            self._purged |= {id for (id,) in self._db.ask(self._deed, STATES_NOW, ids)}
            self._load("kept", [span for span in lost if span.shard_id in self._purged], types)

    def _have(self, span: Span) -> Iterator[bool]:
        return ((span.shard_id, seq) in self._rows for seq in range(span.first, span.last + 1))

    def _load(self, table: str, spans: Sequence[Span], types: Collection[str] | None) -> None:
        if not spans:
            return
        wanted = None if types is None else sorted(types)
        joined = join(spans)

        def work(tx: Transaction) -> list[Row]:
            return self._db.dialect.records(tx, table, joined, wanted)

        for row in self._db.ask_in(self._deed, work):
            self._rows[row[0], row[1]] = row

    def has(self, place: Place, seq: int) -> bool:
        return (place.shard_id, seq) in self._rows

    def at(self, place: Place, seq: int) -> Stored:
        """The record there, or that it was purged. Raises CorruptLogError if it is lost."""
        row = self._rows.get((place.shard_id, seq))
        position = place.position + seq - place.first_seq
        if row is not None:
            if row[2] == FREED:
                return Stored(place.shard, seq, position, None)
            return stored((place.shard, seq, position, *row[2:]))
        if place.shard_id in self._purged:
            return Stored(place.shard, seq, position, None)
        raise CorruptLogError(
            f"shard {place.shard}: seq {seq} (position {position}) is missing, and the shard was not purged"
        )


def join(spans: Iterable[Span]) -> list[Span]:
    """The same seqs in as few spans as can be."""
    joined: list[Span] = []
    for span in sorted(spans):
        last = joined[-1] if joined else None
        if last is not None and last.shard_id == span.shard_id and span.first <= last.last + 1:
            joined[-1] = last._replace(last=max(last.last, span.last))
        else:
            joined.append(span)
    return joined


def shards(db: Database, after: str, limit: int) -> list[Shard]:
    sql = DESCRIBE.replace("{where}", "s.name > %(after)s")
    return [_shard(row) for row in db.ask("listing shards", sql, {"after": after, "limit": limit})]


def find_shard(db: Database, name: str) -> Shard | None:
    sql = DESCRIBE.replace("{where}", "s.name = %(name)s")
    for row in db.ask(f"looking for shard {name}", sql, {"name": name, "limit": 1}):
        return _shard(row)
    return None


def _shard(row: Row) -> Shard:
    name, state, ordered_seq, has_news = row
    if state == SEALED and has_news:
        state = OPEN
    found: ShardState = STATES[state]
    return Shard(name, found, ordered_seq)
