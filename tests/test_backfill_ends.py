"""How a backfill ends, and its runs, when others meddle, the store is away, or somebody insists on an end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from foldlog import Event, Instance, RunStatus, UnavailableError, asset, events, materialize_partitions
from foldlog.engine.definitions.partitions import StaticPartitionsDefinition

DAYS = StaticPartitionsDefinition(["x", "y", "z"])


@pytest.fixture
def instance() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    """Also where a shell runs the tests in the background: there, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def told(instance: Instance) -> list[str]:
    return [one.event.type for one in instance.log.read_shard("@instance").records if "BACKFILL" in one.event.type]


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        (events.RunFailed(reason="UNEXPECTED_TERMINATION"), RunStatus.FAILURE),
        (events.RunCanceling(), RunStatus.CANCELED),
        (events.RunCanceled(), RunStatus.CANCELED),
    ],
)
def test_a_run_that_somebody_else_ended_is_told_as_it_ended(instance: Instance, fact: Any, status: RunStatus) -> None:
    @asset(key="one", partitions_def=DAYS)
    def one(context: Any) -> None:
        if context.partition_key == "x":
            instance.log.append(context.run_id, [Event.now(fact)])

    @asset(key="other", partitions_def=DAYS, deps=[one])
    def other() -> None:
        """Nothing to do."""

    result = materialize_partitions([one, other], ["x", "y"], instance=instance)
    assert [run.status for run in result.runs] == [status, RunStatus.SUCCESS]
    recorded = [instance.get_run_by_id(run.run_id) for run in result.runs]
    assert [run.status for run in recorded if run is not None] == [status, RunStatus.SUCCESS]


def test_an_interrupt_is_not_lost_in_what_keeps_its_end_from_being_recorded(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append = instance.writer.append

    def away(shard: str, *rest: Any, **options: Any) -> Any:
        if shard == "@instance":
            raise UnavailableError("the store is away")
        return append(shard, *rest, **options)

    @asset(key="one", partitions_def=DAYS)
    def one() -> None:
        monkeypatch.setattr(instance.writer, "append", away)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        materialize_partitions([one], ["x", "y"], instance=instance)
    assert "its end could not be recorded: the store is away" in caplog.text


def test_a_second_ctrl_c_leaves_no_backfill_without_an_end(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the end is recorded."""
    append = instance.writer.append

    def slow(shard: str, facts: Any, **options: Any) -> Any:
        if shard == "@instance" and any(one.type == "BACKFILL_CANCELED" for one in facts):
            os.kill(os.getpid(), signal.SIGINT)
        return append(shard, facts, **options)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(instance.writer, "append", slow)

    @asset(key="one", partitions_def=DAYS)
    def one() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        materialize_partitions([one], ["x", "y"], instance=instance)
    assert told(instance)[-2:] == ["BACKFILL_CANCELING", "BACKFILL_CANCELED"]


def test_it_looks_only_at_what_is_new(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two runs: not at all that the backfill has recorded so far."""
    looked: list[int] = []
    read = instance.log.read_shard

    def read_shard(shard: str, **options: Any) -> Any:
        if "BACKFILL_CANCELING" in (options.get("types") or ()):
            looked.append(options["after_seq"])
        return read(shard, **options)

    monkeypatch.setattr(instance.log, "read_shard", read_shard)

    @asset(key="one", partitions_def=DAYS)
    def one() -> None:
        """Nothing to do."""

    assert materialize_partitions([one], ["x", "y", "z"], instance=instance).success
    progress = [one.seq for one in read("@instance", types=["BACKFILL_PROGRESSED"]).records]
    assert len(looked) == 3
    assert looked[2] >= progress[0] > looked[0]
