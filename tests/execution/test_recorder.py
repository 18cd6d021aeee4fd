"""The recorder of a run, where the store gives no answer, what is held is much, and others look on or record too."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from watching import notes, run, story

from foldlog import AssetKey, EncodingError, Event, Instance, Output, RetryPolicy, UnavailableError, events, job, op
from foldlog.engine.events.log import EngineEvent
from foldlog.engine.execution.interruption import Interruption, RunInterrupted
from foldlog.engine.reporting import recorder as reporting
from foldlog.engine.reporting.recorder import Recorder


class Store:
    """The backend of an instance, of which appends can be made to fail, or to wait."""

    def __init__(self, instance: Instance, patch: pytest.MonkeyPatch) -> None:
        self.fails: Any = lambda texts: False  #: whether appends that hold these texts get no answer
        self.lands = False  #: whether they are stored all the same
        self.tried: list[list[str]] = []  #: the texts of each try, of one append or of several that went together
        self.largest = 0  #: characters of the texts of one append, at most
        self.gate = threading.Event()  #: while it is not set, appends wait
        self.gate.set()
        self._instance = instance
        backend: Any = instance.log.backend
        self._really = backend.append_group
        patch.setattr(backend, "append_group", self._append_group)

    def _append_group(self, appends: Any) -> Any:
        texts = [text for one in appends for text in self.texts(one)]
        self.tried.append(texts)
        self.largest = max(self.largest, *(sum(map(len, self.texts(one))) for one in appends))
        assert self.gate.wait(30)
        if not self.fails(texts):
            return self._really(appends)
        if self.lands:
            self._really(appends)
        raise UnavailableError("the store gave no answer")

    def texts(self, append: Any) -> list[str]:
        codec = self._instance.log._codec
        facts = [codec.decode(one.type, one.body).fact for one in append.records]
        return [getattr(fact, "text", type(fact).__name__) for fact in facts]

    def once(self, *wanted: str) -> None:
        """Give the next append with one of these no answer."""
        left = [1]

        def fails(texts: list[str]) -> bool:
            if left and set(texts) & set(wanted):
                return bool(left.pop())
            return False

        self.fails = fails


@pytest.fixture
def store(fresh: Instance, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(reporting, "RETRY_PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(reporting, "RESEND_S", 0.0)
    return Store(fresh, monkeypatch)


@pytest.fixture
def recorder(fresh: Instance, store: Store) -> Recorder:
    return Recorder(fresh.log, fresh.writer, "r", "job")


def note(text: str) -> EngineEvent:
    return EngineEvent(text=text)


def texts(instance: Instance, run_id: str = "r") -> list[str]:
    return [getattr(one.event.fact, "text", "") for one in instance.log.read_shard(run_id, limit=10_000).records]


def quiet_flush(instance: Instance) -> None:
    with suppress(UnavailableError):
        instance.writer.flush()


# -- order ------------------------------------------------------------------------------------------------------


def test_what_got_no_answer_keeps_its_place(fresh: Instance, store: Store, recorder: Recorder) -> None:
    store.once("a")
    for name in "abc":
        recorder.hold(note(name))
        recorder.release()
        quiet_flush(fresh)
    recorder.record([note("d")])
    assert texts(fresh) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("lands", [False, True])
def test_what_is_queued_already_is_not_tried_before_it(
    fresh: Instance, store: Store, recorder: Recorder, lands: bool
) -> None:
    """Queued while the first was being tried: it must not be recorded without that."""
    store.once("a")
    store.lands = lands
    store.gate.clear()
    for name in "abc":
        recorder.hold(note(name))
        recorder.release()
        while not store.tried:  # the first goes alone, so that the others are behind it and not with it
            time.sleep(0.001)
    store.gate.set()
    quiet_flush(fresh)
    assert texts(fresh) == (["a"] if lands else [])
    recorder.record([note("d")])
    assert texts(fresh) == ["a", "b", "c", "d"]


def test_it_is_tried_again_although_nobody_waits(fresh: Instance, store: Store, recorder: Recorder) -> None:
    """As a step goes on that gives one thing after the other: people see what it has given."""
    store.once("a")
    for name in "abc":
        recorder.hold(note(name))
        recorder.release()
        quiet_flush(fresh)
    quiet_flush(fresh)
    assert texts(fresh) == ["a", "b", "c"]


def test_two_threads_record(fresh: Instance, store: Store, recorder: Recorder, monkeypatch: Any) -> None:
    """While one tries again what was held, the other's facts do not go before it."""
    monkeypatch.setattr(reporting, "RETRY_PAUSES_S", (0.2, 0.2, 0.2))
    store.once("held")
    recorder.hold(note("held"))
    recorder.release()
    quiet_flush(fresh)
    threads = [threading.Thread(target=recorder.record, args=([note(name)],)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts(fresh)[0] == "held"
    assert sorted(texts(fresh)) == ["held", "one", "two"]


def test_many_threads_and_a_store_that_comes_and_goes(fresh: Instance, store: Store, recorder: Recorder) -> None:
    """Each thread's events are there once, in its order."""
    calls = [0]

    def fails(tried: list[str]) -> bool:
        calls[0] += 1
        return calls[0] % 3 == 0

    store.fails = fails

    def work(name: int) -> None:
        for number in range(30):
            recorder.hold(note(f"{name} {number} held"))
            if number % 3 == 0:
                recorder.release()
            else:
                recorder.record([note(f"{name} {number}")])

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.record([note("end")])
    found = texts(fresh)
    for name in range(4):
        wanted = [
            text
            for number in range(30)
            for text in (f"{name} {number} held", *([] if number % 3 == 0 else [f"{name} {number}"]))
        ]
        assert [one for one in found if one.startswith(f"{name} ")] == wanted


def test_nothing_is_left_to_record_for_who_comes_second(fresh: Instance, recorder: Recorder) -> None:
    """A line of another thread may have released what a step held to record it itself."""
    recorder.hold(note("a"))
    recorder.say(events.LogMessage(text="line"))
    receipt = recorder.record([])
    assert (receipt.first_seq, receipt.last_seq) == (1, 1)
    assert recorder.record([]) == receipt
    assert texts(fresh)[0] == "a"


# -- bounds -----------------------------------------------------------------------------------------------------


def test_what_waits_is_bounded(fresh: Instance, store: Store, recorder: Recorder, monkeypatch: Any) -> None:
    """A store that stays away is told to whoever has more; nothing is lost by that, nor recorded twice."""
    monkeypatch.setattr(reporting, "UNSETTLED_LIMIT", 5)
    store.fails = lambda texts: True
    for number in range(5):
        recorder.hold(note(str(number)))
        recorder.release()
    recorder.hold(note("5"))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            recorder.release()
    recorder.say(events.LogMessage(text="a line waits for nothing"))
    quiet_flush(fresh)
    assert len(recorder._unsettled) == 5
    store.fails = lambda texts: False
    recorder.release()
    recorder.record([note("6")])
    assert texts(fresh) == [str(number) for number in range(7)]
    assert recorder._unsettled == []
    assert recorder.lost_lines == 1


def test_what_is_durable_is_let_go(fresh: Instance, store: Store, recorder: Recorder) -> None:
    """Also when one of the first has failed once."""
    store.once("5")
    for number in range(200):
        recorder.hold(note(str(number)))
        recorder.release()
        quiet_flush(fresh)
        assert len(recorder._unsettled) < 5
    recorder.record([note("end")])
    assert texts(fresh) == [*map(str, range(200)), "end"]


def test_what_is_held_is_bounded_in_bytes(fresh: Instance, store: Store, recorder: Recorder) -> None:
    """Together they would be more than an append may be."""
    for number in range(9):
        recorder.hold(note(f"{number}" + "x" * 2_500_000), check=True)
    recorder.record([note("end")])
    assert [one[:1] for one in texts(fresh)] == [*"012345678", "e"]
    assert store.largest <= reporting.HELD_BYTES + 100


def test_what_is_held_is_bounded_in_number(fresh: Instance, store: Store, recorder: Recorder) -> None:
    for number in range(reporting.HELD_LIMIT + 10):
        recorder.hold(note(str(number)))
    quiet_flush(fresh)
    assert len(texts(fresh)) == reporting.HELD_LIMIT


# -- company ----------------------------------------------------------------------------------------------------


def test_a_try_that_was_repeated_is_looked_behind(fresh: Instance, store: Store, recorder: Recorder) -> None:
    """Its place tells nothing of others: while it got no answer, somebody may have canceled the run."""
    recorder.record([note("a")])
    assert not recorder.has_foreign_events()
    recorder.record([note("b")])
    assert not recorder.has_foreign_events()
    store.once("c")
    recorder.record([note("c")])
    assert recorder.has_foreign_events()
    recorder.record([note("d")])
    assert not recorder.has_foreign_events()


def test_a_cancel_is_seen_behind_a_lost_line(fresh: Instance, store: Store, recorder: Recorder) -> None:
    """The line that is not there and the one event of somebody else make the count fit."""
    interruption = Interruption(fresh.log, recorder)
    recorder.record([note("a")])
    store.once("lost")
    recorder.say(events.LogMessage(text="lost"))
    quiet_flush(fresh)
    fresh.log.append("r", [Event.now(events.RunCanceling())])
    recorder.record([note("b")])
    with pytest.raises(RunInterrupted):
        interruption.check()


# -- what cannot be stored --------------------------------------------------------------------------------------


def test_what_cannot_be_stored_is_dropped_when_it_is_told_to(fresh: Instance, recorder: Recorder) -> None:
    recorder.record([note("a")])
    recorder.hold(note("\ud800"))
    for _ in range(2):
        with pytest.raises(EncodingError):
            recorder.record([note("b")])
    assert recorder.drop_held() == 1
    recorder.record([note("c")])
    assert texts(fresh) == ["a", "c"]
    assert not recorder.has_foreign_events(), "what was not queued is not counted"


# -- listeners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RUN_CREATED", "STEP_START", "STEP_OUTPUT", "LOG_MESSAGE", "STEP_SUCCESS"])
def test_a_listener_that_raises_is_told_no_more(kind: str, memory: Instance, caplog: Any) -> None:
    told: list[str] = []

    def listen(event: Event[Any]) -> None:
        told.append(event.type)
        if event.type == kind:
            raise RuntimeError("of the listener")

    @op
    def talks(context: Any) -> int:
        context.log.info("hello")
        return 1

    @job
    def one() -> None:
        talks()

    result = run(one, memory, listener=listen)
    assert result.success
    assert told[-1] == kind
    assert told.count(kind) == 1
    assert result._run.recorder.lost_lines == 0
    assert [one.levelno for one in caplog.records if "it is told no more" in one.message] == [logging.WARNING]


def test_a_report_that_raises_is_called_no_more(memory: Instance, caplog: Any) -> None:
    called: list[tuple[str, str]] = []

    def report(key: str, what: str, seconds: float) -> None:
        called.append((key, what))
        raise RuntimeError("of the report")

    @op
    def works() -> int:
        return 1

    @job
    def one() -> None:
        works()

    assert run(one, memory, report=report).success
    assert called == [("works", "START")]
    assert "it is called no more" in caplog.text


def test_what_a_listener_logs_is_no_line_of_the_run(memory: Instance) -> None:
    """Else it would be told of that, too, and log again."""

    def listen(event: Event[Any]) -> None:
        logging.getLogger("of.listener").warning("seen %s", event.type)

    @op
    def talks(context: Any) -> int:
        context.log.info("hello")
        return 1

    @job
    def one() -> None:
        talks()

    result = run(one, memory, listener=listen)
    assert story(result).count("LOG_MESSAGE talks") == 1


# -- a store that is away, in a run -----------------------------------------------------------------------------


def test_a_step_may_give_while_the_store_is_away(fresh: Instance, store: Store) -> None:
    seen: list[int] = []

    @op
    def gives() -> Iterator[Any]:
        store.once("AssetMaterialization")
        for number in range(4):
            yield events.AssetMaterialization(asset_key=AssetKey.of("t"), metadata={"n": number})
            quiet_flush(fresh)
            seen.append(sum(one.event.type == "ASSET_MATERIALIZATION" for one in fresh.log.read_shard("r").records))
        yield Output(1)

    @job
    def one() -> None:
        gives()

    result = run(one, fresh, run_id="r")
    assert result.success
    told = fresh.log.read_shard("r", types=["ASSET_MATERIALIZATION"]).records
    assert [one.event.fact.metadata["n"] for one in told] == [0, 1, 2, 3]
    assert seen == [0, 2, 3, 4], "each is to be seen as it is given"


def test_a_retry_is_to_be_seen_while_it_is_waited_for(fresh: Instance) -> None:
    def seen() -> list[str]:
        fresh.writer.flush()
        return [one.event.type for one in fresh.log.read_shard("r").records]

    found: list[list[str]] = []

    @op(retry_policy=RetryPolicy(max_retries=1, delay=0.3))
    def flaky(context: Any) -> int:
        if context.attempt == 1:
            threading.Timer(0.1, lambda: found.append(seen())).start()
            raise OSError("once")
        return 1

    @job
    def one() -> None:
        flaky()

    assert run(one, fresh, run_id="r").success
    assert found[0][-1] == "STEP_UP_FOR_RETRY"


def test_an_unreadable_store_does_not_keep_a_cancel_from_being_recorded(
    fresh: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldlog.engine.execution import interruption

    monkeypatch.setattr(interruption, "TOLD_PAUSES_S", (0.0, 0.0))
    really = fresh.log.read_shard
    broken: list[int] = []

    def read_shard(*arguments: Any, **options: Any) -> Any:
        if broken:
            broken.pop()
            raise UnavailableError("away")
        return really(*arguments, **options)

    monkeypatch.setattr(fresh.log, "read_shard", read_shard)

    @op
    def stops(context: Any) -> None:
        broken.extend([1] * int(context.run_id[1:]))
        raise KeyboardInterrupt

    @job
    def one() -> None:
        stops()

    for times in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(one, fresh, run_id=f"r{times}")
        assert not broken
        assert [one.event.type for one in really(f"r{times}").records][-2:] == ["RUN_CANCELING", "RUN_CANCELED"]


# -- the end ----------------------------------------------------------------------------------------------------


def test_a_run_has_an_end_although_what_is_held_cannot_be_stored(
    fresh: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was that found its way there."""

    @op
    def bad(context: Any) -> None:
        context._run.recorder.hold(note("\ud800"))

    @op
    def stopped(context: Any) -> None:
        context._run.recorder.hold(note("\ud800"))
        raise KeyboardInterrupt

    @job
    def one() -> None:
        bad()

    @job
    def two() -> None:
        stopped()

    with pytest.raises(EncodingError):
        run(one, fresh, run_id="r")
    last = [record.event.fact for record in fresh.log.read_shard("r").records][-2:]
    assert "are left out" in last[0].text
    assert (type(last[1]).__name__, last[1].reason) == ("RunFailed", "RUN_EXCEPTION")
    with pytest.raises(EncodingError):
        run(two, fresh, run_id="r2")
    assert fresh.log.read_shard("r2").records[-1].event.type == "RUN_CANCELED"
    assert {one.state.value for one in fresh.log.shards() if one.name in ("r", "r2")} == {"sealed"}


def test_the_end_names_so_many_failed_steps(memory: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    from foldlog import DynamicOut, DynamicOutput
    from foldlog.engine.execution import worker

    monkeypatch.setattr(worker, "NAMED", 3)

    @op(out=DynamicOut())
    def source() -> Any:
        return [DynamicOutput(n, mapping_key=f"k{n}") for n in range(20)]

    @op
    def fails(n: Any) -> None:
        raise ValueError(n)

    @job
    def one() -> None:
        source().map(fails)

    result = run(one, memory)
    assert len(result.failed_step_keys) == 20
    (ended,) = [one.event.fact for one in result.events() if one.event.type == "RUN_FAILURE"]
    assert ended.failed_step_keys == ("fails[k0]", "fails[k1]", "fails[k2]")
    assert any("20 steps have failed" in one and "names the first 3" in one for one in notes(result))
