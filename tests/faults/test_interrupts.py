"""A run that is interrupted: by Ctrl-C, by SIGTERM, by what somebody else records in it.

Wherever the interrupt comes, the run has one end in the log, the step under way is recorded as interrupted, what was
planned and not made is told, every resource that was made ready is torn down, and the interrupt passes on.
"""

# ruff: noqa: PT012 (what is raised at the end of a `with` block is what is tested here)

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from children import start
from workload import RUN

from foldlog import (
    ConflictError,
    Definitions,
    Event,
    InMemoryIOManager,
    Instance,
    RetryPolicy,
    RunStatus,
    ShardPurged,
    UserCodeError,
    asset,
    define_asset_job,
    events,
    execute_job,
    job,
    op,
    reexecute_job,
    resource,
)
from foldlog.engine.execution.interruption import RunInterrupted, Terminated, ending_on_sigterm, interrupts_held
from foldlog.engine.reporting import interrupts
from foldlog.engine.reporting.interrupts import check, handled, held, let_through, result_of, shielded, sleep

EXECUTOR = Path(__file__).with_name("executor.py")


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    """Also where a shell runs the tests in the background: there, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as instance:
        yield instance
        verified = instance.verify()
        assert verified.ok, verified.problems


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def soon(number: int = signal.SIGINT, after_s: float = 0.2) -> None:
    """Have the main thread interrupted in a moment, whatever it waits for."""

    threading.Timer(after_s, signal.pthread_kill, (threading.main_thread().ident, number)).start()


def told(instance: Instance, run_id: str = RUN) -> list[tuple[str, str | None]]:
    records = instance.log.read_shard(run_id).records
    return [(one.event.type, one.event.step_key) for one in records if one.event.type != "ENGINE_EVENT"]


def fact(instance: Instance, kind: str, run_id: str = RUN) -> Any:
    (found,) = instance.log.read_shard(run_id, types=[kind]).records
    return found.event.fact


def status(instance: Instance, run_id: str = RUN) -> RunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


class Deeds:
    """What is done at some moments, each once; and what happened."""

    def __init__(self, **deeds: Callable[[], object]) -> None:
        self.happened: list[str] = []
        self._deeds = deeds

    def at(self, moment: str) -> None:
        self.happened.append(moment)
        deed = self._deeds.pop(moment, None)
        if deed is not None:
            deed()


def two_steps(deeds: Deeds, *, retry: RetryPolicy | None = None) -> Any:
    @resource
    def outer() -> Iterator[int]:
        deeds.at("outer_up")
        yield 1
        deeds.at("outer_down")
        deeds.at("outer_gone")

    @resource(required_resource_keys={"outer"})
    def inner() -> Iterator[int]:
        deeds.at("inner_up")
        yield 2
        deeds.at("inner_down")
        deeds.at("inner_gone")

    @op(required_resource_keys={"inner"}, retry_policy=retry)
    def first() -> int:
        deeds.at("first")
        if retry is not None:
            raise RuntimeError("try again")
        return 1

    @op
    def second(n: int) -> int:
        deeds.at("second")
        return n + 1

    @job(resource_defs={"outer": outer, "inner": inner})
    def two() -> None:
        second(first())

    return two


CANCELED = [("RUN_CANCELING", None), ("RUN_CANCELED", None)]


def interrupted(instance: Instance, deeds: Deeds, kind: type[BaseException] = KeyboardInterrupt, **options: Any) -> Any:
    with pytest.raises(kind):
        execute_job(two_steps(deeds, **options), instance=instance, run_id=RUN, raise_on_error=False)
    found = told(instance)
    ends = {"RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED"}
    assert sum(one[0] in ends for one in found) == 1
    assert found[-1][0] in ends
    return found


def test_in_a_step(instance: Instance) -> None:
    deeds = Deeds(second=ctrl_c)
    found = interrupted(instance, deeds)
    assert found[-3:] == [("STEP_FAILURE", "second"), *CANCELED]
    assert fact(instance, "STEP_FAILURE").source == "INTERRUPT"
    assert fact(instance, "STEP_FAILURE").error.class_name == "KeyboardInterrupt"
    assert fact(instance, "RUN_CANCELED").reason == "KeyboardInterrupt"
    assert deeds.happened[-4:] == ["inner_down", "inner_gone", "outer_down", "outer_gone"]
    assert status(instance) is RunStatus.CANCELED
    assert [one.status for one in instance.get_run_steps(RUN)] == ["SUCCESS", "FAILURE"]
    result = reexecute_job(two_steps(deeds), RUN, instance=instance, from_failure=True)
    assert (deeds.happened.count("first"), result.output_for_node("second")) == (1, 2)


def test_between_steps(instance: Instance) -> None:
    """While whoever watches is told."""
    deeds = Deeds()

    def report(key: str, what: str, seconds: float) -> None:
        if (key, what) == ("first", "SUCCESS"):
            ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        execute_job(two_steps(deeds), instance=instance, run_id=RUN, report=report)
    assert told(instance)[-3:] == [("STEP_SUCCESS", "first"), *CANCELED]
    assert "second" not in deeds.happened
    assert deeds.happened[-1] == "outer_gone"


def test_while_waiting_for_a_retry(instance: Instance) -> None:
    deeds = Deeds(first=lambda: soon())
    since = time.monotonic()
    found = interrupted(instance, deeds, retry=RetryPolicy(max_retries=3, delay=30))
    assert time.monotonic() - since < 10
    assert found[-3:] == [("STEP_UP_FOR_RETRY", "first"), *CANCELED]
    assert deeds.happened[-1] == "outer_gone"


def test_as_a_resource_is_made_ready(instance: Instance) -> None:
    """It was not ready, so it is not torn down; the one before it was."""
    deeds = Deeds(inner_up=ctrl_c)
    found = interrupted(instance, deeds)
    assert found[-4:] == [("RESOURCE_INIT_STARTED", None), ("RESOURCE_INIT_FAILURE", None), *CANCELED]
    assert deeds.happened == ["outer_up", "inner_up", "outer_down", "outer_gone"]


def test_as_a_resource_is_torn_down(instance: Instance) -> None:
    """Its own tear-down ends there; the others have their turn; the run had come to its end, and is canceled all the
    same: whoever interrupts must not read of a success."""
    deeds = Deeds(inner_down=ctrl_c)
    found = interrupted(instance, deeds)
    assert deeds.happened[-3:] == ["inner_down", "outer_down", "outer_gone"]
    assert found[-3:] == [("STEP_SUCCESS", "second"), *CANCELED]
    notes = [one.event.fact.text for one in instance.log.read_shard(RUN, types=["ENGINE_EVENT"]).records]
    assert any("resource 'inner' was being torn down when the run was interrupted" in one for one in notes)


def test_twice(instance: Instance) -> None:
    """In a step, and again while the resources are torn down: each of them, even."""
    deeds = Deeds(first=ctrl_c, inner_down=ctrl_c, outer_down=ctrl_c)
    found = interrupted(instance, deeds)
    assert deeds.happened == ["outer_up", "inner_up", "first", "inner_down", "outer_down"]
    assert found[-3:] == [("STEP_FAILURE", "first"), *CANCELED]


@pytest.mark.parametrize("kind", ["RUN_CREATED", "RUN_START", "STEP_START", "RUN_SUCCESS"])
def test_while_something_is_recorded(instance: Instance, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Wherever it comes in between, the run has one end: where it was being recorded, that one."""
    backend: Any = instance.log.backend
    really = backend.append_group
    sent = []

    def slow(appends: Any) -> Any:
        if not sent and any(record.type == kind for one in appends for record in one.records):
            sent.append(kind)
            soon(after_s=0)
            time.sleep(0.3)
        return really(appends)

    monkeypatch.setattr(backend, "append_group", slow)
    deeds = Deeds()
    found = interrupted(instance, deeds)
    instance.writer.flush()
    assert found == told(instance)
    assert found[-1] == ("RUN_SUCCESS" if kind == "RUN_SUCCESS" else "RUN_CANCELED", None)
    assert ("second" in deeds.happened) is (kind == "RUN_SUCCESS")
    assert ("outer_gone" in deeds.happened) is ("outer_up" in deeds.happened)


