"""Coordinators, launchers, the scheduler: what they record, in which state of a run, and against whom they lose."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foldlog import NEW, Event, Instance, RunLauncher, RunStatus, Scheduler, UnavailableError, UsageError, events
from foldlog.engine.coordination import (
    DaemonScheduler,
    DefaultRunCoordinator,
    ProcessRunLauncher,
    QueuedRunCoordinator,
    WorkerStatus,
)
from foldlog.engine.coordination.launcher import launch
from foldlog.engine.coordination.processes import _asked_of_ps, started
from foldlog.engine.coordination.transition import transition
from foldlog.engine.facade.parts import NO_LAUNCHER

PATIENCE_S = 30
#: opens the instance it was launched for, and works until it is told to stop; KeyboardInterrupt ends a run as canceled
WORKER = """
import sys, time
from foldlog import Event, Instance, InstanceRef, events
run_id, what = sys.argv[1:]
with Instance.from_ref(InstanceRef.from_environment()) as instance:
    try:
        instance.log.append(run_id, [Event.now(events.RunStarted())])
        if what == "sleep":
            time.sleep(600)
        instance.log.append(run_id, [Event.now(events.RunSucceeded())])
    except KeyboardInterrupt:
        instance.log.append(run_id, [Event.now(events.RunCanceled(reason="interrupted"))])
