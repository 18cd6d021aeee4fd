"""Reporting: what a program does is what the log tells, however it ends."""

# ruff: noqa: PT012 (what passes out of a `with` block is what is tested here)

from __future__ import annotations

import logging
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from foldlog import ConflictError, EncodingError, Instance, ShardPurged, UnavailableError, UsageError
from foldlog.engine.reporting import recorder as reporting


@pytest.fixture
def instance(tmp_path) -> Instance:
    with Instance.from_url(f"sqlite:///{tmp_path}/h?durability=process") as instance:
        yield instance


def told(instance: Instance, run_id: str) -> list[tuple[str, str | None]]:
    return [(record.event.type, record.event.step_key) for record in instance.logs(run_id).records]


def fact_of(instance: Instance, run_id: str, kind: str) -> Any:
    (record, *_) = instance.logs(run_id, types=[kind]).records
    return record.event.fact


def test_a_run_that_goes_well(instance: Instance) -> None:
    with instance.run("job", run_id="r", tags={"a": "b"}, run_config={"x": [1]}, plan=["raw/orders"]) as run:
        with run.step("extract") as step:
            step.log("read", logging.DEBUG)
            step.materialize("raw/orders", metadata={"rows": 3})
        run.observe("raw/orders", data_version="v")
        run.check("raw/orders", "whole", True)
    assert told(instance, "r") == [
        ("RUN_CREATED", None),
        ("ASSET_MATERIALIZATION_PLANNED", None),
        ("RUN_START", None),
        ("STEP_START", "extract"),
        ("LOG_MESSAGE", "extract"),
        ("ASSET_MATERIALIZATION", "extract"),
        ("STEP_SUCCESS", "extract"),
        ("ASSET_OBSERVATION", None),
        ("ASSET_CHECK_EVALUATION", None),
        ("RUN_SUCCESS", None),
    ]
    receipts = instance.log.backend.placed(after=0, limit=100)
    assert receipts[0].receipt.last_seq == 3  # created, planned and started in one append
    assert fact_of(instance, "r", "RUN_START").process_id > 0
    assert fact_of(instance, "r", "STEP_SUCCESS").duration_us >= 0
    assert instance.log.shards()[0].state.value == "sealed"


def test_a_run_that_fails_tells_why_and_lets_the_exception_pass(instance: Instance) -> None:
    with pytest.raises(RuntimeError, match="cannot load") as caught:
        with instance.run("job", run_id="r", plan=["a", "b"]) as run:
            run.materialize("a")
            with run.step("load"):
                try:
                    {}["missing"]
                except KeyError as error:
                    raise RuntimeError("cannot load") from error
    assert not hasattr(caught.value, "__notes__")
    assert told(instance, "r")[-3:] == [
        ("STEP_FAILURE", "load"),
        ("ASSET_FAILED_TO_MATERIALIZE", None),
        ("RUN_FAILURE", None),
    ]
    failed = fact_of(instance, "r", "RUN_FAILURE")
    assert (failed.reason, failed.failed_step_keys) == ("STEP_FAILURE", ("load",))
    assert (failed.error.class_name, failed.error.message) == ("RuntimeError", "cannot load")
    assert (failed.error.cause.class_name, failed.error.cause.message) == ("KeyError", "'missing'")
    assert "test_reporting.py" in str(failed.error)
    assert fact_of(instance, "r", "STEP_FAILURE").source == "USER_CODE"
    assert fact_of(instance, "r", "ASSET_FAILED_TO_MATERIALIZE").asset_key.to_text() == "b"
    record = instance.get_run_record_by_id("r")
    assert record is not None
    assert (record.run.status, record.failure_class, record.failure_message) == (
        "FAILURE",
        "RuntimeError",
        "cannot load",
    )
    (step,) = instance.get_run_steps("r")
    assert (step.status, step.error_class) == ("FAILURE", "RuntimeError")