def test_planned_assets_are_told(instance: Instance) -> None:
    made: list[str] = []

    def one(name: str, *deps: str) -> Any:
        @asset(name=name, deps=list(deps))
        def make() -> None:
            made.append(name)
            if name == "b":
                ctrl_c()

        return make

    defs = Definitions(assets=[one("a"), one("b", "a"), one("c", "b")], jobs=[define_asset_job("abc")])
    with pytest.raises(KeyboardInterrupt):
        execute_job(defs.get_job("abc"), instance=instance, run_id=RUN)
    assert made == ["a", "b"]
    failed = [one.event.fact for one in instance.log.read_shard(RUN, types=["ASSET_FAILED_TO_MATERIALIZE"]).records]
    assert [(str(one.asset_key.to_text()), one.reason) for one in failed] == [
        ("b", "RUN_TERMINATED"),
        ("c", "RUN_TERMINATED"),
    ]
    assert told(instance)[-4:] == [
        ("RUN_CANCELING", None),
        *[("ASSET_FAILED_TO_MATERIALIZE", None)] * 2,
        ("RUN_CANCELED", None),
    ]


def test_what_is_no_exception_ends_the_run_too(instance: Instance) -> None:
    """A library may raise what is neither an Exception nor an interrupt; sys.exit() may come outside of a step."""

    class Odd(BaseException):
        pass

    def odd() -> None:
        raise Odd("odd")

    with pytest.raises(Odd):
        execute_job(two_steps(Deeds(second=odd)), instance=instance, run_id=RUN)
    assert told(instance)[-2:] == [("STEP_FAILURE", "second"), ("RUN_FAILURE", None)]

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(UserCodeError, match="SystemExit"):
        execute_job(two_steps(Deeds(inner_up=leave)), instance=instance, run_id="run-2")
    assert told(instance, "run-2")[-1] == ("RUN_FAILURE", None)
    deeds = Deeds(inner_down=leave)
    execute_job(two_steps(deeds), instance=instance, run_id="run-3")
    assert deeds.happened[-1] == "outer_gone"
    assert status(instance, "run-3") is RunStatus.SUCCESS


