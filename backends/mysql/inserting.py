"""How records get into MySQL: statements with every value in them as a number or in hexadecimal, many in a packet.

Hexadecimal is exactly twice as long as what it stands for, whatever that is, so statements can be cut by their length;
and no byte of a fact can end a string, whatever the session's rules for quotes.

An append begins with the gate's row, locked in share mode until its commit: who closes the gate waits for it, and it
finds the gate as it is. The same look finds whether the shard ends with the receipt that the writer thinks is its last:
after a backup was restored under a living process, a remembered end would leave a hole. Where either is not so, the
time of the receipt is NULL, which its column refuses; with the error the server leaves out the rest of the packet.
The time comes back with the answer to the INSERT that made it, as what the server calls the last inserted id: a SELECT
would be one more answer to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..sql.appending import End, Written
from ..sql.dialect import EventRow
from ..sql.rows import Row

CLOCK = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"

BODY = 256 * 1024  #: bytes of a body in its row; the rest goes into pieces of this size
KINDS = 64 * 1024  #: bytes of types that `news` holds of an append; of more, the sequencer finds them in `event`

BEGIN = "START TRANSACTION"
COMMIT = "COMMIT"

_NEWS = "shard_id, first_seq, at_us, count, `key`, digest, types"
_EVENT = "shard_id, seq, ts_us, topics, crc, at_us, count, `key`, keyed, given_key, type, digest, body"
_PIECE = "shard_id, seq, part, data"


class Texts(NamedTuple):
    """The statements of one database."""

    one: str  #: all of an append of one record
    now: str  #: the time of a batch, NULL if it must not be written
    news: str
    event: str
    piece: str


def texts(prefix: str) -> Texts:
    """The statements for the tables named with a prefix."""
    into, prefix = f"INSERT INTO {prefix}", prefix.replace("%", "%%")
    one = (
        f"{BEGIN};INSERT INTO {prefix}news ({_NEWS}) VALUES (%d,%d,(SELECT LAST_INSERT_ID(GREATEST({CLOCK},%d)) "
        f"FROM {prefix}gate g %s WHERE g.one=1 AND g.state=0 LOCK IN SHARE MODE),1,X'%s',X'%s',X'%s');"
        f"INSERT INTO {prefix}event ({_EVENT}) "
        f"VALUES (%d,%d,%d,%d,%d,LAST_INSERT_ID(),1,X'%s',%d,%s,X'%s',X'%s',X'%s');{COMMIT}"
    )
    now = f"SET @foldlog_now=(SELECT {CLOCK} FROM {prefix}gate g WHERE g.one=1 AND g.state=0 AND %s LOCK IN SHARE MODE)"
    news, event = f"{into}news ({_NEWS}) VALUES ", f"{into}event ({_EVENT}) VALUES "
    return Texts(one, now, news, event, f"{into}piece ({_PIECE}) VALUES ")


def one_event(texts: Texts, prefix: str, one: Written) -> str:
    """The packet that appends one short record, and commits: four statements. The time is the second one's."""
    append, behind, shard_id, seq = one.order.append, one.behind, one.shard_id, one.first_seq
    type, ts_us, topics, body = append.records[0]
    key, digest, name = one.order.key.hex, append.digest.hex(), type.encode().hex()
    sure = f"JOIN {prefix}event e ON {_is(shard_id, behind)}" if behind.sure and behind.first_seq else ""
    news = (shard_id, seq, behind.at_us + 1, sure, key, digest, name)
    keyed = append.key is not None
    given = f"X'{key}'" if keyed else "NULL"
    return texts.one % (*news, shard_id, seq, ts_us, topics, one.crcs[0], key, keyed, given, name, digest, body.hex())


def _is(shard_id: int, end: End) -> str:
    return f"e.shard_id={shard_id} AND e.seq={end.first_seq} AND e.count={end.length} AND e.at_us={end.at_us}"


def batch(texts: Texts, prefix: str, written: Sequence[Written], room: int) -> Iterator[str]:
    """The statements of any number of appends, without begin and commit. The time comes back with the second one's."""
    sure = [(one.shard_id, one.behind) for one in written if one.behind.sure and one.behind.first_seq]
    ends = " OR ".join([f"({_is(*end)})" for end in sure])
    yield texts.now % (f"(SELECT COUNT(*) FROM {prefix}event e WHERE {ends})={len(sure)}" if sure else "TRUE")
    yield from _cut(texts.news, (_news_row(n, one) for n, one in enumerate(written)), room)
    yield from events(texts, (row for n, one in enumerate(written) for row in _rows(n, one)), room)


def _time(n: int, one: Written) -> str:
    """The time of the n-th receipt of a batch, in the server's words."""
    return f"GREATEST(LAST_INSERT_ID(@foldlog_now),{one.behind.at_us + 1})+{n}"


