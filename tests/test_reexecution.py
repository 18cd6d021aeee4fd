"""Executing a job again: what is executed, what is taken from which run before, and what is refused.

`trouble` decides, between runs, which steps fail; it counts the calls of each. All tests of a backend share an
instance: at the end its views, folded anew, must say the same, and prove equal to the log.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers

from foldlog import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    AssetOut,
    Config,
    Definitions,
    DynamicOut,
    DynamicOutput,
    Event,
    ExecutionResult,
    FilesIOManager,
    InMemoryIOManager,
    Instance,
    Out,
    Output,
    RunStatus,
    UsageError,
    asset,
    asset_check,
    define_asset_job,
    events,
    execute_job,
    graph,
    job,
    materialize,
    multi_asset,
    op,
    reexecute_job,
)
from foldlog.engine.definitions.partitions import StaticPartitionsDefinition
from foldlog.engine.events.key import AssetCheckKey


class Trouble:
    """Which steps fail, and how often each was called."""

    def __init__(self) -> None:
        self.mark = ""
        self.of: set[str] = set()
        self.stops: set[str] = set()  #: steps that are interrupted
        self.calls: Counter[str] = Counter()

    def at(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.stops:
            raise KeyboardInterrupt
        if name in self.of:
            raise RuntimeError(f"trouble at {name}")

    def called(self) -> dict[str, int]:
        """Calls since this was last asked."""
        calls, self.calls = dict(self.calls), Counter()
        return calls


@pytest.fixture
def trouble() -> Trouble:
    return Trouble()


def check_views(instance: Instance) -> None:
    """Raise AssertionError unless views that are folded anew say the same, and prove equal to the log."""

    def answers() -> list[Any]:
        runs = instance.get_run_records(limit=1000)
        assets = instance.get_asset_records(limit=1000)
        return [
            runs,
            [instance.get_run_steps(one.run.run_id) for one in runs],
            [instance.get_step_attempts(one.run.run_id) for one in runs],
            assets,
            [instance.get_asset_partitions(one.asset_key) for one in assets],
            [instance.get_asset_checks(one.asset_key) for one in assets],
        ]

    before = answers()
    instance.rebuild()
    assert answers() == before
    verified = instance.verify()
    assert verified.ok, verified.problems


@pytest.fixture(scope="module")
def memory() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found
        check_views(found)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    # A commit that may be lost with the power costs no sync; this is no test of the disk.
    with Instance.from_url(f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/history?durability=process") as found:
        yield found
        check_views(found)


@pytest.fixture(scope="module")
def postgres(postgres_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with servers.kind_of("postgres").fresh(postgres_server_url) as url:
        with Instance.from_url(url, root=tmp_path_factory.mktemp("postgres")) as found:
            yield found
            check_views(found)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def instance(request: pytest.FixtureRequest) -> Instance:
    found: Instance = request.getfixturevalue(request.param)
    return found


def run(job: Any, instance: Instance, **options: Any) -> ExecutionResult:
    return execute_job(job, instance=instance, raise_on_error=False, **options)


def again(job: Any, parent: ExecutionResult | str, instance: Instance, **options: Any) -> ExecutionResult:
    parent_id = parent if isinstance(parent, str) else parent.run_id
    return reexecute_job(job, parent_id, instance=instance, raise_on_error=False, **options)


def on(job: Any, parent: ExecutionResult | str, instance: Instance, **options: Any) -> ExecutionResult:
    return again(job, parent, instance, from_failure=True, **options)


def started(result: ExecutionResult) -> list[str]:
    return [one.event.step_key or "" for one in result.events() if one.event.type == "STEP_START"]


def loaded(result: ExecutionResult, step_key: str) -> list[tuple[str | None, str | None]]:
    """Step and output that each input of a step was loaded from."""
    return [
        (one.event.fact.upstream_step_key, one.event.fact.upstream_output_name)
        for one in result.events(step_key)
        if one.event.type == "LOADED_INPUT"
    ]


def chain(trouble: Trouble) -> Any:
    """a -> b -> c -> d; each adds its letter."""

    def step(name: str) -> Any:
        @op(name=name)
        def add(text: str = "") -> str:
            trouble.at(name)
            return text + name

        return add

    a, b, c, d = (step(name) for name in "abcd")

    @job
    def chained() -> None:
        d(c(b(a())))

    return chained


# -- whole, and by selection ------------------------------------------------------------------------------------


def test_whole(instance: Instance, trouble: Trouble) -> None:
    chained = chain(trouble)
    first = run(chained, instance, tags={"team": "growth"})
    trouble.called()
    second = again(chained, first, instance)
    third = again(chained, second, instance, tags={"team": "ops", "more": "yes"})
    assert trouble.called() == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert third.output_for_node("d") == "abcd"
    found = {one.run_id: instance.get_run_by_id(one.run_id) for one in (first, second, third)}
    of_second, of_third = found[second.run_id], found[third.run_id]
    assert of_second is not None
    assert of_third is not None
    assert (of_second.parent_run_id, of_second.root_run_id) == (first.run_id, first.run_id)
    assert (of_third.parent_run_id, of_third.root_run_id) == (second.run_id, first.run_id)
    assert of_second.tags == {"team": "growth"}
    assert of_third.tags == {"team": "ops", "more": "yes"}
    group = instance.get_run_group(third.run_id)
    assert group is not None
    assert {one.run_id for one in group[1]} == set(found)


def test_by_selection(instance: Instance, trouble: Trouble) -> None:
    chained = chain(trouble)
    first = run(chained, instance)
    trouble.called()
    second = again(chained, first, instance, step_selection=["b", "c"])
    assert trouble.called() == {"b": 1, "c": 1}
    assert started(second) == ["b", "c"]
    assert loaded(second, "b") == [("a", "result")]
    assert second.output_for_node("c") == "abc"
    made = instance.get_run_by_id(second.run_id)
    assert made is not None
    assert made.step_keys == ("b", "c")
    assert "foldlog/is_resume_retry" not in made.tags
    third = again(chained, second, instance, step_selection="d")
    assert third.output_for_node("d") == "abcd"
    assert again(chained, third, instance, step_selection="c*").output_for_node("d") == "abcd"


def test_a_selection_whose_upstream_failed_is_refused(instance: Instance, trouble: Trouble) -> None:
    chained = chain(trouble)
    trouble.of = {"b"}
    first = run(chained, instance)
    before = instance.get_runs_count()

    @op
    def strict(text: str) -> str:
        return text

    @op
    def source() -> str:
        trouble.at("b")
        return ""

    @job
    def two() -> None:
        strict(source())

    failed = run(two, instance)
    with pytest.raises(UsageError, match=r"step strict: its input 'text' comes from source, which is not selected"):
        again(two, failed, instance, step_selection="strict")
    assert instance.get_runs_count() == before + 1
    assert again(chained, first, instance, step_selection="c").output_for_node("c") == "c", "its input has a default"


def test_a_selection_with_both_ways_is_refused(memory: Instance, trouble: Trouble) -> None:
    with pytest.raises(UsageError, match="both from_failure and step_selection"):
        on(chain(trouble), "r", memory, step_selection="a")


# -- from failure -----------------------------------------------------------------------------------------------


def test_from_failure(instance: Instance, trouble: Trouble) -> None:
    chained = chain(trouble)
    trouble.of = {"b"}
    first = run(chained, instance, tags={"team": "growth"})
    trouble.of, _ = set(), trouble.called()
    second = on(chained, first, instance)
    assert second.success
    assert trouble.called() == {"b": 1, "c": 1, "d": 1}
    assert second.output_for_node("d") == "abcd"
    assert second.output_for_node("a") == "a", "known from the run before"
    made = instance.get_run_by_id(second.run_id)
    assert made is not None
    assert made.tags == {"team": "growth", "foldlog/is_resume_retry": "true"}
    assert made.step_keys == ("b", "c", "d")


def test_over_generations(instance: Instance, trouble: Trouble) -> None:
    """What a step needs comes from whichever run has it: a from the first, b from the second, c from the third."""
    chained = chain(trouble)
    last: ExecutionResult | None = None
    for number, name in enumerate("bcd"):
        trouble.of = {name}
        last = run(chained, instance) if last is None else on(chained, last, instance)
        assert last.failed_step_keys == (name,), number
    assert last is not None
    trouble.of, _ = set(), trouble.called()
    end = on(chained, last, instance)
    assert (trouble.called(), end.output_for_node("d")) == ({"d": 1}, "abcd")
    assert loaded(end, "d") == [("c", "result")]
    root = instance.get_run_by_id(end.run_id)
    assert root is not None
    assert root.parent_run_id == last.run_id
    assert [end.output_for_node(name) for name in "abc"] == ["a", "ab", "abc"]
    # Again by selection, over five generations.
    assert again(chained, end, instance, step_selection="b*").output_for_node("d") == "abcd"


def test_values_are_read_from_the_files_of_the_run_that_has_them(tmp_path: Path, trouble: Trouble) -> None:
    folder = tmp_path / "values"
    resources = {"io_manager": FilesIOManager(folder, format="json")}
    with Instance.ephemeral() as instance:
        chained = chain(trouble)
        trouble.of = {"c"}
        first = run(chained, instance, run_id="first", resources=resources)
        trouble.of = {"d"}
        second = on(chained, first, instance, run_id="second", resources=resources)
        trouble.of = set()
        (file,) = [one for one in folder.rglob("*") if one.is_file() and "first" in str(one) and "/b" in str(one)]
        file.write_text(file.read_text().replace("ab", "AB"))
        third = again(chained, second, instance, step_selection="c*", resources=resources)
        assert third.output_for_node("d") == "ABcd"
        file.unlink()
        lost = again(chained, second, instance, step_selection="c*", resources=resources)
        assert not lost.success
        (failure,) = [one.event.fact for one in lost.events("c") if one.event.type == "STEP_FAILURE"]
        assert "b" in str(failure.error.message)
        assert isinstance(lost.error, UsageError)
        assert "first" in str(lost.error)
        assert "step" in lost.error.remedy
        # The way out that it names: make the value again.
        assert again(chained, lost, instance, step_selection="b*", resources=resources).success


def test_values_that_lived_in_memory(tmp_path: Path, trouble: Trouble) -> None:
    """Another process has not what the first kept in memory; it is told what to do."""
    chained = chain(trouble)
    trouble.of = {"b"}
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as instance:
        first = run(chained, instance, resources={"io_manager": InMemoryIOManager()})
        trouble.of = set()
        failed = on(chained, first, instance, resources={"io_manager": InMemoryIOManager()})
        assert failed.failed_step_keys == ("b",)
        assert "memory of the process" in str(failed.error)
        assert "FilesIOManager" in failed.error.remedy  # type: ignore[union-attr]
        assert again(chained, failed, instance).success


def test_a_run_that_was_interrupted(instance: Instance, trouble: Trouble) -> None:
    """Failed, interrupted, never run, and what lies behind each; nothing else."""

    @op
    def good() -> int:
        trouble.at("good")
        return 1

    @op
    def stopped(n: int) -> int:
        trouble.at("stopped")
        if "stop" in trouble.of:
            raise KeyboardInterrupt
        return n + 1

    @op
    def bad(n: int) -> int:
        trouble.at("bad")
        return n + 10

    @op
    def behind(n: int) -> int:
        trouble.at("behind")
        return n * 2

    @op
    def never() -> int:
        trouble.at("never")
        return 5

    @op
    def total(values: list[int]) -> int:
        trouble.at("total")
        return sum(values)

    @job
    def mixed() -> None:
        one = good()
        also = behind.alias("fine")(one)
        total([behind(bad(one)), stopped(one), never(), also])

    trouble.of = {"stop", "bad"}
    with pytest.raises(KeyboardInterrupt):
        execute_job(mixed, instance=instance, run_id=f"stopped-{id(trouble)}", raise_on_error=False)
    parent = instance.get_run_by_id(f"stopped-{id(trouble)}")
    assert parent is not None
    assert parent.status is RunStatus.CANCELED
    ended = trouble.called()
    assert "total" not in ended
    trouble.of = set()
    second = on(mixed, parent.run_id, instance)
    done = trouble.called()
    assert {"good"}.isdisjoint(done)
    assert {"bad", "stopped", "total"} <= done.keys()
    assert second.output_for_node("total") == 22 + 2 + 5 + 2
    family = [one.event.step_key for one in second.events() if one.event.type == "STEP_SUCCESS"]
    family += [
        one.event.step_key for one in instance.log.read_shard(parent.run_id).records if one.event.type == "STEP_SUCCESS"
    ]
    assert sorted(map(str, family)) == ["bad", "behind", "fine", "good", "never", "stopped", "total"]


def test_only_what_the_parent_was_to_execute(instance: Instance, trouble: Trouble) -> None:
    """What a selection left out is no failure, so it is not gone on with."""
    chained = chain(trouble)
    trouble.of = {"b"}
    first = run(chained, instance, op_selection=["a", "b"])
    trouble.of = set()
    second = on(chained, first, instance)
    assert started(second) == ["b"]
    assert second.success


def test_a_step_that_was_to_be_executed_again_and_never_was(instance: Instance, trouble: Trouble) -> None:
    """b succeeded in the first run; the second executed a anew and never came to b: what b was, is out of date."""
    box = {"a": "1"}

    @op
    def a() -> str:
        trouble.at("a")
        if "stop" in trouble.of:
            raise KeyboardInterrupt
        return box["a"]

    @op
    def b(text: str) -> str:
        trouble.at("b")
        return text * 2

    @op
    def c(text: str) -> str:
        return f"<{text}>"

    @job
    def three() -> None:
        c(b(a()))

    first = run(three, instance)
    box["a"] = "2"
    trouble.of = {"b"}
    second = again(three, first, instance, step_selection="a+")
    assert second.failed_step_keys == ("b",)
    trouble.of = set()
    third = on(three, second, instance)
    assert started(third) == ["b"]
    assert third.output_for_node("b") == "22"
    trouble.of = {"stop"}
    stopped = f"halted-{id(trouble)}"
    with pytest.raises(KeyboardInterrupt):
        again(three, first, instance, step_selection=["a", "b", "c"], run_id=stopped)
    with pytest.raises(KeyboardInterrupt):
        on(three, stopped, instance, run_id=f"{stopped}-2")
    trouble.of = set()
    with pytest.raises(UsageError, match="comes from b, which is not selected"):
        again(three, stopped, instance, step_selection="c")
    end = on(three, f"{stopped}-2", instance)
    assert started(end) == ["a", "b", "c"]
    assert end.output_for_node("c") == "<22>"


def test_skipped_stays_skipped(instance: Instance, trouble: Trouble) -> None:
    """Of an optional output that stayed away, nothing is executed again."""

    @op(out={"left": Out(is_required=False), "right": Out(is_required=False)})
    def fork() -> Iterator[Output]:
        trouble.at("fork")
        yield Output("r", "right")

    @op
    def on_left(text: str) -> str:
        trouble.at("left")
        return text

    @op
    def on_right(text: str) -> str:
        trouble.at("right")
        return text + "!"

    @op
    def either(texts: list[str]) -> list[str]:
        trouble.at("either")
        return texts

    @job
    def forked() -> None:
        left, right = fork()
        either([on_left(left), on_right(right)])

    trouble.of = {"right"}
    first = run(forked, instance)
    assert first.step_outcomes["on_left"] == "SKIPPED"
    trouble.of, _ = set(), trouble.called()
    second = on(forked, first, instance)
    assert trouble.called() == {"right": 1, "either": 1}
    assert second.output_for_node("either") == ["r!"]
    with pytest.raises(UsageError, match="succeeded"):
        on(forked, second, instance)


# -- dynamic steps ----------------------------------------------------------------------------------------------


def fanned(trouble: Trouble, keys: list[str]) -> Any:
    """source -> work[...] -> more[...] -> gather; and gather2 of the keys themselves; and after a step beside it."""

    @op(out=DynamicOut())
    def source() -> Iterator[DynamicOutput]:
        trouble.at("source")
        for key in keys:
            yield DynamicOutput(key, mapping_key=key)

    @op(out=Out(is_required=False))
    def work(key: str) -> str | None:
        trouble.at(f"work {key}")
        return None if f"drop {key}" in trouble.of else key.upper()

    @op
    def more(text: str) -> str:
        trouble.at(f"more {text}")
        return text + "+"

    @op
    def gather(texts: list[str]) -> list[str]:
        trouble.at("gather")
        return texts

    @op
    def beside() -> None:
        trouble.at("beside")

    @job
    def fan() -> None:
        values = source()
        gather(values.map(work).map(more).collect())
        gather.alias("raw")(values.collect())
        beside()

    return fan


def test_one_lane_failed(instance: Instance, trouble: Trouble) -> None:
    fan = fanned(trouble, ["a", "b", "c"])
    trouble.of = {"work b"}
    first = run(fan, instance)
    assert first.failed_step_keys == ("work[b]",)
    trouble.of, _ = {"more B"}, trouble.called()
    second = on(fan, first, instance)
    assert trouble.called() == {"work b": 1, "more B": 1}
    made = instance.get_run_by_id(second.run_id)
    assert made is not None
    assert made.step_keys == ("work[b]", "more[b]", "gather")
    trouble.of = set()
    third = on(fan, second, instance)
    assert trouble.called() == {"more B": 1, "gather": 1}
    assert third.output_for_node("gather") == ["A+", "B+", "C+"]
    assert third.output_for_node("more[b]") == "B+"
    assert third.output_for_node("work[a]") == "A"
    # The lanes, of three runs, are collected again by selection.
    assert again(fan, third, instance, step_selection="gather").output_for_node("gather") == ["A+", "B+", "C+"]
    assert trouble.called() == {"gather": 1}
    assert again(fan, third, instance, step_selection="more*").output_for_node("gather") == ["A+", "B+", "C+"]
    assert trouble.called() == {"more A": 1, "more B": 1, "more C": 1, "gather": 1}


def test_collecting_lanes_that_failed_is_refused(instance: Instance, trouble: Trouble) -> None:
    """A selection of the collecting step must not leave the failed lane out in silence."""
    fan = fanned(trouble, ["a", "b", "c"])
    trouble.of = {"more B"}
    first = run(fan, instance)
    trouble.of = set()
    with pytest.raises(UsageError, match="comes from more, which is not selected"):
        again(fan, first, instance, step_selection="gather")
    assert again(fan, first, instance, step_selection="more*").output_for_node("gather") == ["A+", "B+", "C+"]


def test_the_source_failed(instance: Instance, trouble: Trouble) -> None:
    """Half-way through its keys: it is executed again, and all that is mapped over it."""
    keys = ["a", "b"]
    fan = fanned(trouble, keys)
    trouble.of = {"source"}
    first = run(fan, instance)
    trouble.of, _ = set(), trouble.called()
    keys[:] = ["b", "x"]
    second = on(fan, first, instance)
    assert trouble.called() == {
        **{"source": 1, "work b": 1, "work x": 1, "more B": 1, "more X": 1, "gather": 2},
    }
    assert second.output_for_node("gather") == ["B+", "X+"]
    keys[:] = ["z"]
    third = again(fan, second, instance, step_selection="source*")
    assert third.output_for_node("gather") == ["Z+"]
    assert third.output_for_node("raw") == ["z"]


def test_a_source_without_keys(instance: Instance, trouble: Trouble) -> None:
    """Its mapped steps were executed for all keys that there are; what collected them is not executed again."""
    fan = fanned(trouble, [])
    trouble.of = {"beside"}
    first = run(fan, instance)
    assert first.failed_step_keys == ("beside",)
    trouble.of, _ = set(), trouble.called()
    second = on(fan, first, instance)
    assert trouble.called() == {"beside": 1}
    with pytest.raises(UsageError, match="executed no step that needs the resource 'io_manager'") as caught:
        second.output_for_node("gather")
    assert first.run_id in caught.value.remedy
    assert again(fan, second, instance, step_selection="gather").output_for_node("gather") == []


def test_a_lane_that_stays_away_the_second_time(instance: Instance, trouble: Trouble) -> None:
    """Skipped in this run, while the other lanes succeeded in the one before: those are collected."""
    fan = fanned(trouble, ["a", "b"])
    trouble.of = {"work b"}
    first = run(fan, instance)
    trouble.of = {"drop b"}
    second = on(fan, first, instance)
    assert second.success, second.error
    assert second.output_for_node("gather") == ["A+"]
    assert again(fan, second, instance, step_selection="gather").output_for_node("gather") == ["A+"]


def test_the_step_that_collects_failed(instance: Instance, trouble: Trouble) -> None:
    fan = fanned(trouble, ["a", "b"])
    trouble.of = {"gather"}
    first = run(fan, instance)
    assert set(first.failed_step_keys) == {"gather", "raw"}
    trouble.of, _ = set(), trouble.called()
    second = on(fan, first, instance)
    assert trouble.called() == {"gather": 2}
    assert second.output_for_node("gather") == ["A+", "B+"]
    assert second.output_for_node("raw") == ["a", "b"]
    assert loaded(second, "gather") == [("more[a]", "result"), ("more[b]", "result")]


# -- nested graphs ----------------------------------------------------------------------------------------------


def test_nested_graphs(instance: Instance, trouble: Trouble) -> None:
    @op
    def one() -> int:
        trouble.at("one")
        return 1

    @op
    def add(n: int) -> int:
        trouble.at("add")
        return n + 1

    @graph
    def inner(n: int) -> int:
        return add.alias("second")(add.alias("first")(n))  # type: ignore[no-any-return]

    @graph
    def outer(n: int) -> int:
        return inner(inner.alias("before")(n))  # type: ignore[no-any-return]

    @op
    def last(n: int) -> int:
        if "last" in trouble.of:
            raise RuntimeError
        return n

    @job
    def nest() -> None:
        last(outer(one()))

    trouble.of = {"last"}
    first = run(nest, instance)
    assert first.failed_step_keys == ("last",)
    trouble.of, _ = set(), trouble.called()
    second = on(nest, first, instance)
    assert (trouble.called(), second.output_for_node("last")) == ({}, 5)
    third = again(nest, second, instance, step_selection="outer.inner.first*")
    assert started(third) == ["outer.inner.first", "outer.inner.second", "last"]
    assert third.output_for_node("last") == 5
    assert loaded(third, "outer.inner.first") == [("outer.before.second", "result")]


# -- assets -----------------------------------------------------------------------------------------------------


def test_assets_with_partitions(instance: Instance, trouble: Trouble) -> None:
    days = StaticPartitionsDefinition(["mon", "tue"])
    name = f"p{id(trouble)}"

    @asset(key=[name, "raw"], partitions_def=days)
    def raw(context: Any) -> str:
        trouble.at("raw")
        return f"raw of {context.partition_key}"

    @asset(key=[name, "clean"], partitions_def=days)
    def clean(raw: str) -> str:
        trouble.at("clean")
        return raw.upper()

    clean_of = asset(key=[name, "clean"], partitions_def=days, ins={"raw": _in([name, "raw"])})(_plain(clean))
    defs = Definitions(assets=[raw, clean_of], jobs=[define_asset_job(name, partitions_def=days)])
    both = defs.get_job(name)
    trouble.of = {"clean"}
    first = run(both, instance, partition_key="tue")
    assert [one.status for one in instance.get_asset_partitions([name, "clean"])] == ["FAILED"]
    trouble.of, _ = set(), trouble.called()
    second = on(both, first, instance)
    assert second.success, second.error
    assert trouble.called() == {"clean": 1}
    assert second.asset_value([name, "clean"]) == "RAW OF TUE"
    assert [(one.partition, one.status) for one in instance.get_asset_partitions([name, "clean"])] == [
        ("tue", "MATERIALIZED")
    ]
    planned = [one.event.fact for one in second.events() if one.event.type == "ASSET_MATERIALIZATION_PLANNED"]
    assert [(one.asset_key, one.partition) for one in planned] == [(AssetKey([name, "clean"]), "tue")]
    made = instance.get_run_by_id(second.run_id)
    assert made is not None
    assert made.tags["foldlog/partition"] == "tue"


def _in(key: list[str]) -> Any:
    from foldlog import AssetIn

    return AssetIn(key=key)


def _plain(definition: Any) -> Callable[..., Any]:
    """The function of an asset, to be declared again."""
    function: Callable[..., Any] = definition.op.fn
    return function


def test_a_selection_of_assets_is_kept(instance: Instance, trouble: Trouble) -> None:
    """Of the assets of a job, those that the parent was to make."""
    name = f"s{id(trouble)}"

    def one(letter: str, *deps: str) -> Any:
        @asset(key=[name, letter], deps=[[name, dep] for dep in deps])
        def made() -> str:
            trouble.at(letter)
            return letter

        return made

    defs = Definitions(assets=[one("x"), one("y", "x"), one("z", "y")], jobs=[define_asset_job(name)])
    three = defs.get_job(name)
    trouble.of = {"y"}
    first = run(three, instance, asset_selection=[f"{name}/x", f"{name}/y"])
    assert first.failed_step_keys == (f"{name}__y",)
    trouble.of, _ = set(), trouble.called()
    second = on(three, first, instance)
    assert trouble.called() == {"y": 1}
    whole = again(three, second, instance)
    assert trouble.called() == {"x": 1, "y": 1}
    assert whole.success


def test_a_multi_asset_that_made_one_of_two(instance: Instance, trouble: Trouble) -> None:
    name = f"m{id(trouble)}"

    @multi_asset(outs={"left": AssetOut(key=[name, "left"]), "right": AssetOut(key=[name, "right"])}, name=name)
    def both() -> Iterator[Output]:
        trouble.at("begin")
        yield Output("l", "left")
        trouble.at("middle")
        yield Output("r", "right")

    @asset(key=[name, "sum"], ins={"left": _in([name, "left"]), "right": _in([name, "right"])})
    def total(left: str, right: str) -> str:
        trouble.at("sum")
        return left + right

    defs = Definitions(assets=[both, total], jobs=[define_asset_job(f"job_{name}")])
    all_three = defs.get_job(f"job_{name}")
    trouble.of = {"middle"}
    first = run(all_three, instance)
    failed = {
        str(one.event.fact.asset_key) for one in first.events() if one.event.type == "ASSET_FAILED_TO_MATERIALIZE"
    }
    assert {one.rpartition("/")[2] for one in failed} == {"right", "sum"}
    trouble.of, _ = {"sum"}, trouble.called()
    second = on(all_three, first, instance)
    assert trouble.called() == {"begin": 1, "middle": 1, "sum": 1}
    trouble.of = set()
    third = on(all_three, second, instance)
    assert trouble.called() == {"sum": 1}
    assert third.asset_value([name, "sum"]) == "lr"


def test_a_blocking_check_that_failed(instance: Instance, trouble: Trouble) -> None:
    """The asset is made again, too: the check would look at the same value for ever."""
    name = f"c{id(trouble)}"

    @asset(key=[name, "raw"])
    def raw() -> int:
        trouble.at("raw")
        return 1

    @asset_check(asset=[name, "raw"], name="good", blocking=True)
    def good() -> AssetCheckResult:
        trouble.calls["good"] += 1
        return AssetCheckResult(passed="good" not in trouble.of)

    @asset(key=[name, "next"], deps=[[name, "raw"]])
    def behind() -> int:
        trouble.at("next")
        return 2

    defs = Definitions(assets=[raw, behind], asset_checks=[good], jobs=[define_asset_job(name)])
    checked = defs.get_job(name)
    trouble.of = {"good"}
    first = run(checked, instance)
    assert trouble.called() == {"raw": 1, "good": 1}
    second = on(checked, first, instance)
    assert not second.success
    trouble.of, _ = set(), trouble.called()
    third = on(checked, second, instance)
    assert third.success, third.error
    assert trouble.called() == {"raw": 1, "good": 1, "next": 1}
    notes = [one.event.fact.text for one in third.events() if one.event.type == "ENGINE_EVENT"]
    assert any("raw succeeded, and is executed again" in one and "failed" in one for one in notes), notes
    key = AssetCheckKey(asset_key=AssetKey([name, "raw"]), name="good")
    evaluations = instance.get_asset_check_execution_history(key)
    assert [one.status for one in evaluations] == ["PASSED", "FAILED", "FAILED"]


def test_a_blocking_check_of_the_asset_itself(instance: Instance, trouble: Trouble) -> None:
    """Evaluated by the function that makes the asset: that is executed again."""
    name = f"b{id(trouble)}"

    @asset(key=[name, "raw"], check_specs=[AssetCheckSpec(name="good", asset=[name, "raw"], blocking=True)])
    def raw() -> Iterator[Any]:
        trouble.calls["raw"] += 1
        yield Output(1)
        yield AssetCheckResult(passed="good" not in trouble.of)

    defs = Definitions(assets=[raw], jobs=[define_asset_job(name)])
    trouble.of = {"good"}
    first = run(defs.get_job(name), instance)
    assert not first.success
    trouble.of = set()
    assert on(defs.get_job(name), first, instance).success
    assert trouble.called() == {"raw": 2}


def test_assets_of_materialize(instance: Instance, trouble: Trouble) -> None:
    """A run of `materialize` is of a job, too: by the same definitions it can be gone on with."""
    name = f"z{id(trouble)}"

    @asset(key=[name, "one"])
    def one() -> int:
        trouble.at("one")
        return 1

    first = None
    trouble.of = {"one"}
    first = materialize([one], instance=instance, raise_on_error=False)
    trouble.of = set()
    made = instance.get_run_by_id(first.run_id)
    assert made is not None
    again_job = Definitions(assets=[one]).asset_job("*", name=made.job_name)
    assert on(again_job, first, instance).asset_value([name, "one"]) == 1


# -- run config -------------------------------------------------------------------------------------------------


class Much(Config):
    much: int = 1


def test_run_config(instance: Instance, trouble: Trouble) -> None:
    """The parent's, unless another is given; a value that the run config gave a step is given again."""

    @op
    def make(config: Much, text: str) -> str:
        trouble.at("make")
        return text * config.much

    @op
    def show(text: str) -> str:
        trouble.at("show")
        return f"<{text}>"

    @job
    def shown() -> None:
        show(make())

    config = {"ops": {"make": {"config": {"much": 3}, "inputs": {"text": "x"}}}}
    trouble.of = {"make"}
    first = run(shown, instance, run_config=config)
    trouble.of = {"show"}
    second = on(shown, first, instance)
    assert second.output_for_node("make") == "xxx"
    trouble.of = set()
    assert on(shown, second, instance).output_for_node("show") == "<xxx>"
    other = {"ops": {"make": {"config": {"much": 2}, "inputs": {"text": "y"}}}}
    third = again(shown, second, instance, run_config=other)
    assert third.output_for_node("show") == "<yy>"
    made = instance.get_run_by_id(third.run_id)
    assert made is not None
    assert made.run_config == other
    with pytest.raises(UsageError, match="much"):
        on(shown, first, instance, run_config={"ops": {"make": {"config": {"much": "many"}}}})


