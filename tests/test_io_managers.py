"""IO managers: what is kept comes back as it was, whole, or with an error that says what to do."""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import os
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given, strategies as st

from foldlog import (
    AssetKey,
    FilesIOManager,
    InMemoryIOManager,
    InputContext,
    IOManager,
    OutputContext,
    UsageError,
    load_each,
)
from foldlog.engine.artifacts import stores
from foldlog.engine.artifacts.io import newest
from foldlog.engine.artifacts.io.formats import FORMATS
from foldlog.engine.cli.forms import metadata_text
from foldlog.engine.errors import EncodingError, UnavailableError
from foldlog.engine.events import ErrorInfo
from foldlog.engine.events.metadata import PathMetadata, TableSchemaMetadata, TimestampMetadata, UrlMetadata

ORDERS = AssetKey(["raw", "orders"])


def output(name="result", **more) -> OutputContext:
    return OutputContext(**{"run_id": "run-1", "step_key": "make", "name": name, **more})


def wanted(upstream: OutputContext | None = None, **more) -> InputContext:
    return InputContext(name="value", run_id="run-2", step_key="use", upstream_output=upstream, **more)


def kept(manager: IOManager, value: object, **where) -> OutputContext:
    context = output(**where)
    manager.handle_output(context, value)
    return context


def back(manager: IOManager, value: object, type_hint: object = object) -> object:
    """What comes back of a value."""
    return manager.load_input(wanted(kept(manager, value), type_hint=type_hint))


def format_of(manager: IOManager, value: object) -> str:
    return str(kept(manager, value).added_metadata["format"])


