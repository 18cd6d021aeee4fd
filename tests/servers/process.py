"""What the throwaway servers have in common: a process in a folder of its own, on a free port of loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

START_S = 30  #: how long it may take to answer
END_S = 20  #: how long to end


class ServerProcess:
    """One server and its folder. `with` ends the one and removes the other; nobody will read the data again."""

    NAME = "server"
    STOP = signal.SIGTERM  #: ends it in good order, whoever is still connected
    KILL = signal.SIGKILL  #: ends it as a crash does
    USERS: tuple[str, ...] = ()  #: whom to run it as where the tests run as root, the first that exists; (): as root

    port = 0  #: 0 before the first start

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._user = unprivileged(self.USERS) if self.USERS else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"foldlog-{self.NAME.lower()}-"))
        try:
            self.own(self.folder)
            self.initialize()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    # What a kind of server says of itself.

    def initialize(self) -> None:
        """Lay out the data, once."""

    def command(self) -> Sequence[str]:
        """What starts it, on `self.port`."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it is up."""
        raise NotImplementedError

    # What tests do with it.

    @property
    def pid(self) -> int:
        """Of the running server: to signal it otherwise than `stop` and `kill` do."""
        if self._process is None:
            raise RuntimeError(f"{self.NAME} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers; after `stop` or `kill`, on the same port and the same data."""
        again = self.port != 0
        for _ in range(3):  # a free port may be taken by the time that the server asks for it
            if not again:
                self.port = free_port()
            self._process = self.popen(*self.command())
            end = time.monotonic() + START_S
            while self._process.poll() is None and time.monotonic() < end:
                if self.answers():
                    return
                time.sleep(0.02)
            self.kill()
        raise RuntimeError(f"{self.NAME} did not start:\n{self.said()}")

    def stop(self) -> None:
        """Shut it down in good order, whoever is still connected."""
        self._end(self.STOP)

    def kill(self) -> None:
        """End it at once, as a crash does; what it had promised to keep, the next start recovers."""
        self._end(self.KILL)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # For the kinds.

    def popen(self, *command: str, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Run a program of the server as its user; what it prints goes to the log in the folder."""
        rights: dict[str, Any] = {}
        if self._user is not None:
            rights = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests
                **rights,
            )

    def write(self, name: str, text: str) -> Path:
        """A file in the folder that only the server and we can read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        """Hand it to the server's user."""
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def said(self) -> str:
        """The end of its log."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "log").read_text(errors="replace")[-2000:]
        return ""

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def unprivileged(names: Sequence[str]) -> pwd.struct_passwd | None:
    """Whom to run a server as that refuses to run as root; None: as who we are."""
    if os.geteuid() != 0:
        return None
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError(f"this server does not run as root, and the system has no user of {', '.join(names)}")


def programs(*names: str) -> Iterator[Path]:
    """The executables of these names in PATH and where systems keep their servers, which PATH need not have."""
    for name in names:
        for folder in [*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"]:
            if os.access(path := Path(folder) / name, os.X_OK):
                yield path


def answers(port: int, path: str) -> bool:
    """Whether a server of HTTP on loopback answers a request at all, if only to refuse it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status < 500
    return False


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