# -- what is refused --------------------------------------------------------------------------------------------


def test_a_run_that_there_is_not(instance: Instance, trouble: Trouble) -> None:
    with pytest.raises(UsageError, match="there is no run nobody") as caught:
        on(chain(trouble), "nobody", instance)
    assert "foldlog runs" in caught.value.remedy


def test_a_run_of_another_job(instance: Instance, trouble: Trouble) -> None:
    trouble.of = {"a"}
    first = run(chain(trouble), instance)
    with pytest.raises(UsageError, match=f"run {first.run_id} is of job 'chained', not of job 'fan'") as caught:
        on(fanned(trouble, []), first, instance)
    assert "chained" in caught.value.remedy


def test_a_success(instance: Instance, trouble: Trouble) -> None:
    first = run(chain(trouble), instance)
    with pytest.raises(UsageError, match="succeeded, so there is no failure to go on from"):
        on(chain(trouble), first, instance)


def test_nothing_to_go_on_from(memory: Instance, trouble: Trouble) -> None:
    """All steps ended well, and the run failed all the same: somebody said so."""
    chained = chain(trouble)
    first = run(chained, memory)
    memory.log.append(
        "odd", [Event.now(events.RunCreated(job_name="chained", parent_run_id=first.run_id, step_keys=()))]
    )
    memory.log.append("odd", [Event.now(events.RunFailed())])
    with pytest.raises(UsageError, match="every step of run odd succeeded or was skipped"):
        on(chained, "odd", memory)


