"""Bodies of a file of shards that go before their run does: weigh them, free them.

A freed record keeps its row: its id, its retention class and, on the first row of an append, the receipt. Its type is
empty, its time 0, its body gone. So seqs stay dense, keys answer retries, and what is missing is still told apart from
what was freed.
Callers hold the file's lock. Not here: which seqs (trim.py), the index of types (trimmed.py).
"""

from __future__ import annotations

from zlib import crc32

from ...engine.log.port import RETENTION_MASK
from .connect import transaction
from .schema import SEQ_BITS, SEQ_MASK
from .shardfile import FREED, PLACE, RECEIPT_COLUMNS, Row, ShardFile, receipt_check, record_prefix


def weigh(file: ShardFile, number: int, first: int, last: int) -> list[tuple[int, int, int]]:
    """By retention class of the records between two seqs that were not freed: how many, and how many bytes."""
    return file.db.execute(
        f"SELECT topics & {RETENTION_MASK}, count(*), sum(length(body)) FROM event WHERE id BETWEEN ? AND ? "
        "AND type <> '' GROUP BY 1",
        (number << SEQ_BITS | first, number << SEQ_BITS | last),
    ).fetchall()


def free(file: ShardFile, number: int, shard: str, retention: int, first: int, last: int) -> list[tuple[int, str, int]]:
    """Free the bodies of one retention class between two seqs, in one transaction.

    Returns (seq, type, bytes) of each record of the class there; the type is FREED where that was done before.
    """
    rows = _of_class(file, number, retention, first, last)
    if any(row[7] != FREED for row in rows):
        file.db.execute("PRAGMA secure_delete=ON")
        try:
            with transaction(file.db):
                rows = _of_class(file, number, retention, first, last)  # a purge may have come in between
                _replace(file, shard, [row for row in rows if row[7] != FREED])
        finally:
            file.db.execute("PRAGMA secure_delete=OFF")
        file.wrote(sum(row[9] for row in rows))
    return [(row[0] & SEQ_MASK, row[7], row[9]) for row in rows]


def types(file: ShardFile, number: int, first: int, last: int) -> set[str]:
    """The types of the records between two seqs that were not freed."""
    sql = "SELECT DISTINCT type FROM event WHERE id BETWEEN ? AND ?"
    rows = file.db.execute(sql, (number << SEQ_BITS | first, number << SEQ_BITS | last)).fetchall()
    return {kind for (kind,) in rows} - {FREED}


def _of_class(file: ShardFile, number: int, retention: int, first: int, last: int) -> list[Row]:
    return file.db.execute(
        f"SELECT {RECEIPT_COLUMNS}, topics, length(body) FROM event WHERE id BETWEEN ? AND ? "
        f"AND topics & {RETENTION_MASK} = ? ORDER BY id",
        (number << SEQ_BITS | first, number << SEQ_BITS | last, retention),
    ).fetchall()


def _replace(file: ShardFile, shard: str, rows: list[Row]) -> None:
    """Put rows without bodies in the place of others. Deleted first, not updated: an update never joins pages that
    have become nearly empty, and the file would keep them all."""
    freed = []
    for row in rows:
        id_, count, keyed, *_, topics, _ = row
        crc = crc32(PLACE.pack(id_ & SEQ_MASK, 0, topics), record_prefix(shard, FREED))
        check = None
        if count is not None:  # the receipt stays; one that does not hold is not to be made to
            check = receipt_check(file.receipt(shard, row[:8]), FREED, bool(keyed))
        freed.append((*row[:6], check, FREED, 0, topics, crc, b""))
    file.db.executemany("DELETE FROM event WHERE id = ?", [row[:1] for row in rows])
    file.db.executemany("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", freed)