# -- SIGTERM ----------------------------------------------------------------------------------------------------


def test_sigterm(instance: Instance) -> None:
    with ending_on_sigterm():
        deeds = Deeds(first=lambda: signal.raise_signal(signal.SIGTERM))
        found = interrupted(instance, deeds, Terminated)
    assert found[-2:] == [("STEP_FAILURE", "first"), ("RUN_FAILURE", None)]
    assert fact(instance, "RUN_FAILURE").reason == "UNEXPECTED_TERMINATION"
    assert deeds.happened[-1] == "outer_gone"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_after_somebody_asked_for_a_cancel(instance: Instance) -> None:
    """As a launcher does it: it records that the run is to stop, then sends the signal."""

    def canceled() -> None:
        instance.log.append(RUN, [Event.now(events.RunCanceling(reason="by hand"))])
        signal.raise_signal(signal.SIGTERM)

    with ending_on_sigterm():
        found = interrupted(instance, Deeds(first=canceled), Terminated)
    assert [one[0] for one in found].count("RUN_CANCELING") == 1
    assert found[-2:] == [("STEP_FAILURE", "first"), ("RUN_CANCELED", None)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_of_a_process(scratch: Path, number: int) -> None:
    """A worker of its own, from outside."""
    root = scratch / "root"
    root.mkdir()
    child = start("wait", f"sqlite:///{scratch}/h", root, "begin work[x]", script=EXECUTOR)
    assert child.stdout is not None
    while json.loads(child.stdout.readline())[0] != "here":
        pass
    os.kill(child.pid, number)
    said, _ = child.communicate(timeout=30)
    notes = [json.loads(one) for one in said.splitlines()]
    assert child.returncode == 0
    assert ["torn down", "tool"] in notes
    assert notes[-1][0] == "interrupted"
    with Instance.from_url(f"sqlite:///{scratch}/h", root=root) as instance:
        expected = RunStatus.FAILURE if number == signal.SIGTERM else RunStatus.CANCELED
        assert status(instance) is expected
        assert told(instance)[-2 if number == signal.SIGTERM else -3] == ("STEP_FAILURE", "work[x]")


# -- by what others record --------------------------------------------------------------------------------------


def say(instance: Instance, *facts: Any) -> Callable[[], None]:
    """Somebody else records something in the run: of another handle of the log, as another process does."""

    def deed() -> None:
        with Instance.from_url(instance.log.backend.url) as other:
            other.log.append(RUN, [Event.now(one) for one in facts])

    return deed


def test_canceling(instance: Instance) -> None:
    """It stops before the code of the next step."""
    deeds = Deeds(first=say(instance, events.RunCanceling(reason="by hand")))
    found = interrupted(instance, deeds, RunInterrupted)
    assert "second" not in deeds.happened
    assert [one[0] for one in found].count("RUN_CANCELING") == 1
    assert found[-4:] == [
        ("STEP_SUCCESS", "first"),
        ("STEP_START", "second"),
        ("STEP_FAILURE", "second"),
        ("RUN_CANCELED", None),
    ]
    assert fact(instance, "STEP_FAILURE").source == "INTERRUPT"
    assert deeds.happened[-1] == "outer_gone"
    assert status(instance) is RunStatus.CANCELED


def test_canceling_in_the_last_step(instance: Instance) -> None:
    """There is nothing left to stop: the run has succeeded."""
    deeds = Deeds(second=say(instance, events.RunCanceling()))
    result = execute_job(two_steps(deeds), instance=instance, run_id=RUN)
    assert result.success
    assert status(instance) is RunStatus.SUCCESS


@pytest.mark.parametrize("end", [events.RunCanceled(), events.RunFailed(reason="MAX_RUNTIME")])
def test_ended_by_somebody_else(instance: Instance, end: Any) -> None:
    """The worker stops, and only notes it: the first end stands."""
    deeds = Deeds(first=say(instance, end))
    with pytest.raises(RunInterrupted):
        execute_job(two_steps(deeds), instance=instance, run_id=RUN)
    assert "second" not in deeds.happened
    kinds = [one[0] for one in told(instance)]
    assert sum(one in ("RUN_CANCELING", "RUN_CANCELED", "RUN_FAILURE", "RUN_SUCCESS") for one in kinds) == 1
    last = instance.log.read_shard(RUN, newest_first=True, limit=1).records[0].event
    assert "the worker stopped: the run is" in last.fact.text
    assert deeds.happened[-1] == "outer_gone"
    assert str(status(instance)) == ("CANCELED" if isinstance(end, events.RunCanceled) else "FAILURE")


def test_ended_by_somebody_else_in_the_last_step(instance: Instance) -> None:
    """The result says what the views say."""
    deeds = Deeds(second=say(instance, events.RunFailed(reason="MAX_RUNTIME")))
    result = execute_job(two_steps(deeds), instance=instance, run_id=RUN, raise_on_error=False)
    assert (result.status, status(instance)) == (RunStatus.FAILURE, RunStatus.FAILURE)
    assert isinstance(result.error, ConflictError)
    assert "somebody else ended it" in str(result.error)


def test_what_others_record_of_no_matter(instance: Instance) -> None:
    """Tags and lines of others do not stop it."""
    facts = [events.RunTagsAdded(tags={"seen": "yes"}), events.LogMessage(text="hello")]
    deeds = Deeds(first=say(instance, *facts), second=say(instance, *facts))
    assert execute_job(two_steps(deeds), instance=instance, run_id=RUN).success


def test_deleted_by_somebody_else(instance: Instance) -> None:
    """The log takes no more of its events; that is raised, and resources are torn down."""
    deeds = Deeds(first=lambda: instance.delete_run(RUN))
    with pytest.raises(ShardPurged):
        execute_job(two_steps(deeds, retry=None), instance=instance, run_id=RUN, raise_on_error=False)
    assert "second" not in deeds.happened
    assert deeds.happened[-1] == "outer_gone"
    assert instance.get_run_by_id(RUN) is None


def test_cancel_run(instance: Instance) -> None:
    """By the instance, from a step of the run itself or from another process: it needs no launcher."""
    deeds = Deeds(first=lambda: instance.cancel_run(RUN))
    found = interrupted(instance, deeds, RunInterrupted)
    assert "second" not in deeds.happened
    assert found[-1] == ("RUN_CANCELED", None)
    assert not instance.cancel_run(RUN), "it is over"


# -- interrupts that wait ---------------------------------------------------------------------------------------


def test_an_interrupt_waits_until_it_may_come() -> None:
    """Where foldlog is at its own work it is noted; it comes in code of users, where it is asked for, or at the end."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), held():
        ctrl_c()
        done.append("noted")
        with let_through():
            done.append("let through")
    with pytest.raises(KeyboardInterrupt), held():
        with let_through():
            ctrl_c()
            done.append("not waited")
    with pytest.raises(KeyboardInterrupt), held():
        ctrl_c()
        check()
        done.append("not checked")
    with pytest.raises(KeyboardInterrupt), held():
        ctrl_c()
        done.append("at the end")
    assert done == ["noted", "at the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with held():
        check()


def test_the_third_interrupt_comes_at_once() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), held(), shielded():
        for number in range(1, 4):
            ctrl_c()
            done.append(number)
    assert done == [1, 2]
    done.clear()
    with pytest.raises(KeyboardInterrupt), held():
        handled(KeyboardInterrupt())  # one came before, in code of a user
        for number in range(2, 4):
            ctrl_c()
            done.append(number)
    assert done == [2]


@pytest.mark.parametrize("wait", [lambda: result_of(Future()), lambda: sleep(60)])
@pytest.mark.parametrize("is_shielded", [False, True])
def test_waits_are_let_out_of(monkeypatch: pytest.MonkeyPatch, wait: Any, is_shielded: bool) -> None:
    """By the first interrupt; of a wait that is shielded, by the second, and not the very moment."""
    monkeypatch.setattr(interrupts, "SLICE_S", 0.1)
    soon()
    since = time.monotonic()
    if is_shielded:
        soon(after_s=0.6)
    with pytest.raises(KeyboardInterrupt), held(), shielded() if is_shielded else nullcontext():
        wait()
    assert (0.5 if is_shielded else 0) < time.monotonic() - since < 10


def test_both_signals_are_delivered() -> None:
    """The one that came first is raised; the other is not lost."""
    with ending_on_sigterm():
        with pytest.raises(KeyboardInterrupt) as caught, interrupts_held():
            ctrl_c()
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.__notes__ == ["and Terminated: the process was told to end (SIGTERM)"]
        with pytest.raises(Terminated) as ended, interrupts_held():
            signal.raise_signal(signal.SIGTERM)
            ctrl_c()
        assert [one.partition(":")[0] for one in ended.value.__notes__] == ["and KeyboardInterrupt"]


def test_a_run_within_a_step_has_its_own_guard() -> None:
    """Within code of a user interrupts come at once; within a run there, they wait again; behind it they do not."""
    done: list[str] = []
    with held(), let_through():
        with pytest.raises(KeyboardInterrupt), held():
            ctrl_c()
            done.append("waited")
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
            done.append("not waited")
    assert done == ["waited"]


def test_a_programs_own_handler_is_left_alone() -> None:
    came: list[int] = []

    def own(number: int, frame: Any) -> None:
        came.append(number)

    signal.signal(signal.SIGINT, own)
    with held():
        assert signal.getsignal(signal.SIGINT) is own
        ctrl_c()
        assert came == [signal.SIGINT]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with held():
        signal.signal(signal.SIGINT, own)  # code of a step may put one there, to stay
    assert signal.getsignal(signal.SIGINT) is own


def test_other_threads_are_not_concerned() -> None:
    before = signal.getsignal(signal.SIGINT)
    found: list[Any] = []

    def look() -> None:
        with held(), shielded():
            found.append(signal.getsignal(signal.SIGINT))
            with let_through():
                check()
            done: Future[int] = Future()
            done.set_result(3)
            found.append(result_of(done))

    def in_a_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    in_a_thread()
    assert found == [before, 3]
    with pytest.raises(KeyboardInterrupt), held():
        ctrl_c()
        in_a_thread()  # and does not take what is of the main thread
        found.append("noted")
    assert found[-1] == "noted"


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("number", range(1, 7))
def test_as_events_are_queued(instance: Instance, monkeypatch: pytest.MonkeyPatch, number: int, queued: bool) -> None:
    """Right before they are queued, or right behind it, with the recorder not told: recorded once, and all of them."""
    really, calls = instance.writer.append, []

    def append(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) != number:
            return really(*arguments, **options)
        if queued:
            really(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(instance.writer, "append", append)
    deeds = Deeds()
    with pytest.raises(KeyboardInterrupt):
        execute_job(two_steps(deeds), instance=instance, run_id=RUN)
    monkeypatch.undo()
    instance.writer.flush()
    found = told(instance)
    if number == 1:  # before there was a run, as far as can be told
        assert found == ([("RUN_CREATED", None)] if queued else [])
        return
    kinds = [one for one in found if one[0] not in ("LOADED_INPUT", "STEP_INPUT")]
    assert len(kinds) == len(set(kinds))
    begun = {mark for mark in ("first", "second") if mark in deeds.happened}
    assert begun <= {key for kind, key in found if kind == "STEP_START"}
    if number < 5:
        assert found[-2:] == CANCELED


@pytest.mark.parametrize(
    ("seed", "times"), [(1, 30), pytest.param(2, 300, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_at_any_moment(tmp_path: Path, seed: int, times: int) -> None:
    """Many runs, each interrupted somewhere: none is left without its end, and nothing is recorded twice."""
    dice = random.Random(seed)
    chain = long_chain()
    canceled = 0
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as instance:
        execute_job(chain, instance=instance)  # what is loaded on first use is loaded
        since = time.monotonic()
        execute_job(chain, instance=instance)
        took = time.monotonic() - since
        for number in range(times):
            timer = threading.Timer(dice.uniform(0, took), ctrl_c_from_outside)
            run_id = f"run-{number}"
            with suppress(KeyboardInterrupt):
                timer.start()
                execute_job(chain, instance=instance, run_id=run_id)
                timer.join()
                time.sleep(0.05)
            instance.writer.flush()
            kinds = [
                (one.event.type, one.event.step_key)
                for one in instance.log.read_shard(run_id).records
                if one.event.type != "ENGINE_EVENT"
            ]
            if not kinds:
                continue  # before there was a run
            assert kinds[-1][0] in ("RUN_SUCCESS", "RUN_CANCELED"), kinds
            canceled += kinds[-1][0] == "RUN_CANCELED"
            assert len(kinds) == len(set(kinds)), kinds
            begun = {key for kind, key in kinds if kind == "STEP_START"}
            ended = {key for kind, key in kinds if kind in ("STEP_SUCCESS", "STEP_FAILURE")}
            assert ended <= begun
            assert len(begun - ended) <= 1
        assert canceled > times // 10
        assert instance.verify().ok


def ctrl_c_from_outside() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def long_chain() -> Any:
    @op
    def begin() -> int:
        return 0

    @op
    def add(n: int) -> int:
        return n + 1

    @job(resource_defs={"io_manager": InMemoryIOManager()})
    def chain() -> None:
        value = begin()
        for number in range(30):
            value = add.alias(f"add_{number}")(value)

    return chain