def test_an_error_outside_of_steps_is_the_runs_own(instance: Instance) -> None:
    with pytest.raises(ValueError):
        with instance.run("job", run_id="r") as run:
            with pytest.raises(KeyError), run.step("tried"):
                raise KeyError
            raise ValueError("x")
    failed = fact_of(instance, "r", "RUN_FAILURE")
    assert (failed.reason, failed.failed_step_keys) == ("RUN_EXCEPTION", ("tried",))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyboardInterrupt(), "RUN_CANCELED"),
        (GeneratorExit(), "RUN_CANCELED"),
        (SystemExit(), "RUN_SUCCESS"),
        (SystemExit(0), "RUN_SUCCESS"),
        (SystemExit(2), "RUN_FAILURE"),
    ],
)
def test_what_ends_a_program_ends_its_run(instance: Instance, error: BaseException, kind: str) -> None:
    with pytest.raises(type(error)):
        with instance.run("job", run_id="r", plan=["a"]) as run, run.step("s"):
            raise error
    assert told(instance, "r")[-1] == (kind, None)
    assert told(instance, "r")[-3] == ("STEP_FAILURE", "s")
    left = fact_of(instance, "r", "ASSET_FAILED_TO_MATERIALIZE")
    assert left.skipped == (kind == "RUN_SUCCESS")
    assert fact_of(instance, "r", "STEP_FAILURE").source == "INTERRUPT"