"""


def launcher(what="end", **config):
    command = [sys.executable, "-P", "-c", WORKER, "{run_id}", what]
    return {"run_launcher": {"class": "ProcessRunLauncher", "config": {"command": command, **config}}}


QUEUE = {"run_coordinator": {"class": "QueuedRunCoordinator"}}


@pytest.fixture
def make(tmp_path):
    """Instances that are closed when the test ends, their workers killed."""
    made = []

    def instance(overrides=None):
        made.append(Instance.local_temp(tmp_path / f"home-{len(made)}", overrides))
        return made[-1]

    yield instance
    for one in made:
        if one.log.closed:
            continue
        for record in one.get_run_records():
            if found := one.log.read_shard(record.run.run_id, types=["RUN_LAUNCHED"]).records:
                kill(found[-1].event.fact.handle)
        one.close()


def kill(handle):
    process_id = int(handle.get("process_id", 0))
    if process_id not in (0, os.getpid()) and started(process_id) == handle["started"]:
        os.kill(int(handle["process_id"]), signal.SIGKILL)


def create(instance, run_id="run-1", **more):
    instance.log.append(run_id, [Event.now(events.RunCreated(job_name="job", **more))], expected=NEW)
    return run_id


def types(instance, run_id="run-1"):
    return [record.event.type for record in instance.log.read_shard(run_id).records]


def until(instance, status, run_id="run-1"):
    deadline = time.monotonic() + PATIENCE_S
    while (run := instance.get_run_by_id(run_id)).status is not status:
        assert time.monotonic() < deadline, f"{run.status}, {types(instance, run_id)}"
        time.sleep(0.02)
    return run


# -- the queue --------------------------------------------------------------------------------------------------------


def test_a_submitted_run_waits_in_the_queue(make, caplog):
    instance = make(QUEUE)
    create(instance)
    assert instance.submit_run("run-1").status is RunStatus.QUEUED
    assert types(instance) == ["RUN_CREATED", "RUN_ENQUEUED"]
    assert not caplog.records
    assert instance.submit_run("run-1").status is RunStatus.QUEUED
    assert types(instance) == ["RUN_CREATED", "RUN_ENQUEUED"]
    assert "run run-1 is QUEUED: it was submitted before" in caplog.text
    with pytest.raises(UsageError, match="there is no run nobody"):
        instance.submit_run("nobody")


def test_only_a_run_that_has_not_begun_is_enqueued(make):
    instance = make(QUEUE)
    with instance.run("job", run_id="run-1"):
        assert instance.submit_run("run-1").status is RunStatus.STARTED
    assert instance.submit_run("run-1").status is RunStatus.SUCCESS
    create(instance, "run-2", status=RunStatus.MANAGED)
    assert instance.submit_run("run-2").status is RunStatus.MANAGED
    assert "RUN_ENQUEUED" not in types(instance) + types(instance, "run-2")


@pytest.mark.parametrize("enqueued", [True, False])
def test_a_waiting_run_is_canceled_at_once(make, enqueued):
    instance = make(QUEUE)
    create(instance)
    if enqueued:
        instance.submit_run("run-1")
    assert instance.cancel_run("run-1")
    assert types(instance)[-2:] == ["RUN_CANCELING", "RUN_CANCELED"]
    assert instance.get_run_by_id("run-1").status is RunStatus.CANCELED
    assert not instance.cancel_run("run-1")
    assert types(instance).count("RUN_CANCELED") == 1
    with pytest.raises(UsageError, match="there is no run nobody"):
        instance.cancel_run("nobody")


@pytest.mark.parametrize("seed", range(4))
def test_of_many_that_submit_cancel_and_dequeue_one_wins(make, seed):
    """A run that was canceled while it waited never starts, and one that started was not canceled while it waited."""
    instance = make(QUEUE)
    runs = [create(instance, f"run-{number}") for number in range(6)]
    barrier = threading.Barrier(3)

    def dequeue(run_id):
        def starting(run):
            return [events.RunStarting()] if run.status is RunStatus.QUEUED else []

        transition(instance, run_id, starting)

    def compete(deed):
        for run_id in runs:
            barrier.wait()
            deed(run_id)

    with ThreadPoolExecutor(3) as pool:
        deeds = [instance.submit_run, lambda r: instance.log and _cancel(instance, r), dequeue]
        for future in [pool.submit(compete, deed) for deed in deeds[seed % 3 :] + deeds[: seed % 3]]:
            future.result()
    for run_id in runs:
        told = types(instance, run_id)
        assert told.count("RUN_ENQUEUED") <= 1
        if "RUN_CANCELED" in told:
            assert "RUN_STARTING" not in told, told
            assert told[-1] == "RUN_CANCELED"


def _cancel(instance, run_id):
    """As `cancel_run`, of a run that still waits; no launcher is configured for the others."""
    try:
        instance.cancel_run(run_id)
    except UsageError as error:
        if "no run_launcher is configured" not in str(error):
            raise


def test_a_lost_answer_enqueues_once(make, monkeypatch):
    instance = make(QUEUE)
    create(instance)
    append, lost = instance.log.backend.append, []

    def losing(one):
        receipt = append(one)
        if not lost:
            lost.append(receipt)
            raise UnavailableError("the answer was lost")
        return receipt

    monkeypatch.setattr(instance.log.backend, "append", losing)
    assert instance.submit_run("run-1").status is RunStatus.QUEUED
    assert types(instance) == ["RUN_CREATED", "RUN_ENQUEUED"]
    assert lost


def test_the_settings_of_the_queue(make):
    coordinator = make(QUEUE).run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    assert coordinator.settings == {
        "max_concurrent_runs": 10,
        "tag_concurrency_limits": [],
        "dequeue_interval_seconds": 5,
        "dequeue_use_threads": False,
        "dequeue_num_workers": None,
        "max_user_code_failure_retries": 0,
        "user_code_failure_retry_delay": 60,
        "block_op_concurrency_limited_runs": {"enabled": True, "op_concurrency_slot_buffer": 0},
        "concurrency": {
            "pools": {"default_limit": None, "granularity": "op", "op_granularity_run_buffer": 0},
        },
    }
    limits = [{"key": "a", "limit": 0}, {"key": "a", "value": "b", "limit": 1}]
    limits += [{"key": "a", "value": {"applyLimitPerUniqueValue": True}, "limit": 2}]
    given = {"max_concurrent_runs": -1, "tag_concurrency_limits": limits}
    given["block_op_concurrency_limited_runs"] = {"enabled": True, "op_concurrency_slot_buffer": 3}
    coordinator = make({"run_queue": given}).run_coordinator
    assert coordinator.max_concurrent_runs is None
    assert coordinator.settings["tag_concurrency_limits"][2] == limits[2]
    assert coordinator.settings["concurrency"]["pools"]["op_granularity_run_buffer"] == 3
    assert make({"run_queue": {"max_concurrent_runs": 0}}).run_coordinator.max_concurrent_runs == 0
    assert QueuedRunCoordinator(max_concurrent_runs=2).settings["dequeue_interval_seconds"] == 5
    with pytest.raises(UsageError, match="max_runs: there is no key 'max_runs'"):
        QueuedRunCoordinator(max_runs=2)


# -- launching --------------------------------------------------------------------------------------------------------


def test_without_a_launcher_the_answer_shows_what_to_write(make, tmp_path):
    instance = make()
    create(instance)
    for ask in (lambda: instance.run_launcher, lambda: instance.submit_run("run-1")):
        with pytest.raises(UsageError, match="no run_launcher is configured") as caught:
            ask()
        assert caught.value.remedy == NO_LAUNCHER
    assert types(instance) == ["RUN_CREATED"]
    (tmp_path / "foldlog.yaml").write_text(NO_LAUNCHER.partition("\n")[2])
    with Instance.from_config(tmp_path) as other:
        assert isinstance(other.run_launcher, ProcessRunLauncher)


def test_a_submitted_run_is_launched_at_once_and_its_worker_opens_the_same_instance(make):
    instance = make(launcher())
    create(instance)
    assert isinstance(instance.run_coordinator, DefaultRunCoordinator)
    instance.submit_run("run-1")
    assert instance.run_launcher.join(PATIENCE_S)
    until(instance, RunStatus.SUCCESS)
    told = types(instance)
    assert told[:2] == ["RUN_CREATED", "RUN_STARTING"]
    assert sorted(told[2:]) == ["RUN_LAUNCHED", "RUN_START", "RUN_SUCCESS"]
    health = instance.run_launcher.check_health("run-1")
    assert (health.status, health.message.rpartition(" ended ")[2]) == (WorkerStatus.GONE, "with code 0")
    assert "ProcessRunLauncher: host " in instance.run_launcher.debug_info("run-1")
    assert instance.submit_run("run-1").status is RunStatus.SUCCESS
    assert types(instance).count("RUN_LAUNCHED") == 1


def test_a_worker_is_asked_to_stop(make):
    instance = make(launcher("sleep", stop_signal="SIGINT"))
    create(instance)
    instance.submit_run("run-1")
    until(instance, RunStatus.STARTED)
    assert instance.run_launcher.check_health("run-1").status is WorkerStatus.RUNNING
    assert not instance.run_launcher.join(0.05)
    assert instance.cancel_run("run-1")
    until(instance, RunStatus.CANCELED)
    assert instance.run_launcher.join(PATIENCE_S)
    assert instance.run_launcher.check_health("run-1").status is WorkerStatus.GONE
    assert types(instance).count("RUN_CANCELING") == 1
    assert not instance.cancel_run("run-1")


def test_another_process_looks_after_the_worker(make):
    """The handle is in the log; the launcher that wrote it need not live."""
    instance = make(launcher("sleep"))
    create(instance)
    instance.submit_run("run-1")
    until(instance, RunStatus.STARTED)
    with Instance.from_ref(instance.get_ref()) as other:
        assert other.run_launcher.check_health("run-1").status is WorkerStatus.RUNNING
        assert other.cancel_run("run-1")
        assert instance.run_launcher.join(PATIENCE_S)
        assert other.run_launcher.check_health("run-1").status is WorkerStatus.GONE
    assert instance.get_run_by_id("run-1").status is RunStatus.CANCELING  # SIGTERM ended it before it could say more


def test_a_process_number_that_was_given_again_is_not_ours(make):
    instance = make(launcher("sleep"))
    create(instance)
    handle = {"process_id": str(os.getpid()), "host": _host(), "started": "1"}
    instance.log.append("run-1", [Event.now(events.RunLaunched(launcher="ProcessRunLauncher", handle=handle))])
    assert instance.run_launcher.check_health("run-1").status is WorkerStatus.GONE
    assert not instance.run_launcher.terminate("run-1")  # this very process would be interrupted
    handle = {"process_id": str(os.getpid()), "host": "elsewhere", "started": started(os.getpid())}
    instance.log.append("run-1", [Event.now(events.RunLaunched(launcher="ProcessRunLauncher", handle=handle))])
    assert instance.run_launcher.check_health("run-1").status is WorkerStatus.UNKNOWN
    assert not instance.run_launcher.terminate("run-1")


def _host():
    import socket

    return socket.gethostname()


def test_a_run_that_was_not_launched_has_no_worker(make):
    instance = make(launcher())
    create(instance)
    assert instance.run_launcher.check_health("run-1") == (WorkerStatus.UNKNOWN, "it was not launched")
    assert not instance.run_launcher.terminate("run-1")
    assert instance.run_launcher.debug_info("run-1") == "run run-1 was not launched"


@pytest.mark.parametrize("command", [["/nowhere/program"], [str(Path(__file__))]])
def test_a_launch_that_fails_ends_the_run(make, command):
    instance = make({"run_launcher": {"class": "ProcessRunLauncher", "config": {"command": command}}})
    create(instance)
    with pytest.raises(UsageError, match="cannot be started"):
        instance.submit_run("run-1")
    assert types(instance) == ["RUN_CREATED", "RUN_STARTING", "ENGINE_EVENT", "RUN_FAILURE"]
    record = instance.get_run_record_by_id("run-1")
    assert (record.run.status, record.failure_reason) == (RunStatus.FAILURE, "LAUNCH_FAILURE")


class Counting(RunLauncher):
    """Counts; as slow as a cluster."""

    def __init__(self):
        self.started = []

    def start_worker(self, run):
        time.sleep(0.05)
        self.started.append(run.run_id)
        return {}

    def terminate(self, run_id):
        return False

    def check_health(self, run_id):
        raise NotImplementedError

    def join(self, timeout_s=30.0):
        return True


@pytest.fixture
def counting(make, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return make({"run_launcher": {"module": "test_parts", "class": "Counting"}})


def test_of_two_that_launch_one_does(counting):
    create(counting)
    refused = []

    def try_it(_):
        try:
            counting.launch_run("run-1")
        except UsageError as error:
            refused.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(try_it, range(4)))
    assert counting.run_launcher.started == ["run-1"]
    assert len(refused) == 3
    assert all("only a run that is NOT_STARTED" in one for one in refused)


def test_a_dequeued_run_is_launched_by_who_dequeued_it(counting):
    create(counting)
    with pytest.raises(UsageError, match="only a run that is STARTING"):
        launch(counting, "run-1", dequeued=True)
    counting.log.append("run-1", [Event.now(events.RunEnqueued())])
    with pytest.raises(UsageError, match="run-1 is QUEUED"):
        counting.launch_run("run-1")
    counting.log.append("run-1", [Event.now(events.RunDequeued()), Event.now(events.RunStarting())])
    launch(counting, "run-1", dequeued=True)
    assert types(counting)[-2:] == ["RUN_STARTING", "RUN_LAUNCHED"]
    with pytest.raises(UsageError, match="there is no run nobody"):
        counting.launch_run("nobody")


def test_a_worker_that_cannot_be_asked_is_told(counting, caplog):
    create(counting)
    counting.submit_run("run-1")
    assert counting.cancel_run("run-1")
    assert counting.cancel_run("run-1")  # asked again, and recorded once
    assert types(counting).count("RUN_CANCELING") == 1
    assert "no worker of it could be asked" in caplog.text


def test_a_run_canceled_while_its_worker_is_started_is_stopped(counting):
    """Who cancels finds no handle yet; who launches looks again when it has recorded one."""
    create(counting)
    launcher, stopped = counting.run_launcher, []
    launcher.terminate = lambda run_id: stopped.append(run_id) or bool(launcher.handle(run_id))
    launcher.start_worker = lambda run: {} if counting.cancel_run(run.run_id) else None
    assert counting.launch_run("run-1").status is RunStatus.CANCELING
    assert types(counting)[1:] == ["RUN_STARTING", "RUN_CANCELING", "RUN_LAUNCHED"]
    assert stopped == ["run-1", "run-1"]


def test_a_run_canceled_while_its_launch_fails_is_over(counting):
    create(counting)

    def start_worker(run):
        assert counting.cancel_run(run.run_id)
        raise RuntimeError("the cluster is full")

    counting.run_launcher.start_worker = start_worker
    with pytest.raises(RuntimeError, match="the cluster is full"):
        counting.launch_run("run-1")
    assert counting.get_run_by_id("run-1").status is RunStatus.CANCELED


def test_a_run_canceled_before_its_worker_is_started_gets_none(counting, monkeypatch):
    create(counting)
    append = counting.log.append

    def cancel_after_starting(run_id, given, **more):
        receipt = append(run_id, given, **more)
        if given[0].type == "RUN_STARTING":
            assert counting.cancel_run(run_id)
        return receipt

    monkeypatch.setattr(counting.log, "append", cancel_after_starting)
    assert counting.launch_run("run-1").status is RunStatus.CANCELED
    assert types(counting)[1:] == ["RUN_STARTING", "RUN_CANCELING", "RUN_CANCELED"]
    assert counting.run_launcher.started == []


def test_a_run_without_a_launcher_is_not_half_canceled(make):
    instance = make()
    with instance.run("job", run_id="run-1"):
        with pytest.raises(UsageError, match="no run_launcher is configured"):
            instance.cancel_run("run-1")
    assert instance.get_run_by_id("run-1").is_success
    assert "RUN_CANCELING" not in types(instance)


def test_an_instance_in_memory_launches_no_process():
    with Instance.ephemeral(overrides=launcher()) as instance:
        create(instance)
        with pytest.raises(UsageError, match="an ephemeral instance lives in one process"):
            instance.submit_run("run-1")
        assert instance.get_run_by_id("run-1").status is RunStatus.FAILURE


def test_the_environment_of_a_worker(make, tmp_path):
    code = "import os, sys; print(os.environ['MORE'], os.getcwd(), sys.argv[1], file=open(sys.argv[2], 'w'))"
    command = [sys.executable, "-c", code, "a{run_id}b", str(tmp_path / "out")]
    (tmp_path / "home-0" / "sub").mkdir(parents=True)
    config = {"command": command, "env": {"MORE": "more"}, "cwd": "sub"}
    instance = make({"run_launcher": {"class": "ProcessRunLauncher", "config": config}})
    create(instance)
    instance.submit_run("run-1")
    assert instance.run_launcher.join(PATIENCE_S)
    assert (tmp_path / "out").read_text() == f"more {tmp_path}/home-0/sub arun-1b\n"


def test_a_process_is_told_apart_by_its_start():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    first = started(child.pid)
    assert first
    assert first == started(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table
    assert started(child.pid) is None
    child.communicate()
    assert started(child.pid) is None


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps here")
def test_a_process_is_told_apart_where_there_is_no_proc():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    first = _asked_of_ps(child.pid)
    assert first
    assert first == _asked_of_ps(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert _asked_of_ps(child.pid) is None
    child.communicate()
    assert _asked_of_ps(child.pid) is None


# -- the scheduler ----------------------------------------------------------------------------------------------------


def test_the_scheduler_records_what_is_wanted(make):
    instance = make({"scheduler": {"class": "DaemonScheduler", "config": {"max_catchup_runs": 2}}})
    scheduler = instance.scheduler
    assert isinstance(scheduler, Scheduler)
    scheduler.start_schedule("nightly", code_location="here", cron="0 2 * * *", time_zone="Europe/Berlin")
    scheduler.stop_schedule("nightly", code_location="here", reason="holiday")
    scheduler.reset_schedule("nightly", code_location="here")
    facts = [record.event.fact for record in instance.log.read_shard("@ticks").records]
    assert [fact.KIND.name for fact in facts] == ["SCHEDULE_STARTED", "SCHEDULE_STOPPED", "SCHEDULE_RESET"]
    assert {(fact.schedule, fact.code_location) for fact in facts} == {("nightly", "here")}
    assert (facts[0].cron, facts[0].time_zone, facts[1].reason) == ("0 2 * * *", "Europe/Berlin", "holiday")
    assert scheduler.debug_info().startswith("max_catchup_runs 2, max_tick_retries 0; @ticks of sqlite:///")
    assert scheduler.get_logs_path("../x").parent == scheduler.get_logs_path("nightly").parent
    assert instance.local_artifact_storage.base_dir in scheduler.get_logs_path("../x").parents


def test_a_part_without_its_instance_says_so(make):
    with pytest.raises(UsageError, match="DaemonScheduler belongs to no instance"):
        DaemonScheduler().start_schedule("x")
    instance = Instance.ephemeral()
    scheduler = instance.scheduler
    del instance
    gc.collect()
    with pytest.raises(UsageError, match="belongs to no instance"):
        scheduler.start_schedule("x")


def test_a_part_that_cannot_be_closed_keeps_nothing_open(counting):
    def broken():
        raise RuntimeError("mine")

    counting.run_launcher.close = broken
    subscription = counting.compute_log_manager.subscribe(["a"], print)
    with pytest.raises(RuntimeError, match="mine"):
        counting.close()
    assert subscription.is_over
    assert counting.log.closed


def test_parts_are_made_once_and_closed_with_the_instance(make, caplog):
    caplog.set_level(logging.DEBUG)
    instance = make(QUEUE)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: (instance.run_coordinator, instance.compute_log_manager), range(32)))
    assert len(set(found)) == 1
    subscription = instance.compute_log_manager.subscribe(["a"], print)
    instance.close()
    instance.close()
    assert subscription.is_over
    with pytest.raises(UsageError, match="the instance is closed, and gives no scheduler"):
        instance.scheduler  # noqa: B018
