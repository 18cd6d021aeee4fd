"""Events to bytes and back: what is refused, what is unknown, what has changed since it was written."""

from __future__ import annotations

import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import msgspec
import pytest

from foldlog.engine.errors import CorruptLogError, EncodingError, UsageError
from foldlog.engine.events import (
    AssetKey,
    AssetMaterialization,
    ErrorInfo,
    Event,
    Fact,
    JsonMetadata,
    LogMessage,
    Opaque,
    Record,
    Retention,
    RunCreated,
    RunStatus,
    RunTagsAdded,
    StepFailed,
    StepStarted,
    StepSucceeded,
    TableMetadata,
    TimestampMetadata,
    Topic,
    UrlMetadata,
)
from foldlog.serdes import Codec, kinds, register, upcast

codec = Codec()
KEY = AssetKey(("a",))
AT = 1_795_219_200_000_000


def encode(fact: Fact, **envelope: Any) -> Record:
    (record,), _ = codec.encode([Event(fact, AT, **envelope)])
    return record


def again(fact: Fact) -> Any:
    record = encode(fact)
    return codec.decode(record.type, record.body).fact


def digest(*facts: Fact, at: int = AT) -> bytes:
    return codec.encode([Event(fact, at) for fact in facts])[1]


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    tables: list[dict[Any, Any]] = [kinds._registered, kinds._steps, kinds.by_name, kinds.by_class]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


# -- format version 1 -------------------------------------------------------------------------------------------


def test_a_body_is_an_array_that_ends_in_its_version() -> None:
    record = encode(StepStarted(attempt=2), step_key="load", job_name="nightly", level=20, message="go")
    assert record == ("STEP_START", AT, Topic.STEP | Retention.RUN, record.body)
    assert msgpack.unpackb(record.body) == [{"attempt": 2}, AT, "load", "nightly", 20, "go", 1]
    assert record.body[-1] == 1


def test_defaults_take_no_room() -> None:
    assert msgpack.unpackb(encode(StepStarted()).body) == [{}, AT, None, None, None, None, 1]


def test_the_digest_is_over_name_version_and_fact() -> None:
    from hashlib import blake2b

    facts = [StepStarted(attempt=2), LogMessage(text="x")]
    plain = [["STEP_START", 1, {"attempt": 2}], ["LOG_MESSAGE", 1, {"text": "x"}]]
    assert digest(*facts) == blake2b(b"".join(map(msgpack.packb, plain)), digest_size=16).digest()
    assert digest(*facts) == digest(*facts, at=AT + 1)
    assert digest(*facts) != digest(*reversed(facts))
    assert len({digest(), digest(facts[0]), digest(facts[1]), digest(facts[0], facts[0])}) == 4


def test_the_digest_can_be_told_from_bytes_alone() -> None:
    records, told = codec.encode([Event(StepStarted(attempt=3), AT, "load"), Event(LogMessage(text="x"), AT)])
    foreign = [Record(f"NOT_{record.type}", *record[1:]) for record in records]
    assert codec.digest(records) == told != codec.digest(foreign)
    with pytest.raises(CorruptLogError):
        codec.digest([Record("STEP_START", AT, 0, b"\x97\x80")])


def test_order_in_a_dict_does_not_matter() -> None:
    one = RunTagsAdded(tags={"a": "1", "b": "2"})
    other = RunTagsAdded(tags={"b": "2", "a": "1"})
    assert encode(one) == encode(other)
    deep = (JsonMetadata({"x": {"a": 1, "b": 2}}), JsonMetadata({"x": {"b": 2, "a": 1}}))
    assert len({encode(AssetMaterialization(asset_key=KEY, metadata={"j": value})).body for value in deep}) == 1


# -- values with a stated behaviour -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 0, -(2**63), 2**64 - 1, 2**53 + 1]
)
def test_numbers_are_kept(number: float) -> None:
    fact = AssetMaterialization(asset_key=KEY, metadata={"n": number, "j": JsonMetadata([number])})
    assert again(fact) == fact
    assert type(again(fact).metadata["n"]) is type(number)