@pytest.mark.parametrize("queued", [False, True])
def test_a_run_that_waits(memory: Instance, trouble: Trouble, queued: bool) -> None:
    """Of a queued run, a worker may come at any moment; of one that nobody began, nothing is known."""
    facts: list[Any] = [events.RunCreated(job_name="chained")]
    if queued:
        facts.append(events.RunEnqueued())
    run_id = f"waits-{queued}"
    memory.log.append(run_id, [Event.now(fact) for fact in facts])
    expected = "is QUEUED" if queued else "is NOT_STARTED, and nothing tells of its worker"
    with pytest.raises(UsageError, match=expected):
        on(chain(trouble), run_id, memory)
    if queued:
        with pytest.raises(UsageError, match=expected):
            on(chain(trouble), run_id, memory, assume_lost=True)
    else:
        assert on(chain(trouble), run_id, memory, assume_lost=True).success
        lost = memory.get_run_by_id(run_id)
        assert lost is not None
        assert lost.status is RunStatus.FAILURE


def test_a_run_that_is_at_work(instance: Instance, trouble: Trouble) -> None:
    """From within a step of it, in the same process."""
    refused: list[str] = []
    jobs: list[Any] = []

    @op
    def restless(context: Any) -> None:
        for options in ({}, {"from_failure": True}, {"step_selection": "restless"}):
            try:
                reexecute_job(jobs[0], context.run_id, instance=context.instance, **options)  # type: ignore[arg-type]
            except UsageError as error:
                refused.append(str(error))

    @job
    def work() -> None:
        restless()

    jobs.append(work)
    assert run(work, instance).success
    assert len(refused) == 3
    assert all("is STARTED, and there is a process" in one for one in refused)


