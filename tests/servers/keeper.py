"""`python -m servers.keeper KIND SESSION`: hold one server for a test session, and end with it.

A process of its own, since none of the others will do: pytest's workers end one after the other while the server is
still used, and pytest itself may be killed. The session's folder says when to end: its file KIND.stop appears, the
folder goes away, or the process whose pid is in `owner` is no more.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import alive, kind_of, needed

ROOM = 6 * 1024**3  #: bytes that must be free there


def main(name: str, session: Path) -> None:
    owner = int((session / "owner").read_text())
    # Ending by a signal must stop the server as well: `with` runs on SystemExit, not on a signal's default action.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    tempfile.tempdir = _in_memory()
    with kind_of(name).Server(*needed(name, session)) as server:
        server.start()
        partial = session / f"{name}.ready.partial"
        partial.write_text(server.url)
        partial.rename(session / f"{name}.ready")
        while alive(owner) and session.exists() and not (session / f"{name}.stop").exists():
            time.sleep(0.1)
    if not alive(owner):
        shutil.rmtree(session, ignore_errors=True)


def _in_memory() -> str | None:
    """A folder whose syncs cost nothing, if this machine has one with room. Making hundreds of databases is half of the
    time of these tests; what a crash leaves on a disk is tested on servers of the tests' own (`mysql_server`)."""
    folder = "/dev/shm"
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    return folder if shutil.disk_usage(folder).free >= ROOM else None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