def same(one: object, other: object) -> bool:
    """Equal, of the same types all through; NaN is itself, and 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same([list(item) for item in one.items()], [list(item) for item in other.items()])
    if isinstance(one, float):
        return repr(one) == repr(other)
    return one == other


@pytest.fixture(params=["folder", "memory", "s3"])
def files(request, tmp_path):
    """Makes managers of one place: `files(format="json")`."""
    if request.param == "s3":
        bucket = request.getfixturevalue("s3_bucket")
        return lambda **more: FilesIOManager(f"{bucket.url}/values", storage_options=bucket.options, **more)
    base = tmp_path / "values" if request.param == "folder" else f"memory://{uuid4().hex}"
    return lambda **more: FilesIOManager(base, **more)


@pytest.fixture(params=["folder", "memory", "s3", "in memory"])
def manager(request):
    if request.param == "in memory":
        return InMemoryIOManager()
    maker = {"folder": 0, "memory": 1, "s3": 2}[request.param]
    tmp_path = request.getfixturevalue("tmp_path")
    if maker == 0:
        return FilesIOManager(tmp_path / "values")
    if maker == 1:
        return FilesIOManager(f"memory://{uuid4().hex}")
    bucket = request.getfixturevalue("s3_bucket")
    return FilesIOManager(bucket.url, storage_options=bucket.options)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "values"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


# -- contexts ---------------------------------------------------------------------------------------------------------


def test_a_context_is_frozen_but_for_the_metadata_that_is_added():
    for context, add in ((output(), OutputContext.add_output_metadata), (wanted(), InputContext.add_input_metadata)):
        with pytest.raises(FrozenInstanceError):
            context.run_id = "another"
        add(context, {"rows": 3, "where": Path("a/b")})
        add(context, {"more": None})
        assert dict(context.added_metadata) == {"rows": 3, "where": PathMetadata("a/b"), "more": None}
        with pytest.raises(TypeError):
            context.added_metadata["rows"] = 4


def test_metadata_is_added_once_and_whole_or_not_at_all():
    context = output(asset_key=ORDERS)
    context.add_output_metadata({"rows": 3})
    with pytest.raises(UsageError, match=r"output 'result' of step 'make' \(asset raw/orders\): metadata 'rows'"):
        context.add_output_metadata({"new": 1, "rows": 3})
    with pytest.raises(EncodingError, match="metadata\\['raw'\\]"):
        context.add_output_metadata({"new": 1, "raw": b"bytes"})
    assert dict(context.added_metadata) == {"rows": 3}
    assert output().added_metadata == {}, "two contexts share what was added"
    assert TimestampMetadata(1) == kept_as(TimestampMetadata(1))


def kept_as(value: object) -> object:
    context = output()
    context.add_output_metadata({"value": value})
    return context.added_metadata["value"]


def test_an_identifier_is_the_names_of_the_value():
    assert output().identifier == ["run-1", "make", "result"]
    assert output(mapping_key="a/b").identifier == ["run-1", "make", "result", "a/b"]
    assert output(asset_key=ORDERS).identifier == ["assets", "raw", "orders"]
    assert output(asset_key=ORDERS, partition_key="2026").identifier == ["assets", "raw", "orders", "2026"]
    assert output(asset_key=ORDERS).has_asset_key
    assert not output().has_asset_key
    assert wanted(output(asset_key=ORDERS)).has_asset_key


def test_a_context_without_anything_to_load_says_so(manager):
    with pytest.raises(UsageError, match="input 'value' of step 'use' names nothing to load"):
        manager.load_input(wanted())


def test_neither_contexts_nor_errors_show_resources():
    assert "hidden" not in repr(output(resources="hidden")) + repr(wanted(resources="hidden"))


# -- all managers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, "", {"a": [1, {"b": b"\xff"}]}, (1, {2}), {1: "one"}], ids=repr)
def test_a_value_comes_back(manager, value):
    assert same(back(manager, value), value)


def test_the_last_value_counts(manager):
    kept(manager, "former")
    assert back(manager, "latter") == "latter"
    for value in ({"a": 1}, (1,), b"1", [1], (2,)):  # another format each time
        assert back(manager, value) == value


def test_a_change_of_format_leaves_one_file(files):
    manager = files()
    for value in ({"a": 1}, (1,), b"1", [1], (2,)):
        kept(manager, value)
    options = manager._options or {}
    fs, path = fsspec.url_to_fs(manager._base, **options)
    fs.invalidate_cache()
    assert [name.rpartition("/")[2] for name in fs.find(path)] == ["result.pickle"]


def test_values_of_outputs_mapping_keys_runs_and_assets_are_kept_apart(manager):
    wheres = [
        {"name": "a"},
        {"name": "b"},
        {"name": "a", "mapping_key": "b"},
        {"name": "a", "mapping_key": "c"},
        {"name": "a", "run_id": "run-2"},
        {"name": "a", "step_key": "other"},
        {"name": "orders", "run_id": "assets", "step_key": "raw"},
        {"asset_key": AssetKey("raw")},
        {"asset_key": AssetKey(["raw", "orders"])},
        {"asset_key": AssetKey("raw"), "partition_key": "orders"},
        {"asset_key": AssetKey(["raw", "partitions~", "orders"])},
        {"asset_key": AssetKey(["raw.json", "orders"])},
        {"asset_key": AssetKey("RAW")},
        {"asset_key": AssetKey("raw.json")},
    ]
    contexts = [kept(manager, number, **where) for number, where in enumerate(wheres)]
    assert [manager.load_input(wanted(context)) for context in contexts] == list(range(len(wheres)))


def test_an_asset_is_loaded_by_its_key_whoever_made_it(manager):
    kept(manager, [1, 2], asset_key=ORDERS, run_id="long ago")
    assert manager.load_input(wanted(asset_key=ORDERS)) == [1, 2]
    assert manager.load_input(wanted(output(asset_key=ORDERS, run_id="another"))) == [1, 2]


def test_one_partition_is_its_value_and_several_are_a_dict_in_the_order_asked(manager):
    for key in ("c", "a", "b"):
        kept(manager, {"key": key}, asset_key=ORDERS, partition_key=key)
    ask = lambda *keys: manager.load_input(wanted(asset_key=ORDERS, partition_keys=keys))  # noqa: E731
    assert ask("a") == {"key": "a"}
    assert list(ask("b", "c", "a").items()) == [(key, {"key": key}) for key in "bca"]
    assert ask() == {}
    upstream = output(asset_key=ORDERS, partition_key="c")
    assert manager.load_input(wanted(upstream)) == {"key": "c"}
    assert list(manager.load_input(wanted(upstream, partition_keys=("b", "a")))) == ["b", "a"]


def test_missing_partitions_are_named(manager):
    kept(manager, 1, asset_key=ORDERS, partition_key="there")
    with pytest.raises(UsageError) as caught:
        manager.load_input(wanted(asset_key=ORDERS, partition_keys=("x", "there", "y")))
    assert "input 'value' of step 'use': asset raw/orders: 2 of 3 partitions are not there: 'x', 'y'" in str(
        caught.value
    )
    assert "missing partitions" in caught.value.remedy
    with pytest.raises(UsageError, match="partition 'x' is not there"):
        manager.load_input(wanted(asset_key=ORDERS, partition_keys=("x",)))
    with pytest.raises(UsageError, match=r"20 of 20 .* and 10 more"):
        manager.load_input(wanted(asset_key=ORDERS, partition_keys=tuple(f"p{n}" for n in range(20))))


def test_a_missing_value_names_output_step_and_run_and_what_to_do(manager):
    with pytest.raises(UsageError) as caught:
        manager.load_input(wanted(output("rows", mapping_key="k")))
    assert "input 'value' of step 'use': output 'rows[k]' of step 'make' of run run-1 is not there" in str(caught.value)
    assert "run step 'make' again" in caught.value.remedy
    with pytest.raises(UsageError, match="asset raw/orders is not there") as caught:
        manager.load_input(wanted(asset_key=ORDERS))
    assert "materialize asset raw/orders" in caught.value.remedy


# -- in memory --------------------------------------------------------------------------------------------------------


def test_memory_gives_the_object_itself_and_says_where_a_lost_one_lived():
    manager, value = InMemoryIOManager(), object()
    assert back(manager, value) is value
    with pytest.raises(UsageError, match="memory of the process that made them") as caught:
        InMemoryIOManager().load_input(wanted(output()))
    assert "FilesIOManager" in caught.value.remedy


def test_a_forgotten_run_frees_its_values_and_no_others():
    manager = InMemoryIOManager()
    mine = [kept(manager, 1), kept(manager, 2, mapping_key="a")]
    others = [kept(manager, 3, run_id="run-9"), kept(manager, 4, asset_key=ORDERS)]
    manager.forget_run("run-1")
    manager.forget_run("never heard of")
    for context in mine:
        with pytest.raises(UsageError):
            manager.load_input(wanted(context))
    assert [manager.load_input(wanted(context)) for context in others] == [3, 4]


def test_memory_takes_values_of_many_threads():
    manager = InMemoryIOManager()

    def work(number: int) -> None:
        for turn in range(300):
            context = kept(manager, (number, turn), run_id=f"run-{number}-{turn}")
            assert manager.load_input(wanted(context)) == (number, turn)
            manager.forget_run(f"run-{number}-{turn}")

    failed: list[BaseException] = []
    before, threading.excepthook = threading.excepthook, lambda args: failed.append(args.exc_value)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = before
    assert not failed
    assert "0 values" in repr(manager)


# -- formats ----------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FLOATS | TEXT
ODD = (
    st.integers(2**64, 2**2000)
    | st.integers(-(2**2000), -(2**63) - 1)
    | st.sampled_from([math.nan, math.inf, -math.inf, "\ud800", "\ud800\udc00", "a\udcff"])
    | st.binary(max_size=8)
)


def nested(leaves, *, odd: bool = False):
    def inner(values):
        many = st.lists(values, max_size=4) | st.dictionaries(TEXT, values, max_size=4)
        if odd:
            return (
                many
                | st.lists(values, max_size=3).map(tuple)
                | st.dictionaries(st.integers() | ODD, values, max_size=3)
            )
        return many

    return st.recursive(leaves, inner, max_leaves=12)


@pytest.fixture(scope="module")
def anywhere():
    return FilesIOManager(f"memory://{uuid4().hex}")


@given(value=nested(PLAIN | ODD, odd=True))
def test_auto_gives_every_value_back_exactly(anywhere, value):
    assert same(back(anywhere, value), value)


@given(value=nested(PLAIN))
def test_what_json_gives_back_exactly_is_json(anywhere, value):
    assert format_of(anywhere, value) == "json"
    assert same(back(anywhere, value), value)


@given(value=nested(PLAIN), some=st.binary(max_size=9))
def test_the_same_with_bytes_is_msgpack(anywhere, value, some):
    value = {"value": value, "some": [some]}
    assert format_of(anywhere, value) == "msgpack"
    assert same(back(anywhere, value), value)


@given(value=nested(PLAIN | ODD, odd=True), name=st.sampled_from(["json", "msgpack"]))
def test_a_forced_format_gives_a_value_back_exactly_or_refuses_it(anywhere, value, name):
    forced = FilesIOManager(anywhere._base, format=name)
    if format_of(anywhere, value) in ("json", name):
        assert same(back(forced, value), value)
    else:
        with pytest.raises(UsageError, match=f"{name} does not give value"):
            kept(forced, value)


def test_ints_too_long_to_be_printed_are_kept_too(anywhere):
    for value in (10**5000, {10**5000: 1}, [-(10**5000)]):
        assert back(anywhere, value) == value
        with pytest.raises(UsageError, match=r"more than 64 bits|key of the type int is no text"):
            kept(FilesIOManager(anywhere._base, format="json"), value)


class Colour(IntEnum):
    RED = 1


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, (2,)]}, r"value\['a'\]\[1\] .* type tuple"),
        ([{"k": {1: 2}}], r"value\[0\]\['k'\] .* key 1 is no text"),
        ({"n": math.nan}, r"value\['n'\] .* float nan"),
        ([2**64], r"value\[0\] .* more than 64 bits"),
        (["\ud800"], r"value\[0\] .* surrogate"),
        ({"\ud800": 1}, r"value back .* is no text"),
        (b"1", r"value back as it is: .* type bytes"),
        (Colour.RED, r".*Colour"),
        (Text("a"), r".*Text"),
        ({Text("a"): 1}, r".* is no text"),
        (bytearray(b"1"), r".*bytearray"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_refused_value_says_where_and_why(files, value, path):
    with pytest.raises(UsageError, match=f"output 'result' of step 'make': json does not give {path}") as caught:
        kept(files(format="json"), value)
    assert "pickle" in caught.value.remedy
    with pytest.raises(UsageError, match="is not there"):
        files().load_input(wanted(output()))
    assert same(back(files(), value), value)


def test_what_is_in_a_value_twice_is_in_it_once_again(anywhere):
    shared = {"a": 1}
    first, second = back(anywhere, [shared, shared])
    assert first is second
    circle: list[object] = []
    circle.append(circle)
    again = back(anywhere, circle)
    assert again[0] is again
    wide: list[object] = []
    for _ in range(60):  # 2**60 lists, to one who does not remember
        wide = [wide, wide]
    assert format_of(anywhere, wide) == "pickle"
    as_json = FilesIOManager(anywhere._base, format="json")
    assert back(as_json, [shared, shared]) == [shared, shared]
    with pytest.raises(UsageError, match="contains itself"):
        kept(as_json, circle)


def test_a_deep_value_is_pickled_and_one_too_deep_for_that_is_an_error(anywhere):
    deep: object = "bottom"
    for _ in range(150):
        deep = [deep]
    assert format_of(anywhere, deep) == "pickle"
    assert back(anywhere, deep) == deep
    with pytest.raises(UsageError, match="nested more than 100 deep"):
        kept(FilesIOManager(anywhere._base, format="json"), deep)
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UsageError, match="cannot be pickled: RecursionError"):
        kept(anywhere, deep)
    while isinstance(deep, list):  # freed from the top: freeing it at once would be a recursion, too
        deep = deep[0]


def test_what_does_not_pickle_is_refused_and_leaves_the_former_value(files):
    manager = files()
    kept(manager, "former")
    with pytest.raises(UsageError, match="output 'result' of step 'make': the value cannot be pickled") as caught:
        kept(manager, [b"x" * 200_000, threading.Lock()])
    assert "plain data" in caught.value.remedy
    assert manager.load_input(wanted(output())) == "former"


def test_an_unknown_format_is_answered_with_the_known_ones(folder):
    with pytest.raises(UsageError, match="'jsn' is not known; did you mean 'json'") as caught:
        FilesIOManager(folder, format="jsn")
    assert all(name in caught.value.remedy for name in FORMATS)


def test_what_is_stored_is_told(files):
    added = kept(files(), {"a": 1}).added_metadata
    assert added["bytes"] == len('{"a":1}')
    assert added["format"] == "json"
    match added["path"]:
        case PathMetadata(path=path):
            assert Path(path).read_text() == '{"a":1}'
        case UrlMetadata(url=url):
            assert url.startswith(("memory://", "s3://"))
            assert url.endswith("/runs/run-1/make/result.json")


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas")
    when = pandas.to_datetime(["2026-01-01", "2026-01-02"]).tz_localize("UTC")
    return pandas.DataFrame({"n": [1, 2], "x": [0.5, math.nan], "s": ["a", "b"], "t": when}, index=[7, 3])


def test_a_frame_of_pandas_comes_back_with_its_index_and_types(files, frame):
    import pandas

    context = kept(files(), frame)
    pandas.testing.assert_frame_equal(files().load_input(wanted(context)), frame)
    added = context.added_metadata
    assert (added["format"], added["rows"]) == ("parquet", 2)
    assert isinstance(added["columns"], TableSchemaMetadata)
    assert [column.name for column in added["columns"].columns] == ["n", "x", "s", "t"]


def test_a_table_of_pyarrow_comes_back_as_one(files):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [1, None], "b": [["x"], []]}, metadata={"of": "ours"})
    again = back(files(), table)
    assert type(again) is pyarrow.Table
    assert again.equals(table)
    assert again.schema.metadata == table.schema.metadata


def test_a_frame_of_polars_comes_back_as_one(files):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None], "b": [["x"], []], "c": ["x", "y"]})
    again = back(files(), frame)
    assert type(again) is polars.DataFrame
    assert again.equals(frame)


def test_the_reader_may_want_another_kind_of_table(files, frame):
    import pandas
    import pyarrow

    manager = files()
    assert type(back(manager, frame, type_hint=pyarrow.Table)) is pyarrow.Table
    assert type(back(manager, pyarrow.table({"a": [1]}), type_hint=pandas.DataFrame)) is pandas.DataFrame
    for key in "ab":
        kept(manager, frame, asset_key=ORDERS, partition_key=key)
    ask = wanted(asset_key=ORDERS, partition_keys=("a", "b"), type_hint=dict[str, pyarrow.Table])
    assert {key: type(table) for key, table in manager.load_input(ask).items()} == dict.fromkeys("ab", pyarrow.Table)


def test_a_frame_that_arrow_does_not_keep_is_pickled_and_told(anywhere, caplog):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"mixed": [1, "a", {2}]})
    with caplog.at_level(logging.INFO, "foldlog.io"):
        context = kept(anywhere, frame)
    assert context.added_metadata["format"] == "pickle"
    assert "column 'mixed': cells of the types int, set, str; it is pickled" in caplog.text
    pandas.testing.assert_frame_equal(anywhere.load_input(wanted(context)), frame)
    with pytest.raises(UsageError, match="back as it is: column 'mixed': cells of the types") as caught:
        kept(FilesIOManager(anywhere._base, format="parquet"), frame)
    assert "one type" in caught.value.remedy


def odd_frames():
    """Frames that Parquet would give back as something else, and what of each the refusal names."""
    pandas = pytest.importorskip("pandas")

    def of(cells, dtype=object):
        return pandas.DataFrame({"ok": range(len(cells)), "a": pandas.Series(cells, dtype=dtype)})

    with_attrs, unlike = of([1.5], float), of([1.5], float)
    with_attrs.attrs = {"of": {1, 2}}
    unlike.index.name = 3
    decimals = [Decimal("1.5"), Decimal("NaN")]
    return [
        (pandas.DataFrame([[1, 2]], columns=[0, "a"]), "its column labels"),
        (pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)])), "its column labels"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "column 'a', of which there are several"),
        (
            pandas.DataFrame({"a": [1]}, index=pandas.Index([(1, 2)], tupleize_cols=False)),
            "its index: cells of type tuple",
        ),
        (pandas.DataFrame({"a": [1]}, columns=pandas.Index(["a"], name=("x", 1))), "the names of its labels"),
        (of([{1}, {2}]), "column 'a': cells of type set"),
        (of([1, None]), "column 'a': cells of type int"),
        (of([True, False]), "column 'a': cells of type bool"),
        (of([None] * 50 + [b"x", 1.5]), "column 'a': cells of the types bytes, float"),
        (of([{"x": 1}, {"y": 2}]), "column 'a': cells of type dict"),
        (of([[1], [2]]), "column 'a': cells of type list"),
        (of(["x", math.nan]), "column 'a': cells of the types float, str"),
        (of([datetime(2026, 1, 1)]), "column 'a': cells of type datetime"),
        (of(decimals), "column 'a': decimals that are no numbers"),
        (of([1, 2, 1], "category"), "column 'a': category becomes int64"),
        (of([1j], complex), "Unsupported numpy type"),
        (with_attrs, "its attrs"),
        (unlike, "the names of its labels"),
    ]


@pytest.mark.parametrize("at", range(18))
@pytest.mark.filterwarnings("error")
def test_a_frame_that_parquet_would_change_is_pickled_or_refused_with_what_changes(anywhere, at, recwarn):
    import pandas

    frame, named = odd_frames()[at]
    context = kept(anywhere, frame)
    assert context.added_metadata["format"] == "pickle"
    again = anywhere.load_input(wanted(context))
    pandas.testing.assert_frame_equal(again, frame)
    assert again.attrs == frame.attrs
    with pytest.raises(UsageError, match=re.escape(named)) as caught:
        kept(FilesIOManager(anywhere._base, format="parquet"), frame)
    assert "choose format='pickle'" in caught.value.remedy
    assert not recwarn.list, "what the library warns of is told by the error"


def test_what_parquet_gives_back_is_parquet(anywhere):
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2026-03-01", periods=40, freq="D", tz="Europe/Paris")
    noted = pandas.DataFrame({"a": [1]})
    noted.attrs = {"unit": "mm"}
    frames = [
        pandas.DataFrame({"a": [b"x", None], "b": [None, date(2026, 1, 1)], "c": [Decimal("1.5"), Decimal(2)]}),
        pandas.DataFrame({"a": pandas.Series([None, b"x"], dtype=object)}),
        pandas.DataFrame({"a": ["x", None], "b": pandas.array([1, None], dtype="Int64")}).iloc[::-1],
        pandas.DataFrame({"a": pandas.Categorical(["x", None], categories=["y", "x"], ordered=True)}),
        pandas.DataFrame({0: [1.5, math.nan], 1: [1, 2]}),
        pandas.DataFrame({"a": range(40)}, index=days),
        pandas.DataFrame({"a": [1]}, index=pandas.MultiIndex.from_tuples([("x", 1)], names=["k", None])),
        pandas.DataFrame(),
        noted,
    ]
    for frame in frames:
        context = kept(anywhere, frame)
        assert context.added_metadata["format"] == "parquet", frame
        again = anywhere.load_input(wanted(context))
        pandas.testing.assert_frame_equal(again, frame)
        assert (again.attrs, getattr(again.index, "freq", None)) == (frame.attrs, getattr(frame.index, "freq", None))


def test_a_table_of_arrow_or_polars_whose_types_would_change_is_pickled(anywhere):
    pyarrow = pytest.importorskip("pyarrow")
    numbers = pyarrow.table({"a": pyarrow.array([1, 2]).dictionary_encode()})
    assert format_of(anywhere, numbers) == "pickle"
    assert back(anywhere, numbers).equals(numbers)
    with pytest.raises(UsageError, match=r"column 'a': dictionary<.*> becomes int64"):
        kept(FilesIOManager(anywhere._base, format="parquet"), numbers)
    polars = pytest.importorskip("polars")
    for series, format_ in (
        (polars.Series("a", ["x", "y"], dtype=polars.Categorical), "parquet"),
        (polars.Series("a", [1], dtype=polars.Int128), "pickle"),
    ):
        frame = polars.DataFrame([series])
        assert format_of(anywhere, frame) == format_
        again = back(anywhere, frame)
        assert again.equals(frame)
        assert again.schema == frame.schema


def test_the_columns_of_a_table_are_shown_in_a_line(anywhere):
    pyarrow = pytest.importorskip("pyarrow")
    columns = kept(anywhere, pyarrow.table({"id": [1], "name": ["x"]})).added_metadata["columns"]
    assert metadata_text(columns) == "id int64, name string"
    many = kept(anywhere, pyarrow.table({f"c{n}": [n] for n in range(22)})).added_metadata["columns"]
    assert metadata_text(many).endswith("c19 int64 and 2 more")
    assert metadata_text(TableSchemaMetadata(())) == "no columns"


def test_parquet_is_for_tables(anywhere):
    with pytest.raises(UsageError, match=r"parquet keeps tables, and the value is of the type builtins\.list"):
        kept(FilesIOManager(anywhere._base, format="parquet"), [1])


def test_without_pyarrow_the_error_says_what_to_install(anywhere, frame, monkeypatch):
    written = kept(anywhere, frame)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pyarrow is needed, and pyarrow.* is not installed") as caught:
        kept(anywhere, frame)
    assert "Install pyarrow" in caught.value.remedy
    with pytest.raises(UsageError, match="install pyarrow to read this table"):
        anywhere.load_input(wanted(written))


def test_reading_plain_values_loads_no_library_of_tables(folder):
    code = f"""
