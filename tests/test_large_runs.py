"""Runs that are large in one way or another: many steps, lines, assets or keys, large values, metadata or configs.

The bounds on time and memory are loose: they tell what grows with the square, or is held several times over.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peak import peak_kib

from foldlog import (
    AssetOut,
    Config,
    DynamicOut,
    DynamicOutput,
    Failure,
    InMemoryIOManager,
    Instance,
    MaterializeResult,
    Output,
    RunStatus,
    UsageError,
    asset,
    execute_job,
    job,
    materialize,
    multi_asset,
    op,
    reexecute_job,
)

MiB = 1024 * 1024
QUICK = {"io_manager": InMemoryIOManager()}  #: where values are no concern of the test


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    # A commit that may be lost with the power costs no sync; this is no test of the disk.
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as found:
        yield found
        verified = found.verify()
        assert verified.ok, verified.problems


def counts(instance: Instance, run_id: str) -> dict[str, int]:
    found: dict[str, int] = {}
    after = 0
    while records := instance.log.read_shard(run_id, after_seq=after, limit=10_000).records:
        after = records[-1].seq
        for one in records:
            found[one.event.type] = found.get(one.event.type, 0) + 1
    return found


# -- steps ------------------------------------------------------------------------------------------------------


@op
def begin() -> int:
    return 0


@op
def add(n: int) -> int:
    return n + 1


@op
def total(values: list[int]) -> int:
    return sum(values)


@pytest.mark.long
def test_a_chain_of_a_thousand_steps(instance: Instance) -> None:
    @job
    def chain() -> None:
        value = begin()
        for number in range(999):
            value = add.alias(f"add_{number:03}")(value)

    result = execute_job(chain, instance=instance, resources=QUICK)
    assert result.output_for_node("add_998") == 999
    assert counts(instance, result.run_id)["STEP_SUCCESS"] == 1000
    again = reexecute_job(chain, result.run_id, instance=instance, step_selection="add_990*", resources=QUICK)
    assert again.output_for_node("add_998") == 999


@pytest.mark.long
def test_a_thousand_steps_side_by_side(instance: Instance) -> None:
    @job
    def wide() -> None:
        value = begin()
        total([add.alias(f"add_{number}")(value) for number in range(998)])

    result = execute_job(wide, instance=instance, resources=QUICK)
    assert result.output_for_node("total") == 998
    assert len(instance.get_run_steps(result.run_id, limit=2000)) == 1000


def many_keys(count: int, failing: set[str]) -> Any:
    @op(out=DynamicOut())
    def keys() -> Iterator[DynamicOutput]:
        for number in range(count):
            yield DynamicOutput(number, mapping_key=f"k{number}")

    @op
    def work(context: Any, n: int) -> int:
        if context.get_mapping_key() in failing:
            raise RuntimeError("not yet")
        return n + 1

    @job
    def mapped() -> None:
        total(keys().map(work).collect())

    return mapped


def dynamic(instance: Instance, count: int) -> None:
    failing = {f"k{count // 2}", f"k{count // 3}"}
    mapped = many_keys(count, failing)
    first = execute_job(mapped, instance=instance, raise_on_error=False, resources=QUICK)
    assert len(first.failed_step_keys) == 2
    assert counts(instance, first.run_id)["STEP_SUCCESS"] == count - 1
    failing.clear()
    second = reexecute_job(mapped, first.run_id, instance=instance, from_failure=True, resources=QUICK)
    assert second.output_for_node("total") == count * (count + 1) // 2
    assert counts(instance, second.run_id)["STEP_START"] == 3


def test_five_hundred_keys(instance: Instance) -> None:
    dynamic(instance, 500)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_five_thousand_keys(instance: Instance) -> None:
    dynamic(instance, 5_000)


# -- values -----------------------------------------------------------------------------------------------------

LARGE_VALUE = """
import sys
sys.path.append(sys.argv[2])
from peak import peak_kib
from foldlog import Instance, execute_job, job, op

SIZE = 100 * 1024 * 1024

@op
def make() -> bytes:
    return bytes(SIZE)

@op
def measure(value: bytes) -> int:
    return len(value)

@job
def large():
    measure(make())

