"""The store gives no answer in the middle of a run: for a while, or for good.

For a while: the run goes on, and nothing is recorded twice or left out, whether the append that got no answer had
landed or not. For good: the run raises, resources are torn down, and the log is true as far as it goes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workload import RUN, STEPS, TOTAL, job_of

from foldlog import Instance, RunStatus, UnavailableError, execute_job, reexecute_job
from foldlog.engine.reporting import recorder as reporting


class Store:
    """A backend that is away for some of the appends to one run."""

    def __init__(self, instance: Instance, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.first = self.last = 0  #: calls that get no answer, both ends included
        self.landing = False  #: whether what they brought is stored all the same
        backend: Any = instance.log.backend
        self._really = backend.append_group
        patch.setattr(backend, "append_group", self._append_group, raising=False)

    def _append_group(self, appends: Any) -> Any:
        if not any(one.shard == RUN for one in appends):
            return self._really(appends)
        self.calls += 1
        if not self.first <= self.calls <= self.last:
            return self._really(appends)
        if self.landing:
            self._really(appends)
        return [UnavailableError("the store gave no answer")] * len(appends)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Instance]:
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/h?durability=process"}.get(request.param)
    with Instance.from_url(url or request.getfixturevalue("postgres_url"), root=tmp_path / "root") as found:
        yield found
        verified = found.verify()
        assert verified.ok, verified.problems


@pytest.fixture
def store(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(reporting, "RETRY_PAUSES_S", (0.0, 0.0, 0.0))
    if not hasattr(instance.log.backend, "append_group"):
        pytest.skip("this backend commits one append at a time")
    return Store(instance, monkeypatch)


def events_of(instance: Instance) -> Counter[tuple[str, str | None]]:
    """All but log lines: those may be lost, and are counted."""
    records = instance.log.read_shard(RUN, limit=10_000).records
    return Counter((one.event.type, one.event.step_key) for one in records if one.event.type != "LOG_MESSAGE")


def of_steps(instance: Instance) -> dict[str, list[str]]:
    """What each step recorded, in order."""
    found: dict[str, list[str]] = {}
    for one in instance.log.read_shard(RUN, limit=10_000).records:
        if one.event.step_key and one.event.type != "LOG_MESSAGE":
            found.setdefault(one.event.step_key, []).append(one.event.type)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counter[Any], dict[str, list[str]]]:
    with Instance.ephemeral() as instance:
        execute_job(job_of(tmp_path_factory.mktemp("values")), instance=instance, run_id=RUN)
        return events_of(instance), of_steps(instance)


@pytest.mark.parametrize("landing", [False, True])
@pytest.mark.parametrize("first", [1, 2, 3, 5, 8, 11])
def test_for_a_while(
    instance: Instance, store: Store, tmp_path: Path, undisturbed: Any, first: int, landing: bool
) -> None:
    store.first, store.last, store.landing = first, first + 2, landing
    result = execute_job(job_of(tmp_path / "values"), instance=instance, run_id=RUN)
    assert store.calls >= store.last
    assert result.success
    assert result.output_for_node("total") == TOTAL
    assert (events_of(instance), of_steps(instance)) == undisturbed
    records = instance.log.read_shard(RUN, limit=10_000).records
    assert [one.seq for one in records] == list(range(1, len(records) + 1))
    lines = [one.event.fact.text for one in records if one.event.type == "LOG_MESSAGE"]
    if landing:
        assert sorted(lines) == ["a line", "at work", "at work"], "they had landed, and are not repeated"


@pytest.mark.parametrize("landing", [False, True])
@pytest.mark.parametrize("first", [2, 3, 6, 9, 12])
def test_for_good(instance: Instance, store: Store, tmp_path: Path, first: int, landing: bool) -> None:
    """What is there is true. When the store is back, the run is gone on with from there."""
    store.first, store.last, store.landing = first, 10_000, landing
    notes: list[Any] = []
    with pytest.raises(UnavailableError):
        execute_job(job_of(tmp_path / "values", notes.append), instance=instance, run_id=RUN, raise_on_error=False)
    begun = [mark[1] for mark in notes if mark[0] == "begin"]
    if begun:
        assert notes[-1] == ["torn down", "tool"]
    store.last = 0
    run = instance.get_run_by_id(RUN)
    assert run is not None
    assert not run.is_finished or landing
    found = of_steps(instance)
    done = {key for key, kinds in found.items() if "STEP_SUCCESS" in kinds}
    assert set(begun) <= found.keys(), "no code was called before its beginning was recorded"
    assert done <= {mark[1] for mark in notes if mark[0] == "end"}
    assert max(events_of(instance).values()) <= 2
    assert len(begun) <= len(set(begun)) + 1, "and none was called again because the store was away, but for its retry"
    called: list[Any] = []
    job = job_of(tmp_path / "values", called.append)
    # This process still lives, and knows that it executes the run no more; of one that was not begun it knows nothing.
    lost = run.status is RunStatus.NOT_STARTED
    result = reexecute_job(job, RUN, instance=instance, from_failure=True, assume_lost=lost)
    assert result.output_for_node("total") == TOTAL
    assert {mark[1] for mark in called if mark[0] == "begin"} == set(STEPS) - done


def test_back_when_the_run_is_ended(instance: Instance, store: Store, tmp_path: Path) -> None:
    """The run could not go on; its end is recorded, and before it all that had waited: nothing is left out."""
    notes: list[Any] = []

    def note(mark: Any) -> None:
        notes.append(mark)
        if mark == ["end", "flaky"]:
            store.first, store.last = store.calls + 1, 10_000
        if mark == ["torn down", "tool"]:
            store.last = 0

    with pytest.raises(UnavailableError):
        execute_job(job_of(tmp_path / "values", note), instance=instance, run_id=RUN, raise_on_error=False)
    run = instance.get_run_by_id(RUN)
    assert run is not None
    assert run.status is RunStatus.FAILURE
    found = of_steps(instance)
    assert {mark[1] for mark in notes if mark[0] == "end"} == {
        key for key, kinds in found.items() if "STEP_SUCCESS" in kinds
    }
    (failed,) = instance.log.read_shard(RUN, types=["RUN_FAILURE"]).records
    assert failed.event.fact.reason == "RUN_EXCEPTION"
    assert "no answer" in failed.event.fact.error.message
    assert max(events_of(instance).values()) <= 2
    rest: list[Any] = []
    job = job_of(tmp_path / "values", rest.append)
    assert reexecute_job(job, RUN, instance=instance, from_failure=True).output_for_node("total") == TOTAL
    assert ["begin", "flaky"] not in rest


def test_a_step_that_asks_a_store_that_is_away_fails(instance: Instance, tmp_path: Path) -> None:
    """The code of a step may ask the instance for something: that is the step's own failure."""
    from foldlog import job, op

    @op
    def asks() -> None:
        raise UnavailableError("of the code of the step")

    @job
    def one() -> None:
        asks()

    result = execute_job(one, instance=instance, raise_on_error=False)
    assert result.failed_step_keys == ("asks",)
    assert result.status is RunStatus.FAILURE


