"""A table of a view: a row class, whose fields are the columns, with the key first.

Promises: the same on every database: text is compared and ordered by code point, a number has 64 bits, and what the
row class says is what is stored. A row's hash is over its canonical bytes, the same in every process and release.
Not here: which tables there are (runs.py and its like), reading and writing rows (rows.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from .dialects import of

Row: TypeAlias = tuple[Any, ...]  #: an instance of the table's row class
Key: TypeAlias = tuple[Any, ...]  #: the first fields of a row

DIGEST_BITS: Final = 128
INDEXED_BYTES: Final = 500  #: of a text that is part of a key or an index; servers limit the size of an index entry
MAX_INT: Final = 2**63 - 1
WORDS: Final = 2000  #: characters of a message for people


class _Own(sa.types.UserDefinedType[Any]):
    """A type that only the dialect can spell: dialects/mysql.py, whose driver also hands the values out as they are."""

    cache_ok = True

    def __init__(self, kind: str, most: int | None = None) -> None:
        self.kind = kind
        self.most = most


@compiles(_Own)
def _spelled(own: _Own, compiler: Any, **_: Any) -> str:
    return of(compiler.dialect).type_of(compiler.dialect, own.kind, own.most)


def in_mysql(kind: sa.types.TypeEngine[Any], own: str, most: int | None = None) -> Any:
    """A type, with another in MySQL and MariaDB: `text` or `bytes`, of at most so many bytes."""
    return kind.with_variant(_Own(own, most), "mysql")


def text(most: int | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared and ordered by code point. `most`: its bytes, where it is part of a key or an index, or is
    compared with one that is."""
    return in_mysql(sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), "text", most)  # type: ignore[no-any-return]


_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # which has one kind; INTEGER alone may be the rowid
_DATA = in_mysql(sa.LargeBinary(), "bytes")
_TEXT, _SHORT = text(), text(INDEXED_BYTES)
_TYPES: dict[str, tuple[Any, bool]] = {
    "str": (_TEXT, False),
    "str | None": (_TEXT, True),
    "int": (_INT, False),
    "int | None": (_INT, True),
    "bytes": (_DATA, False),
    "bytes | None": (_DATA, True),
}
IN_MYSQL: Final[dict[str, Any]] = {"mysql_engine": "InnoDB", "mysql_row_format": "DYNAMIC"}
_canonical = msgspec.msgpack.Encoder().encode  # one form for each value, and several times as fast as JSON
_flat_json = msgspec.json.Encoder(order="sorted").encode
_FLAT: Final = frozenset((type(None), bool, int, float, str))