import sys
from foldlog.engine.artifacts.io import FilesIOManager, InputContext, OutputContext
made = OutputContext(run_id="r", step_key="s")
FilesIOManager({str(folder)!r}).handle_output(made, [1])
FilesIOManager({str(folder)!r}).load_input(InputContext(name="x", run_id="r", step_key="t", upstream_output=made))
assert not {{"pandas", "pyarrow", "polars", "s3fs", "numpy"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


# -- whole or not there -----------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


def test_a_failed_rename_leaves_the_former_value_and_no_file(folder, monkeypatch):
    manager = FilesIOManager(folder)
    former = kept(manager, "former")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UnavailableError, match=r"output 'result' of step 'make' cannot be written: .*No space left"):
        kept(manager, "latter")
    assert manager.load_input(wanted(former)) == "former"
    assert names_in(folder) == {"result.json"}


def test_a_process_that_dies_before_the_rename_leaves_one_temporary_file(folder):
    former = kept(FilesIOManager(folder), "former")
    code = f"""
import os
from foldlog.engine.artifacts.io import FilesIOManager, OutputContext
os.replace = lambda *names: os._exit(9)
FilesIOManager({str(folder)!r}).handle_output(OutputContext(run_id="run-1", step_key="make"), "latter")
"""
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 9
    (left,) = names_in(folder) - {"result.json", "result.lock~"}
    assert left.startswith(".")
    assert left.endswith(".tmp")
    assert FilesIOManager(folder).load_input(wanted(former)) == "former"
    assert back(FilesIOManager(folder), "latest") == "latest"
    assert names_in(folder) == {"result.json", left}, "a lock of the dead is taken over"


def test_a_local_file_is_synced_before_its_name_and_its_folder_after(folder, monkeypatch):
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (done.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("rename"), replace(*names)))
    kept(FilesIOManager(folder), "value")
    at = done.index("rename")
    assert done[at - 1].endswith(".tmp")
    assert done[at + 1 :] == [str(folder / "runs/run-1/make")]
    made = [folder, folder / "runs", folder / "runs/run-1", folder / "runs/run-1/make"]
    assert done[: at - 1] == [str(one.parent) for one in made], "a new folder is not in its parent for good"