def times(now: int, written: Sequence[Written]) -> list[int]:
    """The same in ours."""
    return [max(now, one.behind.at_us + 1) + n for n, one in enumerate(written)]


def _news_row(n: int, one: Written) -> str:
    append, kinds = one.order.append, one.kinds.encode()
    types = f"X'{kinds.hex()}'" if len(kinds) <= KINDS else "NULL"
    place = f"{one.shard_id},{one.first_seq},{_time(n, one)},{len(append.records)}"
    return f"({place},X'{one.order.key.hex}',X'{append.digest.hex()}',{types})"


class _Line(NamedTuple):
    """A row of `event`, with the receipt's columns in the server's words."""

    shard_id: int
    seq: int
    type: str
    ts_us: int
    topics: int
    crc: int
    receipt: str
    digest: str
    body: bytes


def _rows(n: int, one: Written) -> Iterator[_Line]:
    append, shard_id = one.order.append, one.shard_id
    receipt = _receipt(_time(n, one), len(append.records), one.order.key.hex, keyed=append.key is not None)
    digest = f"X'{append.digest.hex()}'"
    for seq, ((type, ts_us, topics, body), crc) in enumerate(zip(append.records, one.crcs, strict=True), one.first_seq):
        yield _Line(shard_id, seq, type, ts_us, topics, crc, receipt, digest, body)
        receipt, digest = _NO_RECEIPT, "NULL"


def lines(rows: Iterable[EventRow]) -> Iterator[_Line]:
    """Rows of `event` as statements have them."""
    for shard_id, seq, (type, ts_us, topics, body), crc, given in rows:
        receipt, digest = _NO_RECEIPT, "NULL"
        if given is not None:
            at_us, count, key, keyed, hash = given
            receipt, digest = _receipt(str(at_us), count, key.hex, keyed=keyed), f"X'{hash.hex()}'"
        yield _Line(shard_id, seq, type, ts_us, topics, crc, receipt, digest, body)


_NO_RECEIPT = "NULL,NULL,NULL,NULL,NULL"


def _receipt(at_us: str, count: int, key: str, *, keyed: bool) -> str:
    given = f"X'{key}'" if keyed else "NULL"
    return f"{at_us},{count},X'{key}',{keyed:d},{given}"


def events(texts: Texts, rows: Iterable[_Line], room: int) -> Iterator[str]:
    """The statements that insert rows of `event`, and what is too long for them into `piece`."""
    long: list[tuple[int, int, bytes]] = []

    def values() -> Iterator[str]:
        for shard_id, seq, type, ts_us, topics, crc, receipt, digest, body in rows:
            if len(body) > BODY:
                long.append((shard_id, seq, body))
                body = body[:BODY]
            name = type.encode().hex()
            yield f"({shard_id},{seq},{ts_us},{topics},{crc},{receipt},X'{name}',{digest},X'{body.hex()}')"

    yield from _cut(texts.event, values(), room)
    yield from pieces(texts, long, room)


def pieces(texts: Texts, bodies: Iterable[tuple[int, int, bytes]], room: int) -> Iterator[str]:
    """The statements that insert what bodies go on with."""
    rows = (
        f"({shard_id},{seq},{part},X'{body[start : start + BODY].hex()}')"
        for shard_id, seq, body in bodies
        for part, start in enumerate(range(BODY, len(body), BODY), 1)
    )
    yield from _cut(texts.piece, rows, room)


def cut_off(columns: Sequence[str], rows: Sequence[Row]) -> tuple[list[Row], list[tuple[int, int, bytes]]]:
    """Rows with their bodies cut, and those that were, whole: shard_id, seq and body."""
    id, seq, body = (columns.index(name) for name in ("shard_id", "seq", "body"))
    long = [(row[id], row[seq], row[body]) for row in rows if len(row[body]) > BODY]
    return [(*row[:body], row[body][:BODY], *row[body + 1 :]) for row in rows], long


def some_rows(head: str, rows: Iterable[Row], room: int) -> Iterator[str]:
    """The statements that insert rows of any table."""
    yield from _cut(head, (f"({','.join([_literal(value) for value in row])})" for row in rows), room)


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    raise TypeError(f"no column holds a {type(value).__name__}")


def _cut(head: str, rows: Iterable[str], room: int) -> Iterator[str]:
    """INSERT statements with as many rows as fit."""
    some: list[str] = []
    size = len(head)
    for row in rows:
        if some and size + len(row) + 1 > room:
            yield head + ",".join(some)
            some, size = [], len(head)
        some.append(row)
        size += len(row) + 1
    if some:
        yield head + ",".join(some)


def packets(statements: Iterable[str], room: int) -> Iterator[str]:
    """Statements put together, as many as fit."""
    some: list[str] = []
    size = 0
    for statement in statements:
        if some and size + len(statement) + 1 > room:
            yield ";".join(some)
            some, size = [], 0
        some.append(statement)
        size += len(statement) + 1
    if some:
        yield ";".join(some)