def test_a_step_is_tried_again(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(reporting.time, "sleep", pauses.append)
    seen = []
    with instance.run("job", run_id="r") as run:
        for attempt in run.attempts("fetch", max_retries=3, delay_s=0.5, backoff=2):
            with attempt:
                seen.append(attempt.attempt)
                if attempt.attempt < 3:
                    raise ConnectionError(f"no answer {attempt.attempt}")
    assert seen == [1, 2, 3]
    assert pauses == [0.5, 1.0]
    assert [kind for kind, step in told(instance, "r") if step == "fetch"] == [
        "STEP_START",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_SUCCESS",
    ]
    first = fact_of(instance, "r", "STEP_UP_FOR_RETRY")
    assert (first.attempt, first.wait_us, first.error.message) == (1, 500_000, "no answer 1")
    (step,) = instance.get_run_steps("r")
    assert (step.status, step.attempts, step.error_message) == ("SUCCESS", 3, "no answer 2")


def test_a_step_that_fails_for_good(instance: Instance) -> None:
    with pytest.raises(ConnectionError):
        with instance.run("job", run_id="r") as run:
            for attempt in run.attempts("fetch", max_retries=1):
                with attempt:
                    raise ConnectionError
    assert [kind for kind, step in told(instance, "r") if step][-1] == "STEP_FAILURE"
    assert fact_of(instance, "r", "STEP_FAILURE").attempt == 2
    with pytest.raises(ValueError):
        with instance.run("job", run_id="r2") as run:
            for attempt in run.attempts("fetch", max_retries=5, retry_on=ConnectionError):
                with attempt:
                    raise ValueError
    assert [kind for kind, step in told(instance, "r2") if step] == ["STEP_START", "STEP_FAILURE"]


def test_a_loop_over_attempts_without_entering_one_is_told(instance: Instance) -> None:
    with pytest.raises(UsageError, match="write `with attempt:`"):
        with instance.run("job") as run:
            for _ in run.attempts("fetch", max_retries=1):
                pass
    with instance.run("job") as run:
        with pytest.raises(UsageError, match="none may be negative"):
            run.attempts("fetch", max_retries=-1)


def test_the_same_step_once_more_is_another_attempt(instance: Instance) -> None:
    with instance.run("job", run_id="r") as run:
        for _ in range(2):
            with run.step("load"):
                pass
    assert [kind for kind, step in told(instance, "r") if step][2] == "STEP_RESTARTED"
    assert [step.attempts for step in instance.get_run_steps("r")] == [2]


def test_steps_in_threads(instance: Instance) -> None:
    def work(number: int) -> None:
        with run.step(f"step-{number}") as step:
            for line in range(20):
                step.log(f"line {line}")
            step.materialize("a", partition=str(number))
            with run.step(f"inner-{number}"):
                logging.getLogger("work").warning("inside %s", number)

    with instance.run("job", run_id="r") as run, run.capture_logging("work"), ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    steps = {step.step_key: step.status for step in instance.get_run_steps("r")}
    assert steps == {f"{kind}-{number}": "SUCCESS" for kind in ("step", "inner") for number in range(8)}
    assert len(instance.get_asset_partitions("a")) == 8
    lines = instance.logs("r", types=["LOG_MESSAGE"]).records
    assert len(lines) == 8 * 21
    for number in range(8):
        own = [record.event.fact.text for record in lines if record.event.step_key == f"step-{number}"]
        assert own == [f"line {line}" for line in range(20)]
        inside = [record.event.fact.text for record in lines if record.event.step_key == f"inner-{number}"]
        assert inside == [f"inside {number}"]
    assert told(instance, "r")[-1] == ("RUN_SUCCESS", None)


def test_lines_of_the_standard_logging(instance: Instance) -> None:
    logger = logging.getLogger("mine")
    with instance.run("job", run_id="r") as run:
        with run.capture_logging("mine", logging.WARNING), run.step("s"):
            logger.info("not this")
            logger.warning("half %d", 1)
            logging.getLogger("foldlog.views").error("nor this")
            try:
                raise ValueError("x")
            except ValueError:
                logger.exception("it broke")
        logger.error("after")
    first, second = instance.logs("r", types=["LOG_MESSAGE"]).records
    assert (first.event.fact.text, first.event.fact.level, first.event.fact.logger) == ("half 1", 30, "mine")
    assert first.event.step_key == "s"
    assert second.event.fact.error.class_name == "ValueError"


def test_a_log_line_never_fails_the_program(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with instance.run("job", run_id="r") as run:
        run.log("a\ud800b")
        run.log("x" * 1_000_000)
        with monkeypatch.context() as patch:
            patch.setattr(run._recorder._writer, "append", lambda *a, **k: 1 / 0)
            run.log("lost")
    run.log("too late")
    texts = [record.event.fact.text for record in instance.logs("r", types=["LOG_MESSAGE"]).records]
    assert texts[0] == "a?b"
    assert len(texts) == 2
    assert len(texts[1]) < 30_000
    assert "run r: 1 log lines could not be recorded" in caplog.text
    instance.close()  # and nothing is raised here either


def test_a_lost_reply_records_nothing_twice(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "RETRY_PAUSES_S", (0.0, 0.0))
    append, calls = instance.log.backend.append_group, []

    def unlucky(appends: Any) -> Any:
        calls.append(appends)
        outcomes = append(appends)
        return outcomes if len(calls) % 2 == 0 else [UnavailableError("no reply")] * len(outcomes)

    monkeypatch.setattr(instance.log.backend, "append_group", unlucky, raising=False)
    with instance.run("job", run_id="r") as run, run.step("s"):
        pass
    assert [kind for kind, _ in told(instance, "r")] == [
        "RUN_CREATED",
        "RUN_START",
        "STEP_START",
        "STEP_SUCCESS",
        "RUN_SUCCESS",
    ]
    assert len(calls) == 8


def test_a_store_that_stays_away_does_not_hide_the_programs_own_error(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "RETRY_PAUSES_S", ())

    def away(appends: Any) -> Any:
        return [UnavailableError("gone")] * len(appends)

    with pytest.raises(ValueError, match="mine") as caught:
        with instance.run("job", run_id="r") as run, run.step("s"):
            monkeypatch.setattr(instance.log.backend, "append_group", away, raising=False)
            raise ValueError("mine")
    assert caught.value.__notes__ == [
        "foldlog could not record the end of step s: gone",
        "foldlog could not record the end of run r: gone",
    ]
    monkeypatch.undo()
    with pytest.raises(UnavailableError):
        with instance.run("job", run_id="r2"):
            monkeypatch.setattr(reporting, "RETRY_PAUSES_S", ())
            monkeypatch.setattr(instance.log.backend, "append_group", away, raising=False)


def test_a_run_id_is_used_once(instance: Instance) -> None:
    with instance.run("job", run_id="r") as run:
        with pytest.raises(ConflictError, match="run r exists already"):
            instance.run("job", run_id="r").__enter__()
        with pytest.raises(UsageError, match="started before"):
            run.__enter__()
    with pytest.raises(UsageError, match="run r is over"):
        run.materialize("a")
    with pytest.raises(UsageError, match="not entered yet"):
        instance.run("job").materialize("a")
    instance.delete_run("r")
    with pytest.raises(ShardPurged):
        instance.run("job", run_id="r").__enter__()


@pytest.mark.parametrize("step_key", ["", " a", "a\n", "a\x00", "x" * 201, None])
def test_a_step_key_that_cannot_be_one_is_refused(instance: Instance, step_key: Any) -> None:
    with instance.run("job") as run, pytest.raises(UsageError, match="step key"):
        run.step(step_key)


def test_a_value_that_cannot_be_stored_is_refused_with_its_path(instance: Instance) -> None:
    with instance.run("job", run_id="r") as run:
        with pytest.raises(EncodingError, match=r"metadata\['bad'\]"):
            run.materialize("a", metadata={"bad": object()})
    assert [kind for kind, _ in told(instance, "r")] == ["RUN_CREATED", "RUN_START", "RUN_SUCCESS"]


def test_sealing_that_fails_is_no_matter(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(shard: str) -> bool:
        raise UnavailableError("busy")

    monkeypatch.setattr(instance.log, "seal", broken)
    with instance.run("job", run_id="r"):
        pass
    assert told(instance, "r")[-1] == ("RUN_SUCCESS", None)
    assert "could not be sealed: busy" in caplog.text


def test_what_was_planned_and_not_made_is_told(instance: Instance) -> None:
    with instance.run("job", run_id="r") as run:
        run.plan("a", ["b", "c"], partition="p")
        run.materialize("a", partition="p")
        with pytest.raises(UsageError):
            run.plan()
    left = instance.logs("r", types=["ASSET_FAILED_TO_MATERIALIZE"]).records
    assert [(one.event.fact.asset_key.to_text(), one.event.fact.skipped) for one in left] == [("b/c", True)]
    assert left[0].event.job_name == "job"  # a kept fact: it outlives the run's other events
    assert [p.status for p in instance.get_asset_partitions("b/c")] == ["MISSING"]


def test_a_run_may_be_told_from_several_threads_at_once(instance: Instance) -> None:
    ready = threading.Barrier(4)

    def work(number: int) -> None:
        ready.wait()
        with instance.run("job", run_id=f"r{number}") as run, run.step("s"):
            run.log("x")

    futures: list[Future[None]] = []
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work, number) for number in range(4)]
    for future in futures:
        future.result()
    assert instance.get_runs_count(statuses=["SUCCESS"]) == 4


@pytest.mark.parametrize("trouble", [UnavailableError("away"), OSError("disk"), TimeoutError("late")])
def test_an_end_that_cannot_be_recorded_does_not_replace_ctrl_c(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def record(*arguments: Any, **options: Any) -> None:
        raise trouble

    with pytest.raises(KeyboardInterrupt) as caught:
        with instance.run("job", run_id="r") as run:
            monkeypatch.setattr(run._recorder, "record", record)
            raise KeyboardInterrupt
    assert any("could not record the end of run r" in one for one in caught.value.__notes__)
    with pytest.raises(type(trouble)):
        with instance.run("job", run_id="r2") as run:
            monkeypatch.setattr(run._recorder, "record", record)


def test_ctrl_c_as_the_end_is_recorded_waits_for_it(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            with instance.run("job", run_id="r") as run:
                really = run._recorder.record

                def record(*arguments: Any, **options: Any) -> Any:
                    signal.raise_signal(signal.SIGINT)
                    return really(*arguments, **options)

                monkeypatch.setattr(run._recorder, "record", record)
    finally:
        signal.signal(signal.SIGINT, before)
    assert told(instance, "r")[-1] == ("RUN_SUCCESS", None)


def test_the_end_names_so_many_failed_steps(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foldlog.engine.reporting.run.NAMED", 2)
    with pytest.raises(RuntimeError):
        with instance.run("job", run_id="r") as run:
            for number in range(4):
                with suppress(OSError), run.step(f"step-{number}"):
                    raise OSError
            raise RuntimeError
    assert fact_of(instance, "r", "RUN_FAILURE").failed_step_keys == ("step-0", "step-1")
    assert fact_of(instance, "r", "ENGINE_EVENT").text == "4 steps have failed; RUN_FAILURE names the first 2"