VALUES = {"json": "json", "msgpack": b"msgpack", "pickle": ("pickle",)}


@pytest.mark.parametrize("place", ["folder", "memory"])
@pytest.mark.parametrize("first", VALUES)
@pytest.mark.parametrize("second", VALUES)
@pytest.mark.parametrize("third", VALUES)
def test_a_crash_while_the_format_changes_leaves_the_former_value_or_the_new(
    place, first, second, third, tmp_path, monkeypatch
):
    """Die before every operation of the second write; then of the third, which meets what the second has left."""

    def write(value: object, dies_at: int) -> bool:
        """Whether it got through."""
        left = [dies_at]

        def counted(method):
            def call(self, *given):
                if left[0] == 0:
                    raise Crash
                left[0] -= 1
                return method(self, *given)

            return call

        with monkeypatch.context() as patched:
            for name in ("put", "remove"):
                for store in (stores.LocalStore, stores.RemoteStore):
                    patched.setattr(store, name, counted(getattr(store, name)))
            try:
                kept(manager, value)
            except Crash:
                return False
        return True

    def run(crash_at: int, crash_again_at: int) -> list[bool]:
        """Which of the two writes got through."""
        kept(manager, VALUES[first])
        now: object = VALUES[first]
        through = []
        for value, dies_at in ((VALUES[second], crash_at), (VALUES[third], crash_again_at)):
            through.append(write(value, dies_at))
            seen = manager.load_input(wanted(output()))
            assert seen == value if through[-1] else seen in (now, value)
            assert manager.load_input(wanted(output())) == seen
            now = seen
        assert back(manager, {"last": 1}) == {"last": 1}
        return through

    for crash_at in range(9):
        for crash_again_at in range(9):
            base = str(tmp_path / uuid4().hex) if place == "folder" else f"memory://{uuid4().hex}"
            manager = FilesIOManager(base)
            through = run(crash_at, crash_again_at)
            fs, path = fsspec.url_to_fs(base)
            files = {name.rpartition("/")[2] for name in fs.find(path)}
            assert {name for name in files if not name.endswith(newest.MARKER)} == {"result.json"}
            if all(through):
                assert files == {"result.json"}
                return
            if through[1]:
                break
    pytest.fail("a write takes more operations than were tried")


