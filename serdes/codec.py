"""Events to bytes and back. Format version 1: docs/format.md.

A record's body is one msgpack array, [fact, timestamp_us, step_key, job_name, level, message, version]: the fact a
map of the fields that differ from their defaults, the version a positive fixint and last, so `body[-1]` tells it.
The stable name stands beside the body, in `Record.type`. Equal facts have equal bytes.

Promises: what `encode` accepts, `decode` reads; `decode` runs no code but the classes and upcasts of serdes/kinds.py,
and answers any bytes with an event or CorruptLogError, in time and memory proportional to their length.
Not here: which class a name stands for (kinds.py), what a value may be (shape.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NoReturn

import msgpack
import msgspec
from msgspec.structs import astuple

from ..engine.errors import CorruptLogError, EncodingError, UsageError
from ..engine.events.event import Event, Opaque, Record
from . import kinds, shape

DIGEST_SIZE: Final = 16
MAX_TIME: Final = 2**63 - 1  #: microseconds; databases keep times as signed integers of 64 bits

_HEAD: Final = b"\x97"  # an array of seven: the fact and the six items after it
_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_new: Any = tuple.__new__
_none = type(None)
_blank = blake2b(digest_size=DIGEST_SIZE)
_by_class = kinds.by_class
_by_name = kinds.by_name
# What decoding may raise on bytes that are not what they should be. Whatever else it raises is our bug.
_DAMAGE: Final = (msgspec.MsgspecError, msgpack.UnpackException, ValueError, RecursionError, IndexError, OverflowError)


class _Frame(msgspec.Struct, array_like=True):
    """A body whose fact stays bytes."""

    fact: msgspec.Raw
    timestamp_us: int
    step_key: str | None
    job_name: str | None
    level: int | None
    message: str | None
    seventh: Any = None  #: the version; a newer format may have more items before it


_frame = msgspec.msgpack.Decoder(_Frame).decode


class Codec:
    """Events to records and back. Without state of its own; safe to share between threads."""

    def encode(self, events: Sequence[Event[Any]]) -> tuple[list[Record], bytes]:
        """The records of one append, and the digest of its facts: 16 bytes, equal when the facts are.

        The digest is BLAKE2b over [name, version, fact] of each event, in order. Envelopes are not covered: an honest
        retry has a new timestamp.

        Raises EncodingError, with the path, for a value that cannot be stored, so that what is accepted can be read;
        UsageError for a fact of a class that is not registered.
        """
        records: list[Record] = []
        canonical: list[bytes] = []
        for event in events:
            try:
                fact = event.fact
            except AttributeError:
                raise UsageError(f"{type(event).__qualname__} is no event; wrap the fact: Event.now(fact)") from None
            known = _by_class.get(type(fact))
            if known is None:
                if isinstance(fact, Opaque):
                    records.append(self._copy(event, fact))
                    canonical.append(_canonical(fact.name, fact.body))
                    continue
                known = kinds.find_class(type(fact))
            timestamp, step, job, level, message = (
                event.timestamp_us,
                event.step_key,
                event.job_name,
                event.level,
                event.message,
            )
            try:
                data = _pack(fact)
                tail = _pack((timestamp, step, job, level, message, known.version))
                plain = known.check(fact)
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                _refuse(known, event, error)
            if not plain:
                _look_closer(known, event, data)
            if not (
                type(timestamp) is int
                and 0 <= timestamp <= MAX_TIME
                and (step is None or type(step) is str)
                and (job is None or type(job) is str)
                and (level is None or type(level) is int)
                and (message is None or type(message) is str)
            ):
                _refuse(known, event, None)
            records.append(_new(Record, (known.name, timestamp, known.flags, _HEAD + data + tail[1:])))
            canonical += known.prefix, data
        return records, _hash(canonical)

    def decode(self, type: str, body: bytes, topics: int | None = None) -> Event[Any]:
        """The event that `encode` made of these.

        An older version is lifted by its upcasts, and a field that is missing takes its default. A name not known
        here, or a newer version, gives an event with an `Opaque` fact, which encodes to the same bytes again
        (`topics`: as stored beside the record, for that case).

        Raises CorruptLogError if the bytes are not an event's.
        """
        known = _by_name.get(type) or kinds.find(type)
        try:
            if known is not None and body[-1] == known.version:
                return known.decode(body)
            return _decode_other(known, type, bytes(body), topics)
        except _DAMAGE as error:
            if isinstance(error, UsageError):
                raise
            raise CorruptLogError(f"a record of type {type}, {len(body)} bytes, is damaged: {error}") from error

    def version_of(self, type: str) -> int:
        """The newest version of a kind that `decode` knows; 0 for a name that is not known here."""
        known = _by_name.get(type) or kinds.find(type)
        return known.version if known is not None else 0

    def _copy(self, event: Event[Any], fact: Opaque) -> Record:
        """The record of a fact that is not known here, as it was. Its envelope is in the bytes and cannot change."""
        try:
            read = self.decode(fact.name, fact.body)
        except CorruptLogError as error:
            raise EncodingError(f"{fact.name}: the bytes of an unknown fact are no event's: {error}") from error
        if astuple(event)[1:] != astuple(read)[1:]:
            raise EncodingError(f"{fact.name}: the envelope of a fact that is not known here cannot be changed")
        if not 0 <= event.timestamp_us <= MAX_TIME:
            raise EncodingError(f"{fact.name}: timestamp_us={event.timestamp_us} is out of range: 0 to 2**63 - 1")
        return Record(fact.name, event.timestamp_us, int(fact.topics), fact.body)

    def digest(self, records: Sequence[Record]) -> bytes:
        """The digest that `encode` gave for these records, from their bytes alone: no class is needed."""
        try:
            return _hash([_canonical(record.type, record.body) for record in records])
        except _DAMAGE as error:
            raise CorruptLogError(f"one of {len(records)} records is damaged: {error}") from error


def _hash(canonical: list[bytes]) -> bytes:
    blake = _blank.copy()  # half the cost of making one with its arguments
    blake.update(b"".join(canonical))
    return blake.digest()


def _canonical(name: str, body: bytes) -> bytes:
    """What the digest covers of one record."""
    return kinds.prefix_of(name, _version(body)) + bytes(_frame(body).fact)


def _version(body: bytes) -> int:
    if body[0] != 0x97 and not 0x98 <= body[0] <= 0x9F:
        raise ValueError("it is no array of seven items or more")
    version = body[-1]
    if not 1 <= version <= 127:
        raise ValueError(f"it ends in {version:#04x}, which is no version")
    return version


def _decode_other(known: kinds.Known | None, type: str, body: bytes, topics: int | None) -> Event[Any]:
    """A body of another version than the newest known here, or of a kind not known."""
    version = _version(body)
    frame = _frame(body)
    if body[0] == 0x97 and (frame.seventh != version or isinstance(frame.seventh, bool)):
        raise ValueError(f"its version is {frame.seventh!r:.40}, its last byte {version}")
    envelope = (frame.timestamp_us, frame.step_key, frame.job_name, frame.level, frame.message)
    if known is None or version > known.version:
        fact = Opaque(name=type, version=version, body=body)
        if topics is not None:
            fact = msgspec.structs.replace(fact, topics=topics)
        return Event(fact, *envelope)
    plain = msgpack.unpackb(bytes(frame.fact))
    if not isinstance(plain, dict):
        raise ValueError(f"its fact is {plain.__class__.__name__}, not a map")
    return Event(msgspec.convert(kinds.lift(known, plain, version), known.cls), *envelope)


def _look_closer(known: kinds.Known, event: Event[Any], data: bytes) -> None:
    """The slow half of the check: name what is wrong with the fact, or prove by decoding that nothing is."""
    problem = known.shape.problem(event.fact, "")
    if problem is None:
        try:
            known.decode(_HEAD + data + _pack((0, None, None, None, None, known.version))[1:])
        except _DAMAGE as error:
            problem = str(error)
    if problem is not None:
        raise EncodingError(f"{known.name}: {problem}")


def _refuse(known: kinds.Known, event: Event[Any], error: Exception | None) -> NoReturn:
    """Raise EncodingError with the path to what could not be encoded."""
    try:
        problem = known.shape.problem(event.fact, "")
    except RecursionError:  # a struct of users that holds itself, thousands deep
        problem = "nested too deep"
    problem = problem or _envelope_problem(event) or f"cannot be encoded: {error}"
    raise EncodingError(f"{known.name}: {problem}") from error


def _envelope_problem(event: Event[Any]) -> str | None:
    for name, wanted, value in (
        ("timestamp_us", (int,), event.timestamp_us),
        ("step_key", (str, _none), event.step_key),
        ("job_name", (str, _none), event.job_name),
        ("level", (int, _none), event.level),
        ("message", (str, _none), event.message),
    ):
        if type(value) not in wanted:
            return f"event.{name}: {type(value).__name__} where {wanted[0].__name__} is meant"
        problem = shape.scalar_problem(value, f"event.{name}")
        if problem:
            return problem
    if not 0 <= event.timestamp_us <= MAX_TIME:
        return f"event.timestamp_us: {event.timestamp_us} is not from 0 to 2**63 - 1 microseconds since 1970"
    return None
