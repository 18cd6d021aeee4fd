"""What facts and the values they carry promise, apart from their bytes."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest

from foldlog.engine import events
from foldlog.engine.errors import EncodingError
from foldlog.engine.events import (
    AssetCheckKey,
    AssetKey,
    AssetReference,
    CheckReference,
    ErrorInfo,
    Event,
    Fact,
    JsonMetadata,
    LogMessage,
    PathMetadata,
    Retention,
    RunStatus,
    TableMetadata,
    TimestampMetadata,
    Topic,
    UrlMetadata,
    to_metadata,
    to_table,
)
from foldlog.engine.events.errorinfo import MAX_CAUSES, MAX_FRAMES, MAX_TEXT
from foldlog.serdes import kinds

ROOT = Path(__file__).parent.parent
KINDS = sorted(kinds.BUILT_IN)


def loaded_after(code: str) -> set[str]:
    """The modules of facts that a fresh process has loaded after `code`."""
    show = "import sys; print(*[n.split('.')[-1] for n in sys.modules if n.startswith('foldlog.engine.events.')])"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}\n{show}"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


# -- loading ----------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_no_subject() -> None:
    assert loaded_after("from foldlog.engine import events") == set()


def test_one_name_loads_its_subject_alone() -> None:
    values = {"event", "key", "errorinfo", "metadata"}
    assert loaded_after("from foldlog.engine import events; events.StepStarted") <= {"step", *values}
    assert loaded_after("from foldlog.engine import events; events.RunDeleted") == {"event", "tombstone"}


def test_decoding_a_kind_loads_its_subject_alone() -> None:
    body = (ROOT / "tests/golden/STEP_START.v1.bin").read_bytes()
    code = f"from foldlog.serdes import Codec; Codec().decode('STEP_START', {body!r})"
    assert loaded_after(code) == {"step", "event", "key", "errorinfo", "metadata"}


def test_every_public_name_is_there_and_sorted_into_its_module() -> None:
    assert sorted(events.__all__) == sorted(events._MODULES)
    for name in events.__all__:
        value = getattr(events, name)
        home = getattr(value, "__module__", None)
        assert home in (None, "typing", "types", f"foldlog.engine.events.{events._MODULES[name]}"), name
    with pytest.raises(AttributeError, match="StepExploded"):
        events.StepExploded  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "engine/events/__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == events._MODULES


# -- kinds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_declared_in_one_place_and_keeps_the_rules(name: str) -> None:
    cls = getattr(events, kinds.BUILT_IN[name])
    kind = cls.KIND
    assert kind.name == name
    assert 1 <= kind.version <= 127
    assert 0 < kind.topics <= 255
    assert kind.retention in (Retention.RUN, Retention.LOG, Retention.TICK, Retention.KEPT)
    assert cls.__struct_config__.frozen
    assert cls.__struct_config__.omit_defaults
    assert cls.__doc__
    for field in msgspec.structs.fields(cls):
        is_time = re.search(r"(^|_)(timestamp|time|at|duration|wait|until|through|since|interval)$", field.name)
        assert not is_time, f"{name}.{field.name} has no unit in its name"


def test_no_fact_is_left_out_of_the_table() -> None:
    for name in events.__all__:
        getattr(events, name)
    facts = {cls for cls in Fact.__subclasses__() if cls.__module__.startswith("foldlog.engine.events.")}
    assert {cls.__name__ for cls in facts} - {"Opaque"} == set(kinds.BUILT_IN.values())
    assert len(set(kinds.BUILT_IN.values())) == len(kinds.BUILT_IN)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_known_of_assets_outlives_its_run(name: str) -> None:
    kind = getattr(events, kinds.BUILT_IN[name]).KIND
    if kind.topics & (Topic.ASSET | Topic.PARTITION | Topic.SCHEDULE) and kind.retention != Retention.KEPT:
        assert name in {"TICK_STARTED", "TICK_SKIPPED", "AUTOMATION_EVALUATED"}  # rows of their own, that go with them


@pytest.mark.parametrize("name", KINDS)
def test_the_manual_has_every_kind_and_field(name: str) -> None:
    manual = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    cls = getattr(events, kinds.BUILT_IN[name])
    start = manual.find(f"| `{name}` ")
    assert start > 0, f"docs/events.md has no {name}"
    row = manual[start : manual.index("\n", start)]
    assert f"`{cls.__name__}`" in row
    assert cls.KIND.version == 1 or f"version {cls.KIND.version}" in row
    assert all(f"`{field}`" in row for field in cls.__struct_fields__), row
    assert f" {Retention(cls.KIND.retention).name} " in row
    assert ", ".join(topic.name.lower() for topic in Topic(cls.KIND.topics) if topic.name) in row


def test_an_event_tells_its_type() -> None:
    event = Event.now(LogMessage(text="hello", level=logging.WARNING), step_key="load")
    assert (event.type, event.step_key, event.fact.level) == ("LOG_MESSAGE", "load", 30)
    assert abs(event.timestamp_us - datetime.now(UTC).timestamp() * 1e6) < 60e6


def test_a_run_status_says_whether_it_is_the_end() -> None:
    assert {status for status in RunStatus if status.is_finished} == {"SUCCESS", "FAILURE", "CANCELED"}
    assert {status for status in RunStatus if status.is_in_progress} == {"STARTING", "STARTED", "CANCELING"}
    assert str(RunStatus.QUEUED) == "QUEUED"


# -- asset keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "text"),
    [(["a"], "a"), (["a", "b"], "a/b"), (["a/b"], "a\\/b"), (["a\\", "b"], "a\\\\/b"), (["ä ö", "."], "ä ö/.")],
)
def test_an_asset_key_has_one_text(parts: list[str], text: str) -> None:
    key = AssetKey(parts)  # type: ignore[arg-type]
    assert (key.to_text(), str(key)) == (text, text)
    assert AssetKey.from_text(text) == AssetKey.of(text) == AssetKey.of(parts) == AssetKey.of(key) == key


def test_asset_keys_sort_hash_and_nest() -> None:
    keys = [AssetKey.of(text) for text in ("b", "a/c", "a", "a/b")]
    assert [str(key) for key in sorted(keys)] == ["a", "a/b", "a/c", "b"]
    assert len({*keys, AssetKey("a")}) == 4  # type: ignore[arg-type]
    assert AssetKey.of("a/b/c").starts_with(AssetKey.of("a/b"))
    assert not AssetKey.of("ab").starts_with(AssetKey.of("a"))


@pytest.mark.parametrize("parts", [(), ("",), ("a", ""), ("a", 1), "", [], None])
def test_what_is_no_asset_key_is_refused(parts: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        AssetKey(parts)


@pytest.mark.parametrize("text", ["", "a//b", "/a", "a/", "a\\"])
def test_what_is_no_text_of_an_asset_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        AssetKey.from_text(text)


# -- error info -------------------------------------------------------------------------------------------------


def caught(make: Any) -> BaseException:
    try:
        make()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_an_error_is_kept_with_its_causes_and_prints_like_a_traceback() -> None:
    def inner() -> None:
        raise TimeoutError("30 s")

    def outer() -> None:
        try:
            inner()
        except TimeoutError as error:
            raise ValueError("no rows") from error

    info = ErrorInfo.from_exception(caught(outer))
    assert [(one.class_name, one.message) for one in info.causes()] == [
        ("ValueError", "no rows"),
        ("TimeoutError", "30 s"),
    ]
    assert 'raise ValueError("no rows") from error' in info.stack[-1]
    text = str(info)
    assert text.index("TimeoutError: 30 s") < text.index("direct cause") < text.index("ValueError: no rows")
    assert text.startswith("Traceback (most recent call last):\n")


def test_a_context_counts_unless_it_is_suppressed() -> None:
    def context(*, suppress: bool) -> None:
        try:
            raise KeyError("a")
        except KeyError:
            if suppress:
                raise ValueError("b") from None
            raise ValueError("b")  # noqa: B904

    info = ErrorInfo.from_exception(caught(lambda: context(suppress=False)))
    assert info.cause is not None
    assert info.cause.class_name == "KeyError"
    assert ErrorInfo.from_exception(caught(lambda: context(suppress=True))).cause is None


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert [one.message for one in ErrorInfo.from_exception(first).causes()] == ["1", "2"]


def test_long_chains_stacks_and_texts_are_cut() -> None:
    error = last = ValueError("0")
    for number in range(1, 200):
        last.__cause__ = ValueError(str(number))
        last = last.__cause__
    assert len(list(ErrorInfo.from_exception(error).causes())) == MAX_CAUSES + 1
    assert len(list(ErrorInfo.from_exception(error, max_causes=10**6).causes())) == 65

    def deep(n: int) -> None:
        if n:
            deeper(n - 1)
        raise ValueError("x" * 100_000)

    def deeper(n: int) -> None:  # two in turn, for Python itself shortens one that calls itself
        deep(n)

    info = ErrorInfo.from_exception(caught(lambda: deep(150)))
    assert len(info.stack) <= MAX_FRAMES + 1
    assert "frames left out" in "".join(info.stack)
    assert len(info.message) < MAX_TEXT + 100


def test_a_chain_without_end_cannot_be_built() -> None:
    info = ErrorInfo(class_name="E", message="")
    for _ in range(64):
        info = ErrorInfo(class_name="E", message="", cause=info)
    with pytest.raises(ValueError, match="64 causes"):
        ErrorInfo(class_name="E", message="", cause=info)


def test_an_exception_that_fails_to_print_is_kept_all_the_same() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    info = ErrorInfo.from_exception(caught(lambda: (_ for _ in ()).throw(Rude())))
    assert "RuntimeError" in info.message
    assert ErrorInfo.from_exception(ValueError("lone \ud800")).message == "lone ?"


# -- metadata ---------------------------------------------------------------------------------------------------


class Count(int):
    """As NumPy's numbers: equal to an int, and of another class."""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("text", "text"),
        (1, 1),
        (True, True),
        (0.5, 0.5),
        (None, None),
        (Count(7), 7),
        (Fraction(1, 2), 0.5),
        (RunStatus.QUEUED, "QUEUED"),
        ({"a": [1, (2, Count(3))]}, JsonMetadata({"a": [1, [2, 3]]})),
        ([1], JsonMetadata([1])),
        (PurePosixPath("/data/x"), PathMetadata("/data/x")),
        (AssetKey.of("a/b"), AssetReference(AssetKey.of("a/b"))),
        (AssetCheckKey(AssetKey.of("a"), "c"), CheckReference(AssetCheckKey(AssetKey.of("a"), "c"))),
        (datetime(1970, 1, 1, 0, 0, 1, 5, UTC), TimestampMetadata(1_000_005)),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), TimestampMetadata(0)),
        (UrlMetadata("https://example.org"), UrlMetadata("https://example.org")),
    ],
)
def test_plain_values_become_metadata(given: Any, kept: Any) -> None:
    value = to_metadata({"key": given})["key"]
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (datetime(2026, 11, 20), "metadata['key']: datetime.datetime(2026, 11, 20, 0, 0) has no time zone"),
        (timedelta(seconds=1), "microseconds as a number"),
        (b"raw", "metadata['key']: bytes"),
        ({1, 2}, "metadata['key']: set"),
        (Decimal("1.5"), "metadata['key']: Decimal"),
        (object(), "metadata['key']: object"),
        ({"a": [0, {"b": b"raw"}]}, "metadata['key']['a'][1]['b']: bytes"),
        ({"a": {1: 2}}, "metadata['key']['a']: a key of a document is text, not 1"),
    ],
)
def test_what_is_no_metadata_is_refused_with_its_key(given: Any, says: str) -> None:
    with pytest.raises(EncodingError, match=re.escape(says)):
        to_metadata({"key": given})


def test_metadata_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(EncodingError, match="nested more than 64 deep"):
        to_metadata({"key": circle})


def test_a_table_takes_rows_of_scalars() -> None:
    assert to_table([{"id": Count(1), "note": None}]) == TableMetadata(({"id": 1, "note": None},))
    with pytest.raises(EncodingError, match=re.escape("records[1]['id']: list")):
        to_table([{"id": 1}, {"id": []}])


def test_a_timestamp_knows_its_instant() -> None:
    when = datetime(2026, 11, 20, 1, 2, 3, 4, UTC)
    assert TimestampMetadata.from_datetime(when).to_datetime() == when
