"""Throwaway servers for the tests: one of each kind for a whole test session, under pytest-xdist too.

A kind is one module of this package, named in `KINDS`, with
    PACKAGE     what `make servers` installs where `missing` finds something missing, words of the system's packages;
                None: the extra `test` has it, or the module's `install()` gets it, with `TOOLS`
    SERVICE     what that package starts together with the system, or None
    OPTIONAL    True: where this machine has none, its tests are skipped in CI too; may be left out
    NEEDS       another kind, of which it stands before the session's server, or None
    URL_ENV     environment variable with the URL of a server to use instead; nothing is started then
    missing()   what this machine lacks to start one, in words, or None
    Server      a process and its folder: `url`, `start`, `stop`, `kill`; made with the URL of what it needs
    fresh(url)  a context with an empty database (its URL) or an empty bucket of its own; after `url`, what it needs

Promises: the first test that needs a server starts it, at most once a session; it is gone when the session is, also
when pytest was interrupted or killed (keeper.py). Not here: what is skipped and what fails (tests/conftest.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

KINDS = ("postgres", "mysql", "s3", "azure", "pgbouncer")  # each after what it needs

START_SECONDS = 60  #: longest wait for a server to answer


class NoServer(Exception):
    """This machine has no such server, or it did not start; the message says what to do."""


def kind_of(name: str) -> ModuleType:
    """The module of a kind of server, by its name in `KINDS`."""
    return import_module(f"{__name__}.{name}")


def required(name: str) -> bool:
    """Whether it is a failure (in CI), rather than a reason to skip, that there is no server of this kind.

    One that is optional may be missing everywhere; one that is there and does not start is a failure like any other.
    """
    kind = kind_of(name)
    if getattr(kind, "OPTIONAL", False) and kind.missing() is not None:
        return False
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in ("CI", "FOLDLOG_REQUIRE_SERVERS"))


def used(session: Path) -> list[str]:
    """The kinds of servers that tests of this session have used."""
    return [name for name, answer in _answers(session) if "url" in answer]


def url(name: str, session: Path) -> str:
    """URL of the session's server of this kind; the first call of all processes starts it.

    `session`: a folder that the processes of one test session share; it holds the pid of their parent, `owner`.
    Raises NoServer, at once for every later call too.
    """
    needed(name, session)
    with open(session / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = session / f"{name}.json"
        if not answer.exists():
            answer.write_text(json.dumps(_find(name, session)))
        found = json.loads(answer.read_text())
    if "error" in found:
        raise NoServer(found["error"])
    return str(found["url"])


def needed(name: str, session: Path) -> list[str]:
    """URLs of the session's servers that one of this kind stands before: none, or one. Raises NoServer."""
    other = kind_of(name).NEEDS
    return [url(other, session)] if other else []


def stop_all(session: Path) -> None:
    """Stop what `url` has started and wait for the end of it."""
    for name, answer in reversed(_answers(session)):
        if "keeper" in answer:
            (session / f"{name}.stop").touch()
            _wait(lambda pid=answer["keeper"]: not alive(pid))


def _answers(session: Path) -> list[tuple[str, dict[str, Any]]]:
    files = ((name, session / f"{name}.json") for name in KINDS)
    return [(name, json.loads(file.read_text())) for name, file in files if file.exists()]


def _find(name: str, session: Path) -> dict[str, Any]:
    kind = kind_of(name)
    if elsewhere := os.environ.get(kind.URL_ENV):
        return {"url": elsewhere}
    if (lack := kind.missing()) is not None:
        return {"error": f"no server for {name}: {lack}; run `make servers`, or set {kind.URL_ENV}"}
    log = session / f"{name}.log"
    with open(log, "w") as out:
        # A session of its own: Ctrl-C stops pytest, and then the keeper stops the server in good order.
        keeper = subprocess.Popen(
            [sys.executable, "-m", "servers.keeper", name, str(session)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    ready = session / f"{name}.ready"
    _wait(lambda: ready.exists() or keeper.poll() is not None)
    if not ready.exists():
        keeper.kill()
        return {"error": f"the server for {name} did not start:\n{log.read_text()[-2000:]}"}
    return {"url": ready.read_text(), "keeper": keeper.pid}


def alive(pid: int) -> bool:
    """Whether the process still runs; one that has ended and waits for its parent counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:  # no /proc here
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(done: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