def test_of_two_files_that_nobody_marked_the_later_counts_then_the_order_of_formats(folder):
    manager = FilesIOManager(folder)
    kept(manager, [1])
    where = folder / "runs/run-1/make"
    (where / "result.pickle").write_bytes(pickle.dumps((2,)))
    for json_time, pickle_time, expected in ((1, 2, (2,)), (2, 1, [1]), (2, 2, [1])):
        os.utime(where / "result.json", (json_time, json_time))
        os.utime(where / "result.pickle", (pickle_time, pickle_time))
        assert manager.load_input(wanted(output())) == expected
    kept(manager, b"3")
    assert names_in(folder) == {"result.msgpack"}


@pytest.mark.parametrize(
    ("place", "late"),
    [("folder", "before it looks"), ("memory", "before it looks"), ("memory", "after it has looked")],
)
def test_two_writers_in_two_formats_lose_no_value(place, late, tmp_path, monkeypatch):
    """The first one, from json to pickle, stops just before it removes the former file; the second writes json."""
    base = str(tmp_path) if place == "folder" else f"memory://{uuid4().hex}"
    manager, at_work, go_on = FilesIOManager(base), threading.Event(), threading.Event()
    kept(manager, {"former": 1}, asset_key=ORDERS)

    def waiting(remove):
        def call(*given):
            if threading.current_thread().name == "first" and str(given[1]).endswith(".json"):
                at_work.set()
                assert go_on.wait(10)
            return remove(*given)

        return call

    if late == "before it looks":
        for store in (stores.LocalStore, stores.RemoteStore):
            monkeypatch.setattr(store, "remove", waiting(store.remove))
    else:
        memory = type(fsspec.filesystem("memory"))
        monkeypatch.setattr(memory, "rm_file", waiting(memory.rm_file))
    values = {"first": ("first",), "second": {"second": 2}}
    writers = [
        threading.Thread(target=lambda value=value: kept(manager, value, asset_key=ORDERS), name=name)
        for name, value in values.items()
    ]
    writers[0].start()
    assert at_work.wait(10)
    assert manager.load_input(wanted(asset_key=ORDERS)) == values["first"]
    writers[1].start()
    writers[1].join(0.3 if place == "folder" else 10)  # in a folder it waits for the first one
    assert writers[1].is_alive() == (place == "folder")
    go_on.set()
    for writer in writers:
        writer.join(10)
    assert manager.load_input(wanted(asset_key=ORDERS)) in values.values()
    if place == "folder":
        assert manager.load_input(wanted(asset_key=ORDERS)) == values["second"]
        assert names_in(tmp_path) == {"orders.json"}