def test_a_job_that_has_changed(instance: Instance, trouble: Trouble) -> None:
    """A step that is gone is no matter; a new one never ran, so it is executed; a selection of one gone is refused."""

    def version(*names: str) -> Any:
        def step(name: str) -> Any:
            @op(name=name)
            def add(text: str = "") -> str:
                trouble.at(name)
                return text + name

            return add

        @job(name="changing")
        def changing() -> None:
            value = None
            for name in names:
                value = step(name)() if value is None else step(name)(value)

        return changing

    trouble.of = {"c"}
    first = run(version("a", "b", "c"), instance)
    trouble.of, _ = set(), trouble.called()
    second = on(version("a", "x", "c"), first, instance)
    assert trouble.called() == {"x": 1, "c": 1}
    assert second.output_for_node("c") == "axc"
    third = again(version("a", "x", "c", "d"), second, instance, step_selection="d")
    assert third.output_for_node("d") == "axcd"
    with pytest.raises(UsageError, match="'b'"):
        again(version("a", "x", "c"), second, instance, step_selection="b")


def test_assets_that_are_gone(memory: Instance, trouble: Trouble) -> None:
    name = f"g{id(trouble)}"

    def made(letter: str) -> Any:
        @asset(key=[name, letter])
        def one() -> str:
            trouble.at(letter)
            return letter

        return one

    def version(*letters: str) -> Any:
        defs = Definitions(assets=[made(one) for one in letters], jobs=[define_asset_job(name)])
        return defs.get_job(name)

    trouble.of = {"x", "y"}
    first = run(version("x", "y"), memory)
    trouble.of = set()
    with pytest.raises(UsageError, match=f"{name}/y"):
        on(version("x"), first, memory)