def test_nan_and_minus_zero_are_kept() -> None:
    fact = again(
        AssetMaterialization(asset_key=KEY, metadata={"nan": math.nan, "zero": -0.0, "j": JsonMetadata(math.nan)})
    )
    assert math.isnan(fact.metadata["nan"])
    assert math.isnan(fact.metadata["j"].value)
    assert math.copysign(1, fact.metadata["zero"]) == -1
    assert digest(AssetMaterialization(asset_key=KEY, metadata={"n": math.nan})) == digest(
        AssetMaterialization(asset_key=KEY, metadata={"n": math.nan})
    )


def test_one_and_one_point_zero_and_true_are_three_values() -> None:
    digests = {digest(AssetMaterialization(asset_key=KEY, metadata={"n": one})) for one in (1, 1.0, True, "1")}
    assert len(digests) == 4


@pytest.mark.parametrize("text", ["", "\0", "ä", "😀", "\u2028", "a" * 70_000, "\uffff"])
def test_text_is_kept(text: str) -> None:
    fact = RunTagsAdded(tags={f"k{text}": text})
    assert again(fact) == fact


def test_a_tuple_in_a_document_is_read_as_a_list() -> None:
    assert again(RunCreated(job_name="j", run_config={"a": (1, (2,))})).run_config == {"a": [1, [2]]}


def test_a_list_may_stand_for_a_tuple() -> None:
    assert again(StepFailed(error=ErrorInfo(class_name="E", message="", stack=["a\n"]))).error.stack == ("a\n",)  # type: ignore[arg-type]


class Odd:
    """An object that no format knows."""


