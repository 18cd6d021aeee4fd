"""The timeline: what waits for a position, giving positions, the head, epochs.

Promises: passes are serial, whoever makes them; positions are dense and given once; what is published is durable; no
pass waits for an append.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...engine.errors import CorruptLogError
from ...engine.log.port import Epoch, Head, Placed, Receipt
from .appending import SEPARATOR
from .dialect import Dialect, Doing, Moved
from .rows import BIGGEST, Row, receipt_checksum

HEAD = "SELECT log_id, epoch, position, chain FROM foldlog.log WHERE one = 1"

# One statement, so one snapshot: an append that is seen here was acknowledged after everything that is not (looks = 1).
# Times rise within a shard, and a receipt is written only once the one before it is committed: cut off anywhere by
# LIMIT, the answer has no gap in any shard. Programs of format 1 leave the last columns of `news` empty.
PENDING = """
SELECT $text(s.name), n.first_seq, coalesce(n.count, e.count), coalesce(n.$key, e.$key), n.at_us,
    coalesce(n.digest, e.digest)
FROM (
    SELECT shard_id, first_seq, count, $key, at_us, digest FROM foldlog.news
    ORDER BY at_us, shard_id, first_seq LIMIT %(limit)s
) n
JOIN foldlog.shard s ON s.shard_id = n.shard_id
LEFT JOIN foldlog.event e ON n.count IS NULL AND e.shard_id = n.shard_id AND e.seq = n.first_seq
ORDER BY n.at_us, s.name, n.first_seq
"""

MANY_NEWS = 1000
MARK = f"""
SELECT l.epoch, l.position, coalesce(n.events, 0), coalesce(n.told, 0), coalesce(n.receipts, 0)
FROM foldlog.log l CROSS JOIN (
    SELECT sum(w.count) AS events, count(w.count) AS told, count(*) AS receipts
    FROM (SELECT count FROM foldlog.news LIMIT {MANY_NEWS}) w
) n
"""

SHARDS = "SELECT $text(name), shard_id, ordered_seq FROM foldlog.shard WHERE name IN %(names)s"
KINDS = "SELECT shard_id, first_seq, $text(types) FROM foldlog.news WHERE {where}"
SOME_SHARDS = 100  #: in one statement of KINDS
KINDS_OF = """
SELECT $text(d.type) FROM (
    SELECT DISTINCT type FROM foldlog.event WHERE shard_id = %(id)s AND seq BETWEEN %(first)s AND %(last)s
) d
"""

MOVE = """
UPDATE foldlog.log SET position = %(position)s, chain = %(chain)s WHERE one = 1 AND position = %(after)s
"""

# A receipt that begins before `after` and ends past it comes too. The page is cut before the names are looked up: else
# a planner may begin with all shards, and go through all of the timeline.
PLACED = """
SELECT t.position, $text(s.name), t.first_seq, t.count, t.$key, t.at_us, t.digest, t.chain, t.crc
FROM (
    SELECT position, shard_id, first_seq, count, $key, at_us, digest, chain, crc FROM foldlog.timeline
    WHERE position >= coalesce(
        (SELECT max(b.position) FROM foldlog.timeline b WHERE b.position <= %(after)s), 0)
    AND position + count - 1 > %(after)s ORDER BY position LIMIT %(limit)s
) t JOIN foldlog.shard s ON s.shard_id = t.shard_id ORDER BY t.position
"""

CHUNK = 100_000  #: characters of the values of one statement

TIMELINE = ["position", "shard_id", "first_seq", "count", "at_us", "$key", "digest", "chain", "crc"]


def head(dialect: Dialect, rows: Sequence[Row]) -> Head:
    """What the row of HEAD says."""
    if not rows:
        raise CorruptLogError("the table `log` has lost its one row; restore the database from a backup")
    log_id, epoch, position, chain = rows[0]
    return Head(dialect.uuid(log_id), epoch, position, bytes(chain))


def mark_of(epoch: int, position: int, events: int, told: int, receipts: int) -> bytes | None:
    """How many events there are, with positions or without: another value once an append was acknowledged since. None
    if there are too many to count, or some of format 1, whose news does not say."""
    if receipts >= MANY_NEWS or told < receipts:
        return None
    return b"%d:%d" % (epoch, position + int(events))


def locked_head(tx: Doing, dialect: Dialect) -> Head:
    """The head, which nobody else moves before this transaction ends.

    The lock is a statement of its own. At READ COMMITTED the statements after it see what its last holder committed;
    a lock taken inside one of them would come with a snapshot from before the wait.
    """
    return head(dialect, tx.all(f"{HEAD} FOR UPDATE"))


def receipts(dialect: Dialect, rows: Iterable[Row]) -> list[Receipt]:
    """What the rows of PENDING say."""
    return [
        Receipt(shard, first, first + count - 1, dialect.uuid(key), at_us, bytes(digest))
        for shard, first, count, key, at_us, digest in rows
        if count is not None  # news of an event that is lost: `diagnose` tells
    ]


def place(tx: Doing, dialect: Dialect, placed: Sequence[Placed], after: Head) -> bool:
    now = locked_head(tx, dialect)
    if not placed:
        return now == after
    last = placed[-1]
    if now != after:
        # The chain covers all that was placed: where it is ours, this is a second try, and the first one has landed.
        return now == after._replace(position=last.last_position, chain=last.chain)
    found = {name: (shard_id, ordered) for name, shard_id, ordered in tx.all(SHARDS, {"names": _names(placed)})}
    if len(found) < len(_names(placed)):
        raise CorruptLogError(f"receipts are to be placed of shards that are not there: {_some(placed)}")
    moves = _moves(placed, found)
    ids = {name: shard_id for name, (shard_id, _) in found.items()}
    kinds = _kinds(tx, placed, ids, moves)
    try:
        insert(tx, "timeline", TIMELINE, timeline_rows(dialect, placed, ids))
    except dialect.error as error:
        if not dialect.is_taken(error):
            raise
        raise CorruptLogError(
            f"a receipt behind position {after.position} already has a place: {_some(placed)}; run `foldlog doctor`"
        ) from error
    insert(tx, "timeline_type", ["type", "position"], kinds)
    settled = dialect.settle(tx, [(ids[entry.receipt.shard], entry.receipt.first_seq) for entry in placed])
    advanced = dialect.advance(tx, moves)
    moved = tx.execute(MOVE, {"after": after.position, "position": last.last_position, "chain": last.chain})
    if (settled, advanced, moved) != (len(placed), len(moves), 1):
        raise CorruptLogError(
            f"receipts to be placed behind position {after.position} are not those that wait ({_some(placed)}): "
            f"{settled} of {len(placed)} wait, {advanced} of {len(moves)} shards go on without a gap"
        )
    dialect.tell(tx, last.last_position)
    return True


def timeline_rows(dialect: Dialect, placed: Sequence[Placed], ids: Mapping[str, int]) -> list[Row]:
    """Rows of the timeline; `ids`: the numbers of their shards."""
    rows = []
    for entry in placed:
        position, (shard, first, _, key, at_us, digest, _), chain = entry
        size = entry.receipt.size
        crc = receipt_checksum(entry)
        rows.append((position, ids[shard], first, size, at_us, dialect.key(key), digest, chain, crc))
    return rows


def insert(tx: Doing, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Rows of a table, many in a statement."""
    marks = f"({', '.join(['%s'] * len(columns))})"
    for chunk in _chunks(rows):
        values = [value for row in chunk for value in row]
        tx.execute(
            f"INSERT INTO foldlog.{table} ({', '.join(columns)}) VALUES {', '.join([marks] * len(chunk))}", values
        )


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """As many rows as go into one statement: a thousand, if their texts are short; escaped, they get longer."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += sum([len(value) for value in row if isinstance(value, str | bytes)])
        if len(chunk) == 1000 or size > CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _moves(placed: Sequence[Placed], found: dict[str, tuple[int, int]]) -> list[Moved]:
    """How far each shard gets. Raises CorruptLogError over a gap, which would give two orders to one shard."""
    after: dict[str, int] = {}
    for entry in placed:
        shard = entry.receipt.shard
        if after.setdefault(shard, found[shard][1]) + 1 != entry.receipt.first_seq:
            raise CorruptLogError(
                f"shard {shard}: seq {entry.receipt.first_seq} is to be placed behind seq {after[shard]}: receipts to "
                f"be placed are not those that wait ({_some(placed)})"
            )
        after[shard] = entry.receipt.last_seq
    return [Moved(*found[shard], seq) for shard, seq in sorted(after.items(), key=lambda item: found[item[0]][0])]


def _kinds(tx: Doing, placed: Sequence[Placed], ids: dict[str, int], moves: Sequence[Moved]) -> list[Row]:
    """Which types occur at which positions."""
    told: dict[tuple[int, int], str | None] = {}
    for start in range(0, len(moves), SOME_SHARDS):
        # Each shard up to where it is placed now: there may be a hundred times as much behind that.
        some = moves[start : start + SOME_SHARDS]
        where = " OR ".join(["(shard_id = %s AND first_seq > %s AND first_seq <= %s)"] * len(some))
        rows = tx.all(KINDS.replace("{where}", where), [number for move in some for number in move])
        told.update(((id, first), types) for id, first, types in rows)
    kinds: list[Row] = []
    for entry in placed:
        id, first = ids[entry.receipt.shard], entry.receipt.first_seq
        types = told.get((id, first))
        if types is None:  # a program of format 1 wrote it
            values = {"id": id, "first": first, "last": entry.receipt.last_seq}
            kinds += [(type, entry.position) for (type,) in tx.all(KINDS_OF, values)]
        else:
            kinds += [(type, entry.position) for type in types.split(SEPARATOR)]
    return kinds


def _names(placed: Sequence[Placed]) -> tuple[str, ...]:
    return tuple(sorted({entry.receipt.shard for entry in placed}))


def _some(placed: Sequence[Placed]) -> str:
    names = _names(placed)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more shards" if len(names) > 3 else "")


def placed(tx: Doing, dialect: Dialect, after: int, limit: int) -> list[Placed]:
    return placed_of(dialect, tx.all(PLACED, {"after": min(after, BIGGEST), "limit": limit}))


def placed_of(dialect: Dialect, rows: Iterable[Row]) -> list[Placed]:
    """What the rows of PLACED say, checked."""
    found = []
    for position, shard, first, size, key, at_us, digest, chain, crc in rows:
        receipt = Receipt(shard, first, first + size - 1, dialect.uuid(key), at_us, bytes(digest))
        entry = Placed(position, receipt, bytes(chain))
        if crc is not None and crc != receipt_checksum(entry):  # None: a program of format 1 placed it
            raise CorruptLogError(
                f"the receipt of shard {shard} at position {position} does not match its checksum; its row was altered "
                "or damaged"
            )
        found.append(entry)
    return found


def epochs(rows: Iterable[Row]) -> list[Epoch]:
    return [Epoch(number, after, bytes(chain), started_us, reason) for number, after, chain, started_us, reason in rows]


EPOCHS = "SELECT number, after_position, chain, started_us, reason FROM foldlog.epoch ORDER BY number"


def start_epoch(tx: Doing, dialect: Dialect, reason: str) -> Epoch:
    head = locked_head(tx, dialect)  # no sequencer moves the head while the epoch begins there
    values = {"number": head.epoch + 1, "after": head.position, "chain": head.chain, "reason": reason}
    tx.execute(
        "INSERT INTO foldlog.epoch (number, after_position, chain, started_us, reason) VALUES (%(number)s, %(after)s, "
        "%(chain)s, $now, %(reason)s)",
        values,
    )
    tx.execute("UPDATE foldlog.log SET epoch = %(number)s WHERE one = 1", values)
    return epochs(tx.all(EPOCHS))[-1]