def test_writers_and_readers_of_one_value_in_all_formats(tmp_path):
    manager, stop, failed = FilesIOManager(tmp_path), threading.Event(), []
    kept(manager, 0)

    def work(write: bool, turn: int = 0) -> None:
        try:
            while not stop.is_set():
                turn += 1
                kept(manager, (turn,) if turn % 2 else turn) if write else manager.load_input(wanted(output()))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(write, write)) for write in (True, True, False)]
    for thread in threads:
        thread.start()
    stop.wait(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(names_in(tmp_path)) == 1


def test_a_lock_is_waited_for_by_other_processes(tmp_path):
    code = f"""
from pathlib import Path
from foldlog.engine.artifacts.stores import LocalStore
with LocalStore(Path({str(tmp_path)!r})).locked("runs/run-1/make/result.lock~"):
    print("locked", flush=True)
    input()
"""
    manager = FilesIOManager(tmp_path)
    kept(manager, "former")
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "locked\n"
        writer = threading.Thread(target=kept, args=(manager, "latter"))
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert manager.load_input(wanted(output())) == "former", "a reader waits for nobody"
        holder.communicate("\n")
    writer.join(10)
    assert manager.load_input(wanted(output())) == "latter"
    assert names_in(tmp_path) == {"result.json"}


def test_a_file_system_without_locks_is_written_to_all_the_same(folder, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for value in ([1], (1,)):
        assert back(FilesIOManager(folder), value) == value
    assert names_in(folder) == {"result.pickle"}


@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
def test_a_reader_sees_one_whole_value_while_another_is_written(files, size, monkeypatch):
    monkeypatch.setattr(stores, "PIECE", 100_000)  # so that large values take the other way
    manager = files()
    values = [[1] * size, {"bytes": b"2" * size}, ("3" * size,), "4" * size, [5] * (size + 7)]
    kept(manager, values[0])
    failed: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                assert manager.load_input(wanted(output())) in values
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        kept(manager, values[turn % len(values)])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed


def test_an_upload_that_breaks_off_leaves_the_former_value(files, monkeypatch):
    manager = files()
    former = kept(manager, ("former",))

    class Breaks:
        def __reduce__(self):
            raise Crash

    with pytest.raises(Crash):
        kept(manager, (b"x" * 20_000_000, Breaks()))
    assert manager.load_input(wanted(former)) == ("former",)


def test_a_large_value_is_not_copied_in_memory(folder):
    code = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from peak import peak_kib
from foldlog.engine.artifacts.io import FilesIOManager, OutputContext
def peak():
    return peak_kib() * 1024
manager = FilesIOManager({str(folder)!r})
manager.handle_output(OutputContext(run_id="r", step_key="s"), (1,))
value = (b"x" * 100_000_000,)
before = peak()
manager.handle_output(OutputContext(run_id="r", step_key="s"), value)
assert peak() - before < 20_000_000, (peak() - before)
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


# -- damage and bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [{"a": [1, 2]}, {"a": b"12"}, ("a",), "table"], ids=["json", "msgpack", "pickle", "parquet"]
)
@pytest.mark.parametrize("cut", [0, 0.5], ids=["empty", "cut"])
def test_a_damaged_file_names_its_path_and_what_makes_it(folder, value, cut):
    if value == "table":
        value = pytest.importorskip("pyarrow").table({"a": [1]})
    manager = FilesIOManager(folder)
    context = kept(manager, value, asset_key=ORDERS, partition_key="2026")
    path = Path(context.added_metadata["path"].path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(UsageError) as caught:
        manager.load_input(wanted(context))
    told = str(caught.value)
    assert all(
        part in told for part in (str(path), "input 'value' of step 'use'", "asset raw/orders, partition '2026'")
    )
    assert "materialize asset raw/orders, partition '2026'" in caught.value.remedy


def test_a_pickle_of_a_class_that_is_gone_says_so(folder):
    context = kept(FilesIOManager(folder), ("x",))
    Path(context.added_metadata["path"].path).write_bytes(b"cno_such_module\nThing\n.")
    with pytest.raises(UsageError, match="ModuleNotFoundError: No module named 'no_such_module'") as caught:
        FilesIOManager(folder).load_input(wanted(context))
    assert "run step 'make' again" in caught.value.remedy


def test_a_pickle_of_a_scripts_own_class_says_what_to_do(folder):
    code = f"""
from foldlog import FilesIOManager, OutputContext
class Row:
    pass
FilesIOManager({str(folder)!r}).handle_output(OutputContext(run_id="run-1", step_key="make"), Row())
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    with pytest.raises(
        UsageError, match="cannot be read as pickle: it holds 'Row' of the script that made it"
    ) as caught:
        FilesIOManager(folder).load_input(wanted(output()))
    assert caught.value.remedy == "Move the class into a module that is imported, and run step 'make' again."


NAMES = [
    "../../etc",
    "/etc/passwd",
    "a/b",
    "..",
    ".",
    "NUL\0",
    "x" * 300,
    "Result",
    "result",
    "con",
    "a\\b",
    "ü",
    "\ud800",
    " ",
]


def test_a_name_never_leaves_its_folder_and_no_two_share_a_file(tmp_path):
    manager = FilesIOManager(tmp_path / "in" / "values")
    made = []
    for number, name in enumerate(NAMES):
        made.append(kept(manager, number, run_id=name, step_key=name, name=name, mapping_key=name))
    for number, name in enumerate(NAMES):
        made.append(kept(manager, len(NAMES) + number, asset_key=AssetKey([name, name]), partition_key=name))
    assert [manager.load_input(wanted(context)) for context in made] == list(range(len(made)))
    outside = [
        path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "in" / "values" not in path.parents
    ]
    assert outside == []
    with pytest.raises(UsageError, match="'' names no file"):
        kept(manager, 1, name="")


def test_a_folder_that_cannot_be_made_names_the_place(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=f"cannot be written: {tmp_path}/file/values: ") as caught:
        kept(FilesIOManager(tmp_path / "file" / "values"), 1)
    assert "run the step again" in caught.value.remedy


def test_a_scheme_that_nobody_knows_and_a_missing_package_are_errors():
    with pytest.raises(UsageError, match=r"Protocol not known: nosuch") as caught:
        kept(FilesIOManager("nosuch://bucket"), 1)
    assert "install the package" in caught.value.remedy
    with pytest.raises(UsageError, match="base is empty"):
        FilesIOManager("")


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("s3://bucket", "s3fs", "foldlog[s3]"),
        ("gs://bucket", "gcsfs", "foldlog[gcs]"),
        ("abfs://box", "adlfs", "foldlog[azure]"),
    ],
)
def test_a_missing_package_is_told_in_one_line(url, module, package, monkeypatch):
    registry = sys.modules["fsspec.registry"]  # what is loaded already
    monkeypatch.delitem(registry._registry, url.partition(":")[0], raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"{url}: the package for such URLs is not installed") as caught:
        FilesIOManager(url).load_input(wanted(output()))
    assert caught.value.remedy == f"Install it: pip install '{package}'"
    assert ErrorInfo.from_exception(caught.value).cause is None


def test_a_missing_bucket_is_an_error_that_names_it(s3_bucket):
    manager = FilesIOManager("s3://foldlog-test-is-not-there/x", storage_options=s3_bucket.options)
    with pytest.raises(UsageError, match="s3://foldlog-test-is-not-there/x: FileNotFoundError"):
        kept(manager, 1)


def test_a_base_is_a_folder_or_a_file_url_and_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manager = FilesIOManager("values")
    monkeypatch.chdir("/")
    context = kept(manager, 1)
    for base in (tmp_path / "values", str(tmp_path / "values"), f"file://{tmp_path}/values"):
        assert FilesIOManager(base).load_input(wanted(context)) == 1
    assert pickle.loads(pickle.dumps(manager)).load_input(wanted(context)) == 1


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for base in ("~/values", Path("~/values")):
        assert repr(FilesIOManager(base)) == f"<FilesIOManager {tmp_path}/values, format auto>"


# -- credentials ------------------------------------------------------------------------------------------------------


def everything_told(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)) + repr(error) + getattr(error, "remedy", "")


class Leaky(fsspec.AbstractFileSystem):
    """A store that tells its secrets in every error."""

    protocol = "leaky"
    cachable = False

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def info(self, path, **_):
        raise OSError(f"no access with {self.options}")


@pytest.fixture
def leaky():
    fsspec.register_implementation("leaky", Leaky, clobber=True)
    return {
        "key": "AKIA-visible?",
        "nested": {"account_key": "s3cr3t-account"},
        "endpoint_url": "http://user:pa55@host:1",
    }


def test_credentials_are_in_no_error_and_no_repr(leaky):
    manager = FilesIOManager("leaky://me:hunter2@place/x", storage_options=leaky)
    told = repr(manager)
    for call in (lambda: kept(manager, 1), lambda: manager.load_input(wanted(output()))):
        with pytest.raises(UnavailableError) as caught:
            call()
        told += everything_told(caught.value)
        told += repr(ErrorInfo.from_exception(caught.value))
    assert "no access with" in told
    assert "place/x" in told
    for secret in ("AKIA-visible?", "s3cr3t-account", "pa55", "hunter2"):
        assert secret not in told


def test_options_of_the_environment_are_used_if_none_are_given(leaky, s3_bucket, monkeypatch, folder):
    import json

    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    manager = FilesIOManager(s3_bucket.url)
    assert back(manager, [1]) == [1]
    assert s3_bucket.options["secret"] not in repr(manager)
    assert back(FilesIOManager(folder), [1]) == [1]
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", '{"key": "hunter2"')
    assert back(FilesIOManager(folder), [1]) == [1], "a folder needs no options"
    assert back(FilesIOManager(s3_bucket.url, storage_options=s3_bucket.options), [2]) == [2]
    with pytest.raises(UsageError, match="FOLDLOG_STORAGE_OPTIONS is no JSON object") as caught:
        kept(FilesIOManager(s3_bucket.url), 1)
    assert "hunter2" not in everything_told(caught.value)


def test_another_processes_files_are_seen_on_s3(s3_bucket):
    reader = FilesIOManager(s3_bucket.url, storage_options=s3_bucket.options)
    with pytest.raises(UsageError):
        reader.load_input(wanted(output()))
    fsspec.filesystem("s3", **s3_bucket.options).find(s3_bucket.url)  # fills the listing cache that managers share
    code = f"""
from foldlog.engine.artifacts.io import FilesIOManager, OutputContext
manager = FilesIOManager({s3_bucket.url!r}, storage_options={s3_bucket.options!r})
manager.handle_output(OutputContext(run_id="run-1", step_key="make"), "from elsewhere")
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    assert reader.load_input(wanted(output())) == "from elsewhere"


# -- an IO manager of one's own ---------------------------------------------------------------------------------------


def test_an_io_manager_has_two_methods():
    class Dict(IOManager):
        def __init__(self):
            self.values = {}

        def handle_output(self, context, value):
            self.values[context.value_id] = value

        def load_input(self, context):
            there = lambda ids: {one: self.values[one] for one in ids if one in self.values}  # noqa: E731
            return load_each(context, there, lambda value_id, value: value)

    manager = Dict()
    assert back(manager, ["a", "b"]) == ["a", "b"]
    kept(manager, 1, asset_key=ORDERS, partition_key="a")
    assert manager.load_input(wanted(asset_key=ORDERS, partition_keys=("a",))) == 1
    with pytest.raises(UsageError, match="1 of 2 partitions are not there: 'b'"):
        manager.load_input(wanted(asset_key=ORDERS, partition_keys=("a", "b")))
    with pytest.raises(TypeError, match="load_input"):
        type("Half", (IOManager,), {"handle_output": Dict.handle_output})()
