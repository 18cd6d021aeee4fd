"""Whatever a fact holds, it comes back; whatever bytes are read, an event or CorruptLogError comes out, soon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import msgspec.inspect as mi
import pytest
from hypothesis import given, settings, strategies as st

from foldlog.engine import events
from foldlog.engine.errors import CorruptLogError, EncodingError
from foldlog.engine.events import AssetKey, ErrorInfo, Event, Fact, Opaque
from foldlog.serdes import Codec, kinds

codec = Codec()
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.bin"))
QUICK = settings(max_examples=25, deadline=None)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ints = st.integers(-(2**63), 2**64 - 1)
scalars = st.none() | st.booleans() | ints | st.floats(allow_nan=False) | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
keys = st.lists(texts.filter(bool), min_size=1, max_size=3).map(lambda parts: AssetKey(tuple(parts)))
errors = st.recursive(
    st.none(),
    lambda cause: st.builds(
        ErrorInfo, class_name=texts, message=texts, stack=st.lists(texts, max_size=2).map(tuple), cause=cause
    ),
    max_leaves=3,
)
plain_documents = st.dictionaries(texts, documents, max_size=3)


def values(info: mi.Type) -> st.SearchStrategy[Any]:
    """What a field of this type may hold."""
    match info:
        case mi.UnionType(types=types):
            return st.one_of(*map(values, types))
        case mi.StructType(cls=cls) if cls is AssetKey:
            return keys
        case mi.StructType(cls=cls) if cls is ErrorInfo:
            return errors.filter(bool)
        case mi.StructType():
            return st.builds(info.cls, **{field.name: values(field.type) for field in info.fields})
        case mi.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3).map(tuple)
        case mi.DictType(value_type=item):
            return st.dictionaries(texts, values(item), max_size=4)
        case mi.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case mi.AnyType():
            return documents
    simple = {mi.StrType: texts, mi.IntType: ints, mi.FloatType: st.floats(allow_nan=False), mi.BoolType: st.booleans()}
    return simple.get(type(info), st.none())


def facts_of(name: str) -> st.SearchStrategy[Fact]:
    return values(mi.type_info(getattr(events, kinds.BUILT_IN[name])))


some_events = st.builds(
    Event,
    st.sampled_from(sorted(kinds.BUILT_IN)).flatmap(facts_of),
    st.integers(0, 2**63 - 1),
    st.none() | texts,
    st.none() | texts,
    st.none() | ints,
    st.none() | texts,
)


def shuffled(value: Any) -> Any:
    """`value` with every dict in another order."""
    if isinstance(value, dict):
        return {key: shuffled(one) for key, one in reversed(value.items())}
    if isinstance(value, list | tuple):
        return type(value)(map(shuffled, value))
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: shuffled(getattr(value, name)) for name in value.__struct_fields__})
    return value


@pytest.mark.parametrize("name", sorted(kinds.BUILT_IN))
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_kind_comes_back(name: str, data: st.DataObject) -> None:
    event = Event(data.draw(facts_of(name)), 1_795_219_200_000_000, "step")
    (record,), told = codec.encode([event])
    read = codec.decode(record.type, record.body, record.topics)
    assert read == event
    assert codec.encode([read]) == ([record], told)
    known = kinds.find(name)
    assert known is not None
    assert known.check(event.fact), "the quick check takes a good fact for a doubtful one"


@QUICK
@given(event=some_events)
def test_equal_facts_have_equal_bytes_whatever_the_order_of_dicts(event: Event[Any]) -> None:
    other = Event(shuffled(event.fact), event.timestamp_us, event.step_key, event.job_name, event.level, event.message)
    assert codec.encode([event]) == codec.encode([other])


@QUICK
@given(one=st.lists(some_events, max_size=3), other=st.lists(some_events, max_size=3))
def test_the_digest_differs_when_the_facts_do(one: list[Event[Any]], other: list[Event[Any]]) -> None:
    def facts(records: list[Any]) -> list[Any]:
        return [(record.type, msgpack.packb(msgpack.unpackb(record.body)[0])) for record in records]

    (records, told), (records_2, told_2) = codec.encode(one), codec.encode(other)
    assert (told == told_2) == (facts(records) == facts(records_2))
    assert codec.digest(records) == told


@QUICK
@given(event=some_events, at=st.integers(0, 2**63 - 1), message=texts)
def test_the_digest_does_not_cover_the_envelope(event: Event[Any], at: int, message: str) -> None:
    assert codec.encode([event])[1] == codec.encode([Event(event.fact, at, "other", None, 10, message)])[1]


junk = st.one_of(
    st.binary(max_size=3),
    st.sets(st.integers(), max_size=2),
    st.builds(object),
    st.complex_numbers(),
    st.decimals(),
    st.datetimes(),
    st.uuids(),
    st.integers(2**63, 2**70),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.integers(), st.integers(), max_size=2),
    scalars,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(kinds.BUILT_IN)), bad=junk)
def test_what_is_accepted_can_be_read(data: st.DataObject, name: str, bad: Any) -> None:
    """The worst bug there is: an append is acknowledged, and its event can never be read."""
    fact = data.draw(facts_of(name))
    fields = fact.__struct_fields__
    if fields:
        field = data.draw(st.sampled_from(fields))
        held = getattr(fact, field)
        if isinstance(held, dict) and data.draw(st.booleans()):
            bad = {**held, "bad": bad}
        fact = msgspec.structs.replace(fact, **{field: bad})
    try:
        (record,), _ = codec.encode([Event(fact, 1)])
    except EncodingError:
        return
    read = codec.decode(record.type, record.body)
    assert codec.encode([read])[0][0].type == name


# -- hostile bytes ----------------------------------------------------------------------------------------------


def takes_it(name: str, raw: bytes) -> None:
    """An event or CorruptLogError; and an event can be written again."""
    try:
        event = codec.decode(name, raw)
    except CorruptLogError:
        return
    if isinstance(event.fact, Opaque):
        assert codec.encode([event])[0][0].body == raw


@settings(max_examples=400, deadline=None)
@given(path=st.sampled_from(GOLDEN), data=st.data())
def test_altered_bytes_never_crash(path: Path, data: st.DataObject) -> None:
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["set", "cut", "add"])):
            case "set":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut" if len(raw) > 1:
                del raw[at]
            case _:
                raw[at:at] = data.draw(st.binary(max_size=6))
    takes_it(path.stem.rsplit(".v", 1)[0], bytes(raw))


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=60), name=st.sampled_from([*sorted(kinds.BUILT_IN), "SOMEONE_ELSES"]))
def test_any_bytes_never_crash(raw: bytes, name: str) -> None:
    takes_it(name, raw)
    takes_it(name, b"\x97" + raw + b"\x01")


HOSTILE = {
    "array of 4 thousand million": b"\xdd\xff\xff\xff\xff",
    "map of 4 thousand million": b"\xdf\xff\xff\xff\xff",
    "text of 4 gigabytes": b"\xdb\xff\xff\xff\xff",
    "bytes of 4 gigabytes": b"\xc6\xff\xff\xff\xff",
    "extension of 4 gigabytes": b"\xc9\xff\xff\xff\xff\x01",
    "arrays of 65535, nested": b"\xdc\xff\xff" * 3000,
    "arrays of 4 thousand million, nested": b"\xdd\xff\xff\xff\xff" * 900,
    "maps of 65535, nested": b"\xde\xff\xff\xa1a" * 3000,
    "a million arrays, nested": b"\x91" * 1_000_000,
    "a million maps, nested": b"\x81\xa1a" * 1_000_000,
    "maps as keys": b"\x81" * 100_000,
    "a time out of range": b"\xc7\x0c\xff" + b"\xff" * 12,
}
PLACES = {
    "STEP_START": b"\x97%s\x01",
    "SOMEONE_ELSES": b"\x97%s\x01",
    "RUN_CREATED": b"\x97\x82\xa8job_name\xa1j\xaarun_config\x81\xa1a%s\x01",
    "RUN_TAGS_ADDED": b"\x97\x81\xa4tags%s\x01",
    "RUN_TAGS_REMOVED": b"\x97\x81\xa4keys%s\x01",
    "ASSET_MATERIALIZATION": b"\x97\x82\xa9asset_key\x91\x91\xa1a\xa8metadata\x81\xa1j\x92\xa1j%s\x01",
    "ASSET_OBSERVATION": b"\x97\x82\xa9asset_key\x91\x91\xa1a\xa5other%s\x01",
    "STEP_FAILURE": b"\x97\x81\xa5error" + b"\x83\xaaclass_name\xa0\xa7message\xa0\xa5cause" * 20_000 + b"%s\x01",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("name", "place"), PLACES.items(), ids=PLACES)
def test_lying_lengths_and_depths_end_soon(name: str, place: bytes, hostile: bytes) -> None:
    raw = place.replace(b"%s", hostile)
    started = time.perf_counter()
    takes_it(name, raw)
    takes_it(name, raw[:-1] + b"\x00" * 100 + b"\x01")
    takes_it(name, raw[:-1] + b"\x02")
    assert time.perf_counter() - started < 2


@pytest.mark.skipif(os.name != "posix", reason="limits memory as POSIX does")
def test_lying_lengths_take_no_memory() -> None:
    code = """
import peak, test_serdes_properties as t
for name, place in t.PLACES.items():
    for hostile in t.HOSTILE.values():
        t.takes_it(name, place.replace(b"%s", hostile))
print(peak.peak_kib() // 1024)
"""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}\n{code}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 400  # MiB, Python and hypothesis included