def test_a_parent_that_was_deleted(instance: Instance, trouble: Trouble) -> None:
    """The parent itself is refused. Of a run before it, what it had is made again."""
    chained = chain(trouble)
    trouble.of = {"b"}
    first = run(chained, instance)
    trouble.of = {"c"}
    second = on(chained, first, instance)
    instance.delete_run(first.run_id)
    trouble.of, _ = set(), trouble.called()
    with pytest.raises(UsageError, match=f"there is no run {first.run_id}"):
        on(chained, first, instance)
    third = on(chained, second, instance)
    assert third.output_for_node("d") == "abcd", third.error
    assert trouble.called() == {"c": 1, "d": 1}
    made = instance.get_run_by_id(third.run_id)
    assert made is not None
    assert (made.parent_run_id, made.root_run_id) == (second.run_id, first.run_id)


def test_a_run_id_is_used_once(instance: Instance, trouble: Trouble) -> None:
    from foldlog import ConflictError

    trouble.of = {"b"}
    first = run(chain(trouble), instance)
    with pytest.raises(ConflictError, match="exists already"):
        on(chain(trouble), first, instance, run_id=first.run_id)


# -- any graph, any failures ------------------------------------------------------------------------------------


def random_job(dice: random.Random, trouble: Trouble) -> tuple[Any, dict[str, set[str]]]:
    """A job of 3 to 10 steps, some over a dynamic output; and what each step lies behind."""
    count = dice.randint(3, 10)
    names = [f"s{number}" for number in range(count)]
    inputs = {
        name: dice.sample(names[:number], min(number, dice.choice([0, 1, 1, 1, 2, 3])))
        for number, name in enumerate(names)
    }

    def step(name: str) -> Any:
        @op(name=name)
        def add(values: list[Any]) -> list[Any]:
            trouble.at(name)
            return [name + trouble.mark, *values]

        return add

    @op
    def begin() -> list[Any]:
        trouble.at("begin")
        return []

    @op(out=DynamicOut())
    def keys(values: list[Any]) -> Iterator[DynamicOutput]:
        trouble.at("keys")
        for key in ("k1", "k2", "k3"):
            yield DynamicOutput([key, *values], mapping_key=key)

    @op
    def lane(value: list[Any]) -> list[Any]:
        trouble.at(f"lane[{value[0]}]")
        return ["lane", *value]

    @op
    def gather(values: list[Any]) -> list[Any]:
        trouble.at("gather")
        return values

    @job(name=f"random_{count}")
    def random_graph() -> None:
        made = {"begin": begin()}
        for name in names:
            made[name] = step(name)([made[one] for one in inputs[name] or ["begin"]])
        gather(keys(made[names[-1]]).map(lane).collect())

    behind: dict[str, set[str]] = {"begin": set()}
    for name in names:
        behind[name] = {one for up in inputs[name] or ["begin"] for one in (up, *behind[up])}
    behind["keys"] = {names[-1], *behind[names[-1]]}
    lanes = [f"lane[k{number}]" for number in (1, 2, 3)]
    behind |= {one: {"keys", *behind["keys"]} for one in lanes}
    behind["gather"] = {*lanes, "keys", *behind["keys"]}
    return random_graph, behind