def test_away_for_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock: the pauses add up to more than a database takes to be back."""
    assert sum(reporting.RETRY_PAUSES_S) > 10
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as instance:
        store = Store(instance, monkeypatch)
        store.first, store.last = 6, 8
        assert execute_job(job_of(tmp_path / "values"), instance=instance, run_id=RUN).success
        assert store.calls > 8


@pytest.mark.long
@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_a_server_that_restarts(postgres_server: Any, tmp_path: Path, kind: str) -> None:
    """A real one, in the middle of a step, twice; it is back after two seconds."""
    restarts: list[threading.Timer] = []

    def at(moment: str) -> None:
        if moment in ("begin flaky again", "begin work[y]"):
            getattr(postgres_server, kind)()
            restarts.append(threading.Timer(2.0, postgres_server.start))
            restarts[-1].start()

    with Instance.from_url(postgres_server.url, root=tmp_path / "root") as instance:
        result = execute_job(job_of(tmp_path / "values", at=at), instance=instance, run_id=RUN)
        for one in restarts:
            one.join()
        assert len(restarts) == 2
        assert result.output_for_node("total") == TOTAL
        found = of_steps(instance)
        assert [kinds.count("STEP_SUCCESS") for kinds in found.values()] == [1] * len(STEPS)
        run = instance.get_run_by_id(RUN)
        assert run is not None
        assert run.status is RunStatus.SUCCESS
        assert instance.verify().ok
