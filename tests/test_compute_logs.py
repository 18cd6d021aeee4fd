"""Compute logs: what is printed is kept, whoever prints it; what is kept is read in pieces, followed, and deleted."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from foldlog import ComputeLogManager, LocalArtifactStorage, UsageError
from foldlog.engine.artifacts import LocalComputeLogManager, NoOpComputeLogManager
from foldlog.engine.artifacts.compute_logs import step_log_key
from foldlog.engine.artifacts.names import file_name

KEY = ("run-1", "compute_logs", "extract-1")
OTHER = ("run-1", "compute_logs", "load-1")
WAIT_S = 20  #: how long a thread is waited for that should come at once


@pytest.fixture
def logs(tmp_path):
    manager = LocalComputeLogManager(tmp_path / "storage", polling_timeout_s=0.01)
    yield manager
    manager.close()


def printed(logs: ComputeLogManager, key=KEY) -> tuple[bytes, bytes]:
    data = logs.get_log_data(key)
    return data.stdout, data.stderr


# -- capturing --------------------------------------------------------------------------------------------------------


def test_all_that_a_process_prints_is_kept(logs, capfd):
    with logs.capture_logs(KEY) as where:
        os.write(1, b"by number\n")
        subprocess.run("echo of a child; echo to stderr >&2", shell=True, check=True)
        ctypes.CDLL(None).puts(b"of a library in C")  # stays in a buffer of its own until somebody flushes it
        assert not logs.is_capture_complete(KEY)
    os.write(1, b"after it\n")
    assert printed(logs) == (b"by number\nof a child\nof a library in C\n", b"to stderr\n")
    assert logs.is_capture_complete(KEY)
    assert Path(where.stdout_location).read_bytes() == printed(logs)[0]
    assert capfd.readouterr().out == "after it\n"


def test_what_python_had_not_flushed_goes_where_it_was_printed(tmp_path):
    code = f"""
from foldlog.engine.artifacts import LocalComputeLogManager
logs = LocalComputeLogManager({str(tmp_path)!r})
print("before")
with logs.capture_logs({KEY!r}):
    print("inside")
