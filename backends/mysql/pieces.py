"""Long bodies: the first 256 KiB are in the row of `event` or `kept`, the rest in rows of `piece`.

Promises: a body is given back whole, or its record as it is since its purge or trim; never cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..sql.dialect import Doing
from ..sql.rows import FREED, Row
from .inserting import BODY

AT_ONCE = 200  #: places named in one statement

GO_ON = "SELECT shard_id, seq, data FROM foldlog.piece FORCE INDEX (PRIMARY) WHERE {where} ORDER BY shard_id, seq, part"

NOW = """
SELECT shard_id, seq, topics, crc FROM foldlog.event FORCE INDEX (PRIMARY) WHERE {where}
UNION ALL SELECT shard_id, seq, topics, crc FROM foldlog.kept FORCE INDEX (PRIMARY) WHERE {where}
"""

# Those of rows that are in no table any more.
FORGET = """
DELETE p FROM foldlog.piece p FORCE INDEX (PRIMARY) WHERE p.shard_id = %(id)s
    AND NOT EXISTS (SELECT 1 FROM foldlog.event e WHERE e.shard_id = p.shard_id AND e.seq = p.seq AND e.type <> '')
    AND NOT EXISTS (SELECT 1 FROM foldlog.kept k WHERE k.shard_id = p.shard_id AND k.seq = p.seq)
"""


def whole(tx: Doing, rows: list[Row]) -> list[Row]:
    """Rows (shard_id, seq, type, ts_us, topics, crc, body) with all of their bodies.

    A row may have been purged or freed since it was read, and its pieces with it. So the rows are looked at once more
    behind the pieces: one that is as it was had all its pieces. A purged one is left out.
    """
    cut = [(row[0], row[1]) for row in rows if len(row[6]) >= BODY]
    if not cut:
        return rows
    bodies: dict[tuple[int, int], list[bytes]] = {}
    for some in _some(cut):
        for shard_id, seq, data in tx.all(GO_ON.replace("{where}", places(some))):
            bodies.setdefault((shard_id, seq), []).append(data)
    now: dict[tuple[int, int], tuple[int, int]] = {}
    for some in _some(cut):
        for shard_id, seq, topics, crc in tx.all(NOW.replace("{where}", places(some))):
            now[shard_id, seq] = topics, crc
    found = []
    for row in rows:
        where = row[0], row[1]
        if len(row[6]) < BODY:
            found.append(row)
        elif where in now and now[where][1] == row[5]:
            found.append((*row[:6], b"".join([row[6], *bodies.get(where, ())])))
        elif where in now:
            found.append((*where, FREED, 0, *now[where], b""))
    return found


def places(some: Sequence[tuple[int, int]]) -> str:
    """A condition on shard_id and seq: ranges of the primary key."""
    return " OR ".join([f"(shard_id = {shard_id} AND seq = {seq})" for shard_id, seq in some])


def _some(places: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    for start in range(0, len(places), AT_ONCE):
        yield places[start : start + AT_ONCE]