class Table:
    """A table by its row class."""

    __slots__ = ("_declared", "columns", "hot", "indexes", "key", "late", "name", "of_run", "row", "short", "wide")

    def __init__(
        self,
        name: str,
        row: type[Any],
        *,
        key: int,
        indexes: Sequence[tuple[str, ...]] = (),
        late: Sequence[tuple[str, ...]] = (),
        also_short: Sequence[str] = (),
        of_run: bool = False,
        hot: bool = False,
        wide: bool = False,
    ) -> None:
        self.name = name  #: with the version of its view, as `runs_v1`
        self.row = row  #: a NamedTuple of text, integers and bytes, each of which may be None outside the key
        self.key = key  #: how many of its first fields are the primary key
        # An index over rows that are there costs a fraction of one that is kept up: a rebuild makes them at its end.
        self.indexes = indexes  #: in which folds look; made in the middle if one does
        self.late = late  #: in which no fold looks
        # Text of at most `INDEXED_BYTES`: what is part of the key or an index, and `also_short`, which a question
        # compares with such a one, or puts in its place.
        self.short = frozenset((*row._fields[:key], *also_short, *(one for some in (*indexes, *late) for one in some)))
        self.of_run = of_run  #: its keys begin with a run id, and only events of that run's shard make rows there
        self.hot = hot  #: events of many runs change the same rows; a rebuild keeps them at hand from page to page
        # SQLite keeps a row of a table WITHOUT ROWID whole up to 1,002 bytes only, and gives the rest of a longer one
        # a page of its own: events of 1,015 bytes took 4.7 KB each.
        self.wide = wide  #: its rows hold events as stored
        self.columns: tuple[str, ...] = row._fields
        self._declared: dict[str, sa.Table] = {}  # making one takes a millisecond, as long as a question

    def __repr__(self) -> str:
        return f"<Table {self.name}>"

    def declare(self, generation: int, *, building: bool = False) -> sa.Table:
        """The table for SQLAlchemy. While it is built beside the live one it has a name of its own; its indexes keep
        theirs when the table takes the live name, so each generation has other ones."""
        name = f"{self.name}_g{generation}" if building else self.name
        if name in self._declared:
            return self._declared[name]
        table = sa.Table(
            name,
            sa.MetaData(),
            *(self._column(name, number < self.key) for number, name in enumerate(self.columns)),
            sqlite_with_rowid=self.wide,
            **IN_MYSQL,
        )
        for columns in (*self.indexes, *self.late):
            name = f"ix_{self.name}_{'_'.join(columns)}_g{generation}"
            sa.Index(name, *(table.c[column] for column in columns), info={"late": columns in self.late})
        if not building:
            self._declared[table.name] = table
        return table

    def _column(self, name: str, in_key: bool) -> sa.Column[Any]:
        kind, nullable = _TYPES[self.row.__annotations__[name].__forward_arg__]
        if name in self.short and kind is _TEXT:
            kind = _SHORT
        return sa.Column(name, kind, primary_key=in_key, nullable=nullable, autoincrement=False)

    def is_text(self, name: str) -> bool:
        """Whether a column holds text."""
        return _TYPES[self.row.__annotations__[name].__forward_arg__][0] is _TEXT

    def hash(self, rows: Iterable[Row]) -> int:
        """The sum of the rows' hashes; a hash is 128 bits of the row's canonical form: a msgpack array of the table's
        name and the values."""
        name, encode, hashed, number = self.name, _canonical, blake2b, int.from_bytes
        return sum([number(hashed(encode((name, *row)), digest_size=16).digest()) for row in rows])


def keyed(text: str) -> str:
    """`text` as a key or an index can hold it: no NUL, which servers refuse, and at most `INDEXED_BYTES`; what is
    longer keeps its beginning and a hash."""
    if "\x00" in text:
        text = text.replace("\x00", "\u2400")
    if len(text) * 4 <= INDEXED_BYTES:
        return text
    data = text.encode()
    if len(data) <= INDEXED_BYTES:
        return text
    start = data[: INDEXED_BYTES - 34].decode(errors="ignore")
    return f"{start}~{blake2b(data, digest_size=16).hexdigest()}"


def words(text: str | None) -> str | None:
    """`text` for people: no NUL, and not longer than is read."""
    if text is None:
        return None
    if len(text) > WORDS:
        text = text[:WORDS] + "..."
    return text.replace("\x00", "\u2400")


def whole(text: str | None) -> bytes | None:
    """A program's own text, such as a cursor, to the last character: it is handed back, so nothing is cut."""
    return None if text is None else text.encode("utf-8", "surrogatepass")


def text_of(data: bytes | None) -> str | None:
    """What `whole` kept. A driver may hand it out as another kind of buffer."""
    return None if data is None else bytes(data).decode("utf-8", "surrogatepass")


def keyed_or_none(text: str | None) -> str | None:
    """`keyed`, of what may be missing."""
    return None if text is None else keyed(text)


def number(value: int) -> int:
    """`value` as a database can hold it; facts may hold larger ones."""
    return max(-MAX_INT, min(value, MAX_INT))


def number_or_none(value: int | None) -> int | None:
    """`number`, of what may be missing."""
    return None if value is None else number(value)


def plain_json(values: dict[str, Any]) -> str | None:
    """Metadata as JSON for people and SQL: sorted, one text for equal values; None if there is none.

    A structured value is an array of its tag and its fields, as on the wire; a number JSON cannot write is text.
    """
    if not values:
        return None
    if _FLAT.issuperset(map(type, values.values())) and not _odd(values):
        return _flat_json(values).decode()  # the usual metadata, at a tenth of the cost
    return _flat_json(_plain(values)).decode()


def _odd(values: dict[str, Any]) -> list[float]:
    """The numbers that JSON cannot write."""
    return [one for one in values.values() if type(one) is float and one - one != 0.0]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if value - value == 0.0 else repr(value)  # nan, inf and -inf as text
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    fields = [_plain(getattr(value, name)) for name in value.__struct_fields__]
    tag = value.__struct_config__.tag
    return fields if tag is None else [tag, *fields]