print("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert printed(LocalComputeLogManager(tmp_path))[0] == b"inside\n"


def test_the_innermost_capture_takes_all(logs):
    with logs.capture_logs(KEY):
        os.write(1, b"outer 1\n")
        with logs.capture_logs(OTHER):
            os.write(1, b"inner\n")
        os.write(1, b"outer 2\n")
    assert printed(logs) == (b"outer 1\nouter 2\n", b"")
    assert printed(logs, OTHER) == (b"inner\n", b"")


def test_captures_may_end_in_another_order_than_they_began(logs, capfd):
    first, second = logs.capture_logs(KEY), logs.capture_logs(OTHER)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(1, b"of the second\n")
    second.__exit__(None, None, None)
    os.write(1, b"of nobody\n")
    assert (printed(logs)[0], printed(logs, OTHER)[0]) == (b"", b"of the second\n")
    assert capfd.readouterr().out == "of nobody\n"


def test_captures_leave_no_descriptor_open(logs):
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    before = len(list(folder.iterdir()))
    for _ in range(20):
        with logs.capture_logs(KEY), logs.capture_logs(OTHER):
            pass
    assert len(list(folder.iterdir())) == before


def test_an_error_passes_and_the_log_is_complete(logs):
    def fail():
        with logs.capture_logs(KEY):
            os.write(2, b"about to fail\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert printed(logs) == (b"", b"about to fail\n")
    assert logs.is_capture_complete(KEY)


def test_a_killed_process_leaves_what_it_printed_and_no_mark(logs, tmp_path):
    code = f"""
import os, signal
from foldlog.engine.artifacts import LocalComputeLogManager
with LocalComputeLogManager({str(tmp_path / "storage")!r}).capture_logs({KEY!r}):
    os.write(1, b"last words\\n")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert printed(logs) == (b"last words\n", b"")
    assert not logs.is_capture_complete(KEY)


def test_a_process_without_streams_can_be_captured(tmp_path):
    code = f"""
import os
from foldlog.engine.artifacts import LocalComputeLogManager
os.close(1); os.close(2)
with LocalComputeLogManager({str(tmp_path)!r}).capture_logs({KEY!r}):
    os.system("echo heard")
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert printed(LocalComputeLogManager(tmp_path))[0] == b"heard\n"


def test_an_attempt_overwrites_nothing_and_the_same_key_goes_on(logs):
    keys = [step_log_key("run-1", "extract", attempt) for attempt in (1, 2)]
    assert keys[0] == KEY
    for key in keys:
        with logs.capture_logs(key):
            os.write(1, f"{key[2]}\n".encode())
    with logs.capture_logs(keys[1]):
        assert not logs.is_capture_complete(keys[1])
        os.write(1, b"again\n")
    assert [printed(logs, key)[0] for key in keys] == [b"extract-1\n", b"extract-2\nagain\n"]
    with pytest.raises(UsageError, match="attempt=0"):
        step_log_key("run-1", "extract", 0)


def test_a_stream_is_written_to_without_capturing(logs):
    with logs.open_log_stream(KEY, "stderr") as stream:
        stream.write(b"one\n")
    with logs.open_log_stream(KEY, "stderr") as stream:
        stream.write(b"two\n")
    assert printed(logs) == (b"", b"one\ntwo\n")
    assert not logs.is_capture_complete(KEY)


# -- reading ----------------------------------------------------------------------------------------------------------


def write(logs, out=b"", err=b"", key=KEY):
    for io_type, data in (("stdout", out), ("stderr", err)):
        with logs.open_log_stream(key, io_type) as stream:
            stream.write(data)


def test_a_log_is_read_in_pieces(logs):
    text = "grün\n".encode() * 3
    write(logs, text, b"e" * 5)
    pieces, cursor = [], None
    while True:
        data = logs.get_log_data(KEY, cursor, max_bytes=4)
        if not (data.stdout or data.stderr):
            break
        assert max(len(data.stdout), len(data.stderr)) <= 4
        pieces.append(data)
        cursor = data.cursor
    assert b"".join(piece.stdout for piece in pieces) == text
    assert b"".join(piece.stderr for piece in pieces) == b"eeeee"
    assert pieces[0].cursor == "4:4"
    assert cursor == f"{len(text)}:5"
    write(logs, b"more")
    assert logs.get_log_data(KEY, cursor).stdout == b"more"


def test_a_log_that_is_not_there_is_empty(logs):
    assert logs.get_log_data(KEY) == (KEY, b"", b"", "0:0")
    assert logs.get_log_data(KEY, "7:9").cursor == "7:9"
    assert logs.get_log_metadata(KEY) == (None, None)
    assert not logs.is_capture_complete(KEY)


@pytest.mark.parametrize("manager", ["local", "none"])
def test_what_cannot_be_asked_is_refused(manager, logs):
    manager = logs if manager == "local" else NoOpComputeLogManager()
    for cursor in ("x", "1", "1:", "-1:0", "1:2:3", ":", "1.0:0", "٣:0"):
        with pytest.raises(UsageError, match="no cursor of a compute log"):
            manager.get_log_data(KEY, cursor)
    for size in (0, -1, 2**40):
        with pytest.raises(UsageError, match="max_bytes"):
            manager.get_log_data(KEY, max_bytes=size)
    for key in ("run-1", [], ()):
        with pytest.raises(UsageError, match="no key of a compute log"):
            manager.subscribe(key, print)
        with pytest.raises(UsageError, match="no key of a compute log"):
            manager.delete_logs(key)
        with pytest.raises(UsageError, match="no key of a compute log"):
            with manager.capture_logs(key):
                pass
    for both in ((None, None), (KEY, KEY)):
        with pytest.raises(UsageError, match="a log_key or a prefix"):
            manager.delete_logs(*both)
    with pytest.raises(UsageError, match="no cursor"):
        manager.subscribe(KEY, print, cursor="x")


# -- deleting ---------------------------------------------------------------------------------------------------------


def test_one_log_or_all_of_a_prefix_are_deleted(logs, tmp_path):
    longer = ("run-1", "compute_logs", "extract-1", "more")
    other_run = ("run-10", "compute_logs", "extract-1")
    for key in (KEY, OTHER, longer, other_run):
        with logs.capture_logs(key):
            os.write(1, b"x")
    kept = LocalArtifactStorage(tmp_path / "storage").path("run-1", "model.out")
    kept.parent.mkdir(parents=True)
    kept.write_text("a file of a step")
    logs.delete_logs(KEY)
    assert [printed(logs, key)[0] for key in (KEY, OTHER, longer)] == [b"", b"x", b"x"]
    assert not logs.is_capture_complete(KEY)
    logs.delete_logs(prefix=["run-1"])
    assert [printed(logs, key)[0] for key in (OTHER, longer, other_run)] == [b"", b"", b"x"]
    assert kept.read_text() == "a file of a step"
    assert not (tmp_path / "storage" / "run-1" / "compute_logs").exists()
    logs.delete_logs(prefix=["run-1"])
    logs.delete_logs(KEY)
    logs.delete_logs(prefix=other_run)
    assert printed(logs, other_run)[0] == b""


# -- following --------------------------------------------------------------------------------------------------------


class Listener:
    def __init__(self):
        self.out, self.calls = b"", 0
        self.heard = threading.Condition()

    def __call__(self, data):
        with self.heard:
            self.out += data.stdout
            self.calls += 1
            self.heard.notify_all()

    def wait_for(self, text):
        with self.heard:
            assert self.heard.wait_for(lambda: text in self.out, WAIT_S), self.out


def wait_until_over(*subscriptions):
    pause = threading.Event()
    for _ in range(WAIT_S * 100):
        if all(one.is_over for one in subscriptions):
            return
        pause.wait(0.01)
    raise AssertionError("a subscription does not end")


def test_a_subscriber_is_told_of_all_until_it_is_complete(logs):
    early, late = Listener(), Listener()
    subscription = logs.subscribe(KEY, early)
    with logs.capture_logs(KEY):
        os.write(1, b"one ")
        early.wait_for(b"one ")
        os.write(1, b"two ")
    second = logs.subscribe(KEY, late, cursor="4:0")
    wait_until_over(subscription, second)
    assert early.out == b"one two "
    assert late.out == b"two "
    logs.unsubscribe(subscription)  # once more is no matter


def test_who_leaves_is_told_nothing_more(logs):
    stays, leaves = Listener(), Listener()
    logs.subscribe(KEY, stays)
    subscription = logs.subscribe(KEY, leaves)
    write(logs, b"one ")
    stays.wait_for(b"one ")
    leaves.wait_for(b"one ")
    logs.unsubscribe(subscription)
    write(logs, b"two ")
    stays.wait_for(b"two ")
    assert leaves.out == b"one "


def test_a_subscriber_that_raises_disturbs_nobody(logs, caplog):
    def broken(data):
        raise RuntimeError("mine")

    heard = Listener()
    bad, good = logs.subscribe(KEY, broken), logs.subscribe(KEY, heard)
    write(logs, b"one ")
    heard.wait_for(b"one ")
    wait_until_over(bad)
    assert not good.is_over
    assert "is told no more" in caplog.text


def test_a_subscriber_may_leave_from_inside(logs):
    def leave(data):
        logs.unsubscribe(subscription)

    subscription = logs.subscribe(OTHER, leave)
    write(logs, b"x", key=OTHER)
    wait_until_over(subscription)


def test_closing_ends_all_subscriptions_and_the_thread(logs):
    subscription = logs.subscribe(KEY, Listener())
    logs.close()
    assert subscription.is_over
    assert not any(thread.name == "foldlog-compute-logs" for thread in threading.enumerate())
    logs.close()
    heard = Listener()
    write(logs, b"later")
    logs.subscribe(KEY, heard)  # one may begin anew
    heard.wait_for(b"later")


# -- none, and names --------------------------------------------------------------------------------------------------


def test_the_manager_that_keeps_nothing(capfd):
    logs = NoOpComputeLogManager()
    with logs.capture_logs(KEY):
        os.write(1, b"goes on\n")
    with logs.open_log_stream(KEY, "stdout") as stream:
        stream.write(b"nowhere")
    assert capfd.readouterr().out == "goes on\n"
    assert printed(logs) == (b"", b"")
    assert logs.is_capture_complete(KEY)
    assert logs.get_log_metadata(KEY) == (None, None)
    logs.delete_logs(KEY)
    subscription = logs.subscribe(KEY, print)
    wait_until_over(subscription)


HOSTILE = ["../x", "..", ".", "/etc/passwd", "a/b", "a\\b", "a\0b", "x" * 300, "é" * 200, "Run", "RUN", "run", "run~1"]
HOSTILE += [
    "con",
    "nul.txt",
    "a.",
    "a ",
    " a",
    "~",
    "\ud800",
    "a\nb",
    ".hidden",
    "-rf",
    "x" * 121,
    "x" * 120,
    "X" * 300,
]


def test_any_name_is_a_file_of_its_own_in_the_folder(logs, tmp_path):
    for number, name in enumerate(HOSTILE):
        for key in ((name, "compute_logs", "s"), ("r", "compute_logs", name)):
            write(logs, f"{number} {key[0] == name}".encode(), key=key)
    for number, name in enumerate(HOSTILE):
        for key in ((name, "compute_logs", "s"), ("r", "compute_logs", name)):
            assert printed(logs, key)[0] == f"{number} {key[0] == name}".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]
    assert all(len(os.fsencode(path.name)) <= 130 for path in tmp_path.rglob("*"))
    lower = [file_name(name).lower() for name in HOSTILE]
    assert len(set(lower)) == len(HOSTILE), "two names share a file where the system knows no case"


@pytest.mark.parametrize("name", ["", None, 7, b"x"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UsageError, match="names no file"):
        file_name(name)


def test_names_are_for_ever():
    assert file_name("4f1c2a7e-0b9d-4a43-8f0e-9d3f3a0f6d11") == "4f1c2a7e-0b9d-4a43-8f0e-9d3f3a0f6d11"
    assert file_name("extract_orders.v2-1") == "extract_orders.v2-1"
    assert file_name("Extract/../Orders") == "extract-orders~a5a33f23bf4053a945f6949cdd8b4fd4"


def test_artifacts_have_places(tmp_path):
    storage = LocalArtifactStorage(tmp_path / "s")
    assert storage.base_dir == tmp_path / "s"
    assert storage.run_folder("run-1") == tmp_path / "s/run-1"
    assert storage.path("run-1", "step", "model.bin") == tmp_path / "s/run-1/files/step/model.bin"
    assert storage.compute_logs_folder("run-1") == tmp_path / "s/run-1/compute_logs"
    assert (tmp_path / "s") in storage.path("../..", "../../x", "\0").parents
    assert storage.schedule_folder("nightly") not in {storage.run_folder("schedules"), storage.run_folder("schedules~")}
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="names no file"):
        storage.path("run-1", "")