class Text(str):
    """A str of another class."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


REFUSED: list[tuple[Any, str]] = [
    (StepStarted(attempt="x"), "STEP_START: attempt: str where int is meant"),  # type: ignore[arg-type]
    (StepStarted(attempt=True), "STEP_START: attempt: bool where int is meant"),
    (StepStarted(attempt=None), "STEP_START: attempt: NoneType where int is meant"),  # type: ignore[arg-type]
    (StepStarted(attempt=1.0), "STEP_START: attempt: float where int is meant"),  # type: ignore[arg-type]
    (StepStarted(attempt=2**64), "STEP_START: attempt: an integer of 65 bits"),
    (StepStarted(attempt=-(2**63) - 1), "STEP_START: attempt: an integer of 64 bits"),
    (StepStarted(attempt=10**5000), "STEP_START: attempt: an integer of 16610 bits"),
    (StepSucceeded(duration_us=1.5), "STEP_SUCCESS: duration_us: float where NoneType or int is meant"),  # type: ignore[arg-type]
    (LogMessage(text=b"raw"), "LOG_MESSAGE: text: bytes where str is meant"),  # type: ignore[arg-type]
    (LogMessage(text="a\ud800"), "LOG_MESSAGE: text: a lone surrogate at character 1"),
    (LogMessage(text=Text("a")), "LOG_MESSAGE: text: test_serdes.Text where str is meant"),
    (RunTagsAdded(tags={"team": 1}), "RUN_TAGS_ADDED: tags['team']: int where str is meant"),  # type: ignore[dict-item]
    (RunTagsAdded(tags={1: "a"}), "RUN_TAGS_ADDED: tags: the key 1 is int; keys are text"),  # type: ignore[dict-item]
    (RunTagsAdded(tags={"\udfff": "a"}), "a lone surrogate at character 0"),
    (RunTagsAdded(tags=["a"]), "RUN_TAGS_ADDED: tags: list where dict is meant"),  # type: ignore[arg-type]
    (RunCreated(job_name="j", status="LOST"), "status: str where RunStatus is meant"),  # type: ignore[arg-type]
    (
        RunCreated(job_name="j", run_config={"a": {"b": [1, {2}]}}),
        "RUN_CREATED: run_config['a']['b'][1]: set in a plain",
    ),
    (RunCreated(job_name="j", run_config={"a": b"raw"}), "run_config['a']: bytes in a plain document"),
    (RunCreated(job_name="j", run_config={"a": datetime.now(UTC)}), "run_config['a']: datetime.datetime in a plain"),
    (RunCreated(job_name="j", run_config={"a": Odd()}), "test_serdes.Odd in a plain document"),
    (RunCreated(job_name="j", run_config={"a": KEY}), "run_config['a']: foldlog.engine.events.key.AssetKey in a plain"),
    (RunCreated(job_name="j", run_config={"a": RunStatus.QUEUED}), "run_config['a']: "),
    (RunCreated(job_name="j", run_config={"a": msgpack.ExtType(1, b"")}), "run_config['a']"),
    (
        RunCreated(job_name="j", run_config={"a": msgspec.Raw(b"\x01")}),
        "run_config['a']: msgspec.Raw in a plain document",
    ),
    (RunCreated(job_name="j", run_config={"a": {1: 2}}), "run_config['a']: the key 1 is int; keys are text"),
    (RunCreated(job_name="j", run_config={"a": nested(65)}), "nested more than 64 deep"),
    (RunCreated(job_name="j", run_config={"a": nested(5000)}), "nested more than 64 deep"),
    (RunCreated(job_name="j", asset_selection=("a",)), "asset_selection[0]: str where AssetKey is meant"),  # type: ignore[arg-type]
    (AssetMaterialization(asset_key="a/b"), "asset_key: str where AssetKey is meant"),  # type: ignore[arg-type]
    (
        AssetMaterialization(asset_key=KEY, metadata={"rows": JsonMetadata([0, 1, 2, {"a": datetime.now(UTC)}])}),
        "ASSET_MATERIALIZATION: metadata['rows'].value[3]['a']: datetime.datetime in a plain document",
    ),
    (
        AssetMaterialization(asset_key=KEY, metadata={"at": datetime.now(UTC)}),
        "metadata['at']: datetime.datetime where",
    ),  # type: ignore[dict-item]
    (AssetMaterialization(asset_key=KEY, metadata={"l": [1]}), "metadata['l']: list where"),  # type: ignore[dict-item]
    (AssetMaterialization(asset_key=KEY, metadata={"u": UrlMetadata(5)}), "metadata['u'].url: int where str is meant"),  # type: ignore[arg-type]
    (AssetMaterialization(asset_key=KEY, metadata={"t": TimestampMetadata(1.5)}), "metadata['t'].timestamp_us: float"),  # type: ignore[arg-type]
    (
        AssetMaterialization(asset_key=KEY, metadata={"t": TableMetadata(({"a": 1}, {"a": [2]}))}),  # type: ignore[dict-item]
        "metadata['t'].records[1]['a']: list where",
    ),
    (
        StepFailed(error=ErrorInfo(class_name="E", message="m", cause=ErrorInfo(class_name="F", message=3))),  # type: ignore[arg-type]
        "STEP_FAILURE: error.cause.message: int where str is meant",
    ),
    (StepFailed(error=ValueError("x")), "STEP_FAILURE: error: ValueError where ErrorInfo or NoneType is meant"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("fact", "says"), REFUSED, ids=range(len(REFUSED)))
def test_what_could_not_be_read_back_is_refused_with_its_path(fact: Any, says: str) -> None:
    with pytest.raises(EncodingError, match=re.escape(says)):
        encode(fact)


def test_dicts_and_lists_of_other_classes_are_taken_for_plain_ones() -> None:
    class Pair(NamedTuple):
        a: int
        b: int

    config: dict[str, Any] = {"o": OrderedDict(b=1, a=2), "d": defaultdict(list, x=[1]), "t": Pair(1, 2)}
    fact = again(RunCreated(job_name="j", run_config=config, tags=OrderedDict(b="1", a="2")))
    assert fact.run_config == {"o": {"a": 2, "b": 1}, "d": {"x": [1]}, "t": [1, 2]}
    assert fact.tags == {"a": "2", "b": "1"}


def test_a_document_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle += [circle, circle]
    with pytest.raises(EncodingError, match="nested more than 64 deep"):
        encode(RunCreated(job_name="j", run_config={"a": circle}))


def test_a_document_of_the_full_depth_is_kept() -> None:
    fact = RunCreated(job_name="j", run_config={"a": nested(64)})
    assert again(fact) == fact


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Event(StepStarted(), 1.5), "event.timestamp_us: float where int is meant"),  # type: ignore[arg-type]
        (Event(StepStarted(), True), "event.timestamp_us: bool where int is meant"),
        (Event(StepStarted(), -1), "event.timestamp_us: -1 is not from 0 to 2**63 - 1"),
        (Event(StepStarted(), 2**63), "event.timestamp_us: 9223372036854775808 is not from 0"),
        (Event(StepStarted(), 2**64), "event.timestamp_us: an integer of 65 bits"),
        (Event(StepStarted(), datetime.now(UTC)), "event.timestamp_us: datetime where int is meant"),  # type: ignore[arg-type]
        (Event(StepStarted(), AT, 7), "event.step_key: int where str is meant"),  # type: ignore[arg-type]
        (Event(StepStarted(), AT, "\ud800"), "event.step_key: a lone surrogate"),
        (Event(StepStarted(), AT, None, b"j"), "event.job_name: bytes where str is meant"),  # type: ignore[arg-type]
        (Event(StepStarted(), AT, level="INFO"), "event.level: str where int is meant"),  # type: ignore[arg-type]
        (Event(StepStarted(), AT, message=KEY), "event.message: AssetKey where str is meant"),  # type: ignore[arg-type]
    ],
)
def test_an_envelope_that_could_not_be_read_back_is_refused(event: Event[Any], says: str) -> None:
    with pytest.raises(EncodingError, match=re.escape(says)):
        codec.encode([event])


@pytest.mark.parametrize("thing", [StepStarted(), None, {"fact": 1}, object()])
def test_what_is_no_event_is_refused(thing: Any) -> None:
    with pytest.raises(UsageError, match="is no event"):
        codec.encode([thing])


def test_a_class_that_nobody_registered_is_refused() -> None:
    class Stray(StepStarted):
        pass

    for fact in (Stray(), {"attempt": 1}, None):
        with pytest.raises(UsageError, match="not registered"):
            codec.encode([Event(fact, AT)])  # type: ignore[type-var]


# -- other versions and unknown kinds ---------------------------------------------------------------------------


def body(*items: Any) -> bytes:
    packed = msgpack.packb(list(items))
    assert isinstance(packed, bytes)
    return packed


def test_a_missing_field_takes_its_default_and_one_too_many_is_passed_over() -> None:
    event = codec.decode("STEP_SUCCESS", body({"from_the_future": [1]}, AT, None, None, None, None, 1))
    assert event == Event(StepSucceeded(), AT)


@pytest.mark.parametrize(
    ("name", "version"), [("STEP_START", 2), ("STEP_START", 127), ("SOMEONE_ELSES", 1), ("SOMEONE_ELSES", 9)]
)
def test_what_is_unknown_is_kept_byte_for_byte(name: str, version: int) -> None:
    raw = body({"b": 1, "a": [b"raw", {1: 2}]}, AT, "load", "nightly", 20, "hello", version)
    event = codec.decode(name, raw, Topic.ASSET | Retention.KEPT)
    assert isinstance(event.fact, Opaque)
    assert (event.type, event.fact.version, event.fact.body) == (name, version, raw)
    assert (event.timestamp_us, event.step_key, event.job_name, event.level) == (AT, "load", "nightly", 20)
    assert event.message == "hello"
    records, told = codec.encode([event])
    assert records == [(name, AT, Topic.ASSET | Retention.KEPT, raw)]
    assert told == codec.digest(records)


def test_an_unknown_fact_of_unknown_topics_concerns_everything_and_is_kept() -> None:
    event = codec.decode("SOMEONE_ELSES", body({}, AT, None, None, None, None, 1))
    (record,), _ = codec.encode([event])
    assert record.kept
    assert record.topics & 255 == 255


def test_an_unknown_fact_cannot_be_made_up_or_changed() -> None:
    raw = body({}, AT, "load", None, None, None, 9)
    event = codec.decode("SOMEONE_ELSES", raw)
    with pytest.raises(EncodingError, match="envelope"):
        codec.encode([msgspec.structs.replace(event, message="other")])
    with pytest.raises(EncodingError, match="no event's"):
        codec.encode([Event(Opaque(name="SOMEONE_ELSES", version=9, body=raw[:-2]), AT, "load")])


def test_an_unknown_fact_has_the_digest_that_its_writer_gave_it(registry: None) -> None:
    class Mine(Fact):
        x: int

    register("TEST_MINE")(Mine)
    records, told = codec.encode([Event(Mine(x=1), AT)])
    del kinds._registered["TEST_MINE"], kinds.by_name["TEST_MINE"], kinds.by_class[Mine]
    event = codec.decode(records[0].type, records[0].body, records[0].topics)
    assert isinstance(event.fact, Opaque)
    assert codec.encode([event]) == (records, told)


def test_a_newer_envelope_may_have_more_before_the_version() -> None:
    raw = body({}, AT, "load", None, None, None, "more", {"and": "more"}, 2)
    event = codec.decode("STEP_START", raw)
    assert isinstance(event.fact, Opaque)
    assert codec.encode([event])[0][0].body == raw


@pytest.mark.parametrize(
    ("raw", "for_unknown"),
    [
        (b"", False),
        (b"\xc1", False),
        (b"\x97", False),
        (body(), False),
        (body({}, AT, None, None, None, 1), False),
        (body({}, AT, None, None, None, None, 0), False),
        (body({}, AT, None, None, None, None, 200), False),
        (body({}, AT, None, None, None, None, "\x02"), False),
        (body({}, "now", None, None, None, None, 2), False),
        (body({}, AT, None, None, None, None, 2) + b"\x02", False),
        (body({"attempt": 1}, AT, 7, None, None, None, 1), False),
        (body([], AT, None, None, None, None, 1), True),  # nobody here knows what an unknown fact must look like
        (body({"attempt": "x"}, AT, None, None, None, None, 1), True),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("name", ["STEP_START", "SOMEONE_ELSES"])
def test_what_is_no_event_is_damage(name: str, raw: bytes, for_unknown: bool) -> None:
    if name == "SOMEONE_ELSES" and for_unknown:
        assert isinstance(codec.decode(name, raw).fact, Opaque)
        return
    with pytest.raises(CorruptLogError, match=f"type {name}, {len(raw)} bytes"):
        codec.decode(name, raw)


# -- facts of users ---------------------------------------------------------------------------------------------


def test_facts_of_users_come_back(registry: None) -> None:
    @register("TEST_SHIPPED", version=3, topics=Topic.ASSET, retention=Retention.KEPT)
    class Shipped(Fact):
        order: int
        to: AssetKey | None = None
        at: datetime | None = None  # a type that foldlog's own facts do not use

    fact = Shipped(order=7, to=KEY, at=datetime(2026, 11, 20, tzinfo=UTC))
    record = encode(fact)
    assert (record.type, record.topics, record.body[-1]) == ("TEST_SHIPPED", Topic.ASSET | Retention.KEPT, 3)
    assert again(fact) == fact
    with pytest.raises(EncodingError, match="TEST_SHIPPED: order: str where int is meant"):
        encode(Shipped(order="7"))  # type: ignore[arg-type]
    with pytest.raises(EncodingError, match="TEST_SHIPPED"):
        encode(Shipped(order=7, at=7))  # type: ignore[arg-type]


def test_a_fact_of_an_older_version_is_lifted_step_by_step(registry: None) -> None:
    """Version 1 had seconds as a float, version 2 milliseconds, version 3 microseconds and a unit in the name."""

    @register("TEST_WAITED", version=3)
    class Waited(Fact):
        wait_us: int
        why: str = "unknown"

    @upcast("TEST_WAITED", from_version=1)
    def seconds_to_milliseconds(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "wait": round(old["wait"] * 1000)}

    @upcast("TEST_WAITED", from_version=2)
    def milliseconds_to_microseconds(old: dict[str, Any]) -> dict[str, Any]:
        return {"wait_us": old["wait"] * 1000, "why": old.get("why", "unknown")}

    golden = Path(__file__).parent / "golden"
    first = (golden / "TEST_WAITED.v1.upcast").read_bytes()
    second = (golden / "TEST_WAITED.v2.upcast").read_bytes()
    assert codec.decode("TEST_WAITED", first) == Event(Waited(wait_us=1_500_000), AT, "load")
    assert codec.decode("TEST_WAITED", second) == Event(Waited(wait_us=1_500_000, why="rate limit"), AT, "load")
    again_, _ = codec.encode([codec.decode("TEST_WAITED", first)])
    assert again_[0].body[-1] == 3


def test_a_step_that_is_missing_is_named(registry: None) -> None:
    @register("TEST_LATER", version=2)
    class Later(Fact):
        x: int = 0

    with pytest.raises(UsageError, match="TEST_LATER: no upcast from version 1"):
        codec.decode("TEST_LATER", body({}, AT, None, None, None, None, 1))

    @upcast("TEST_LATER", from_version=1)
    def fails(old: dict[str, Any]) -> dict[str, Any]:
        return {"x": old["gone"]}

    with pytest.raises(CorruptLogError, match="TEST_LATER: the upcast from version 1 failed: KeyError: 'gone'"):
        codec.decode("TEST_LATER", body({}, AT, None, None, None, None, 1))


def test_names_do_not_clash(registry: None) -> None:
    class One(Fact):
        x: int = 0

    class Other(Fact):
        x: int = 0

    register("TEST_ONE")(One)
    register("TEST_ONE")(One)
    for name, cls, says in [
        ("TEST_ONE", Other, "taken by"),
        ("STEP_START", Other, "built-in"),
        ("TEST_TWO", One, "registered already"),
        ("lower case", Other, "no name for a kind"),
        ("", Other, "no name for a kind"),
        ("X" * 101, Other, "no name for a kind"),
        ("TEST_TWO", dict, "no subclass of Fact"),
        ("TEST_TWO", Opaque, "no subclass of Fact"),
    ]:
        with pytest.raises(UsageError, match=says):
            register(name)(cls)  # type: ignore[type-var]
    for version in (0, 128):
        with pytest.raises(UsageError, match="not from 1 to 127"):
            register("TEST_TWO", version=version)(Other)

    @upcast("TEST_ONE", from_version=1)
    def step(old: dict[str, Any]) -> dict[str, Any]:
        return old

    with pytest.raises(UsageError, match="there already"):
        upcast("TEST_ONE", from_version=1)(lambda old: old)


class Link(msgspec.Struct, frozen=True):
    """A struct that holds itself."""

    below: Link | None = None


def test_a_struct_of_users_that_holds_itself_may_not_go_on_for_ever(registry: None) -> None:
    @register("TEST_CHAIN")
    class Chain(Fact):
        first: Link

    link = Link(Link(Link()))
    assert again(Chain(first=link)) == Chain(first=link)
    for _ in range(5000):
        link = Link(link)
    with pytest.raises(EncodingError, match="TEST_CHAIN: nested too deep"):
        encode(Chain(first=link))


def test_a_field_that_cannot_be_stored_is_refused_at_once(registry: None) -> None:
    class Bad(Fact):
        x: list[int] | tuple[int, ...]  # two arrays: bytes could not tell which

    with pytest.raises(UsageError, match=r"TEST_BAD: .*cannot be stored"):
        register("TEST_BAD")(Bad)
    assert "TEST_BAD" not in kinds._registered