@pytest.mark.parametrize("seed", range(6))
def test_gone_on_with_until_it_succeeds(instance: Instance, trouble: Trouble, seed: int) -> None:
    """Every step succeeds once over the family, for none lies behind one that is executed again; and the values are
    those of a run without failures."""
    dice = random.Random(seed)
    graph_job, behind = random_job(dice, trouble)
    expected = run(graph_job, instance).output_for_node("gather")
    succeeded: Counter[str] = Counter()
    result: ExecutionResult | None = None
    for attempt in range(30):
        trouble.of = {one for one in behind if dice.random() < max(0.0, 0.35 - attempt * 0.03)}
        before = set(succeeded)
        result = run(graph_job, instance) if result is None else on(graph_job, result, instance)
        done = {one.event.step_key or "" for one in result.events() if one.event.type == "STEP_SUCCESS"}
        assert before.isdisjoint(done), "executed again although it had succeeded"
        for one in done:
            assert behind[one] <= before | done, f"{one} without what it lies behind"
        succeeded.update(done)
        if result.success:
            break
    assert result is not None
    assert result.success
    assert succeeded == dict.fromkeys(behind, 1)
    assert result.output_for_node("gather") == expected


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_older_than_what_it_is_made_of(memory: Instance, trouble: Trouble, seed: int) -> None:
    """A step and all behind it, executed again and again with failures: what counts of a step is never from before what
    lies upstream of it was executed."""
    dice = random.Random(seed)
    graph_job, behind = random_job(dice, trouble)
    steps = [one for one in behind if one.startswith("s")]
    trouble.mark = "@0"
    last = run(graph_job, memory).run_id
    for turn in range(1, 9):
        trouble.mark = f"@{turn}"
        chosen = dice.choice(steps)
        for number in range(dice.randint(1, 3)):
            trouble.of = {one for one in behind if dice.random() < 0.15}
            trouble.stops = {one for one in behind if dice.random() < 0.15}
            parent, last = last, f"{seed} {turn} {number} {id(trouble)}"
            try:
                result = again(graph_job, parent, memory, run_id=last, **_how(number, f"{chosen}*"))
            except KeyboardInterrupt:
                continue
            if result.success:
                break
        trouble.of = trouble.stops = set()
        made = memory.get_run_by_id(last)
        assert made is not None
        if made.status is not RunStatus.SUCCESS:
            result = on(graph_job, last, memory)
            last = result.run_id
        assert result.success, result.error
        of = {one: int(result.output_for_node(one)[0].partition("@")[2]) for one in steps}
        for one in steps:
            assert all(of[one] >= of[up] for up in behind[one] if up in of), (one, of)


def _how(number: int, selection: str) -> dict[str, Any]:
    """By selection at first, then from failure."""
    return {"from_failure": True} if number else {"step_selection": selection}


def test_the_values_of_a_home_that_was_copied(tmp_path: Path, trouble: Trouble) -> None:
    """A copy of the folder, somewhere else, can be gone on from: nothing in the log holds a path of the machine."""
    chained = chain(trouble)
    trouble.of = {"c"}
    with Instance.from_url(f"sqlite:///{tmp_path}/one/history?durability=process") as instance:
        first = run(chained, instance)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    shutil.rmtree(tmp_path / "one")
    trouble.of = set()
    with Instance.from_url(f"sqlite:///{tmp_path}/two/history?durability=process") as instance:
        assert on(chained, first.run_id, instance).output_for_node("d") == "abcd"
