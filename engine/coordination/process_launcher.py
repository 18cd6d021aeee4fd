"""Runs as processes of this machine, by a command of the user's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..config.fields import Field, folder, list_of, map_of, one_of, text
from ..config.ref import VARIABLE
from ..errors import UsageError
from .launcher import RunLauncher, WorkerHealth, WorkerStatus
from .processes import started

if TYPE_CHECKING:
    from ..views.records import Run

RUN_ID = "{run_id}"
SIGNALS = ("SIGTERM", "SIGINT", "SIGKILL")


class ProcessRunLauncher(RunLauncher):
    """Starts `command` on this machine, `{run_id}` in it replaced, and the instance in FOLDLOG_INSTANCE_REF.

    The worker opens it with `Instance.from_ref(InstanceRef.from_environment())`. It has a session of its own, so it
    outlives the process that launched it. `stop_signal` is what it is sent to stop: after SIGINT a Python program
    leaves its `with` blocks, and a run that is reported in one is recorded as canceled.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stop_signal: str = "SIGTERM",
    ) -> None:
        if not command:
            raise UsageError("command is empty; wanted a program and its arguments, as a list")
        self._command = list(command)
        self._env = dict(env or {})
        self._cwd = cwd
        self._signal = signal.Signals[stop_signal]
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {
            "command": list_of(text(), required=True),
            "env": map_of(text(secret=True), default={}),
            "cwd": folder(),
            "stop_signal": one_of(*SIGNALS, default="SIGTERM"),
        }

    def start_worker(self, run: Run) -> dict[str, str]:
        """Start the process. Raises UsageError if the program is not there, or the instance lives in memory."""
        command = [part.replace(RUN_ID, run.run_id) for part in self._command]
        env = os.environ | self._env | {VARIABLE: self.instance.get_ref().to_json()}
        try:
            worker = subprocess.Popen(
                command, env=env, cwd=self._cwd, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=True
            )
        except OSError as error:
            raise UsageError(f"run_launcher: {command[0]!r} cannot be started: {error.strerror}") from error
        with self._lock:
            self._workers = {name: one for name, one in self._workers.items() if one.poll() is None}
            self._workers[run.run_id] = worker
        return {
            "process_id": str(worker.pid),
            "host": socket.gethostname(),
            "started": started(worker.pid) or "",  # empty: it is over already
        }

    def terminate(self, run_id: str) -> bool:
        launched = self.handle(run_id)
        if launched is None or self.check_health(run_id).status is not WorkerStatus.RUNNING:
            return False
        try:
            os.kill(int(launched.handle["process_id"]), self._signal)
        except ProcessLookupError:  # it ended in between
            return False
        return True

    def check_health(self, run_id: str) -> WorkerHealth:
        launched = self.handle(run_id)
        if launched is None:
            return WorkerHealth(WorkerStatus.UNKNOWN, "it was not launched")
        handle = launched.handle
        if handle.get("host") != socket.gethostname() or not handle.get("process_id", "").isdigit():
            return WorkerHealth(WorkerStatus.UNKNOWN, f"it was launched on {handle.get('host')}, ask there")
        with self._lock:
            own = self._workers.get(run_id)
        code = own.poll() if own is not None else None  # also takes its end in, or it would stay in the table
        if code is not None:
            return WorkerHealth(WorkerStatus.GONE, f"process {handle['process_id']} ended with code {code}")
        if not handle.get("started") or started(int(handle["process_id"])) != handle["started"]:
            return WorkerHealth(WorkerStatus.GONE, f"process {handle['process_id']} is gone")
        return WorkerHealth(WorkerStatus.RUNNING, f"process {handle['process_id']} runs")

    def join(self, timeout_s: float = 30.0) -> bool:
        deadline = time.monotonic() + timeout_s
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        return True