with Instance.from_url(f"sqlite:///{sys.argv[1]}/h?durability=process") as instance:
    before = peak_kib()
    assert execute_job(large, instance=instance).output_for_node("measure") == SIZE
    print((peak_kib() - before) // 1024)
"""


def test_a_value_of_100_mb_is_not_held_many_times(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-P", "-c", LARGE_VALUE, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(said.stdout) < 300, "MiB, for a value of 100 MiB: itself, and a copy on the way to the file and back"


# -- lines ------------------------------------------------------------------------------------------------------


def logging_job(count: int, threads: int = 1) -> Any:
    @op
    def talk(context: Any) -> None:
        def say(name: str) -> None:
            for number in range(count):
                context.log.info("%s %d", name, number)

        if threads == 1:
            say("main")
            return
        workers = [threading.Thread(target=say, args=(f"t{number}",)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    @job
    def talking() -> None:
        talk()

    return talking


def lines_of(instance: Instance, run_id: str) -> Iterator[str]:
    after = 0
    while records := instance.log.read_shard(run_id, after_seq=after, types=["LOG_MESSAGE"], limit=10_000).records:
        after = records[-1].seq
        for one in records:
            assert one.event.step_key == "talk"
            yield one.event.fact.text


def check_lines(instance: Instance, count: int) -> None:
    since = time.monotonic()
    result = execute_job(logging_job(count), instance=instance)
    took = time.monotonic() - since
    # Read from another handle at once: the run has not ended before its lines were durable.
    with Instance.from_url(instance.log.backend.url, read_only=True) as other:
        assert list(lines_of(other, result.run_id)) == [f"main {number}" for number in range(count)]
    last = instance.log.read_shard(result.run_id, newest_first=True, limit=1).records[0]
    assert last.event.type == "RUN_SUCCESS"
    assert took < 1 + count / 500, f"{count} lines took {took:.1f} s"


def test_ten_thousand_lines(instance: Instance) -> None:
    check_lines(instance, 10_000)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_hundred_thousand_lines(instance: Instance) -> None:
    """All of them, in order, with what waits bounded."""
    before = peak_kib()
    check_lines(instance, 100_000)
    grown = (peak_kib() - before) // 1024
    assert grown < 150, f"{grown} MiB"


def test_lines_of_eight_threads(instance: Instance) -> None:
    """All are there; those of each thread in its order; each of the step."""
    result = execute_job(logging_job(500, threads=8), instance=instance)
    found: dict[str, list[int]] = {}
    for text in lines_of(instance, result.run_id):
        name, number = text.split()
        found.setdefault(name, []).append(int(number))
    assert found == {f"t{number}": list(range(500)) for number in range(8)}


def test_outputs_and_lines_of_several_threads_at_once(instance: Instance) -> None:
    """What a step yields while its threads talk is recorded whole, too."""
    stop = threading.Event()

    @op(out=DynamicOut())
    def busy(context: Any) -> Iterator[DynamicOutput]:
        def talk() -> None:
            while not stop.is_set():
                context.log.info("busy")
                time.sleep(0.001)

        workers = [threading.Thread(target=talk) for _ in range(4)]
        for worker in workers:
            worker.start()
        for number in range(200):
            yield DynamicOutput(number, mapping_key=f"k{number}", metadata={"n": number})
        stop.set()
        for worker in workers:
            worker.join()

    @job
    def both() -> None:
        total(busy().collect())

    result = execute_job(both, instance=instance)
    assert result.output_for_node("total") == sum(range(200))
    outputs = [one.event.fact for one in result.events("busy") if one.event.type == "STEP_OUTPUT"]
    assert [one.mapping_key for one in outputs] == [f"k{number}" for number in range(200)]


# -- assets -----------------------------------------------------------------------------------------------------


def many_assets(count: int, *, fail: bool = False) -> Any:
    names = [f"a{number:05}" for number in range(count)]

    @multi_asset(outs={name: AssetOut(is_required=False) for name in names}, name="many")
    def many() -> Iterator[Output]:
        if fail:
            raise RuntimeError("none of them")
        for name in names:
            yield Output(0, name)

    return many


def test_planned_assets_that_are_not_made(instance: Instance) -> None:
    """More than one append may hold with all else: the end comes in several, the status last."""
    result = materialize([many_assets(2_500, fail=True)], instance=instance, raise_on_error=False)
    found = counts(instance, result.run_id)
    assert found["ASSET_MATERIALIZATION_PLANNED"] == found["ASSET_FAILED_TO_MATERIALIZE"] == 2_500
    last = instance.log.read_shard(result.run_id, newest_first=True, limit=1).records[0]
    assert last.event.type == "RUN_FAILURE"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_five_thousand_assets(instance: Instance) -> None:
    result = materialize([many_assets(5_000)], instance=instance)
    found = counts(instance, result.run_id)
    assert found["ASSET_MATERIALIZATION_PLANNED"] == found["ASSET_MATERIALIZATION"] == 5_000
    instance.log.catch_up()
    receipts = [one.receipt for one in instance.log.backend.placed(after=0, limit=10_000)]
    assert next(one for one in receipts if one.shard == result.run_id).last_seq == 5_001, "created and planned in one"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_as_many_planned_as_an_append_holds(instance: Instance) -> None:
    """None is made: with the rest of the end there are more events than one append may hold."""
    result = materialize([many_assets(9_999, fail=True)], instance=instance, raise_on_error=False)
    assert result.status is RunStatus.FAILURE
    assert counts(instance, result.run_id)["ASSET_FAILED_TO_MATERIALIZE"] == 9_999


@pytest.mark.long
def test_more_planned_than_an_append_holds(instance: Instance) -> None:
    """Refused, with what to do, before there is a run."""
    with pytest.raises(UsageError, match="is to make 10,000 assets and checks; a run takes 9,999 at most") as caught:
        materialize([many_assets(10_000)], instance=instance)
    assert "Select fewer" in caught.value.remedy
    assert instance.get_runs_count() == 0


# -- metadata and configs ---------------------------------------------------------------------------------------


def test_metadata_near_the_limit(instance: Instance) -> None:
    """Each fits into an append, and all together do not."""

    def one(name: str, size: int) -> Any:
        @asset(name=name)
        def make() -> MaterializeResult:
            return MaterializeResult(metadata={"text": "x" * size})

        return make

    sizes = [3, 15, 1, 15, 3, 3, 3, 3, 3, 15]
    made = [one(f"a{number}", size * MiB) for number, size in enumerate(sizes)]
    result = materialize(made, instance=instance)
    assert result.success
    for number, size in enumerate(sizes):
        record = instance.get_latest_materialization_event(f"a{number}")
        assert record is not None
        assert len(record.event.fact.metadata["text"]) == size * MiB


def test_metadata_beyond_the_limit(instance: Instance) -> None:
    """Fails the step that gave it, and nothing else: the run has its end."""

    @op
    def fine() -> Output:
        return Output(1, metadata={"text": "x" * (3 * MiB)})

    @op
    def much(context: Any, n: int) -> Output:
        return Output(n, metadata={"text": "x" * (17 * MiB)})

    @op
    def failing(n: int) -> None:
        raise Failure("with very much to tell", metadata={"text": "x" * (17 * MiB)})

    @job
    def too_much() -> None:
        one = fine()
        much(one)
        failing(one)

    result = execute_job(too_much, instance=instance, raise_on_error=False)
    assert set(result.failed_step_keys) == {"much", "failing"}
    assert isinstance(result.error, UsageError)
    found = counts(instance, result.run_id)
    assert (found["STEP_SUCCESS"], found["STEP_FAILURE"], found["RUN_FAILURE"]) == (1, 2, 1)
    (failure,) = [one.event.fact for one in result.events("failing") if one.event.type == "STEP_FAILURE"]
    assert failure.error.message == "with very much to tell"
    assert "the limit is" in str(failure.metadata["metadata"])


def test_asset_facts_beyond_the_limit(instance: Instance) -> None:
    """Not of metadata, but of what else code gives: it fails its step, not the append that others ride in."""

    @asset
    def fine() -> int:
        return 1

    @asset(deps=["fine"])
    def much() -> MaterializeResult:
        return MaterializeResult(tags={"text": "x" * (17 * MiB)})

    result = materialize([fine, much], instance=instance, raise_on_error=False)
    assert result.failed_step_keys == ("much",)
    assert instance.get_latest_materialization_event("fine") is not None
    assert counts(instance, result.run_id)["RUN_FAILURE"] == 1


class Texts(Config):
    texts: list[str]


@op
def count_texts(config: Texts) -> int:
    return len(config.texts)


@job
def configured() -> None:
    count_texts()


def config_of(size: int) -> dict[str, Any]:
    texts = [f"{number:01023}" for number in range(size // 1024)]
    return {"ops": {"count_texts": {"config": {"texts": texts}}}}


def test_a_run_config_of_10_mb(instance: Instance) -> None:
    config = config_of(10 * MiB)
    result = execute_job(configured, instance=instance, run_config=config)
    assert result.output_for_node("count_texts") == 10 * 1024
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.run_config == config
    again = reexecute_job(configured, result.run_id, instance=instance)
    assert again.output_for_node("count_texts") == 10 * 1024


def test_a_run_config_beyond_the_limit(instance: Instance) -> None:
    """Refused before there is a run."""
    with pytest.raises(UsageError, match=r"run r of job 'configured' cannot be recorded: .* the limit is") as caught:
        execute_job(configured, instance=instance, run_config=config_of(20 * MiB), run_id="r")
    assert "files" in caught.value.remedy
    assert instance.get_run_by_id("r") is None
