"""A program: compacts and collects copies of a log in a folder, each killed at another operation of the store, and
looks at what is left. Prints how many it killed. One process that forks, for a new interpreter costs more than all the
rest.

    python killing.py TEMPLATE COPY compact|collect before|after
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar

from foldlog.backends.objectstore import names
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores import Found, Objects, open_objects

sys.path.insert(0, str(Path(__file__).parent))
from seam import add_steps, append, catch_up, words

T = TypeVar("T")
#: kinds that a first collection makes itself, and a later one takes
OWN = {"slots", "guards"}


class Deadly:
    """Objects whose n-th operation that changes something is the last thing this process does."""

    def __init__(self, objects: Objects, n: int, when: str) -> None:
        self.url = objects.url
        self.objects = objects
        self._left = n
        self._when = when
        self._lock = Lock()

    def create(self, name: str, data: bytes) -> bool:
        return self._done(lambda: self.objects.create(name, data))

    def put(self, name: str, data: bytes) -> None:
        self._done(lambda: self.objects.put(name, data))

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return self.objects.get(name, start=start, end=end)

    def list(self, prefix: str) -> list[Found]:
        return self.objects.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        for part in (names[:1], names[1:2], names[2:]):  # a request for many may have done a part of it
            if part:
                self._done(lambda part=part: self.objects.delete(part))  # type: ignore[misc]

    def close(self) -> None:
        self.objects.close()

    def _done(self, deed: Callable[[], T]) -> T:
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        given = deed()
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return given


def opened(folder: str) -> Objects:
    return open_objects(f"file://{folder}?durability=process", create=False)


def make(folder: str) -> None:
    """A log with all kinds of garbage, days old."""
    objects = open_objects(f"file://{folder}?durability=process", create=True)
    killed = ObjectBackend(objects)  # never closed: its registration stays
    append(killed, "left", "left")
    backend = ObjectBackend(objects)
    add_steps(backend, 135)
    for run in range(3):
        for at in range(3):
            append(backend, f"run{run}", f"{run}.{at}" + "x" * 70_000 * (run == 0 and at == 0))
    catch_up(backend)
    for run in range(2):
        backend.seal(f"run{run}")
    backend.compact()
    backend.seal("run2")  # for the compaction that will be killed
    backend.fence("run1")
    catch_up(backend)
    backend._packer.free_folder = lambda shard: None  # type: ignore[method-assign]  # killed before it frees
    backend.purge("run1", keep=False)
    objects.delete([names.block(0)])
    objects.delete([names.checkpoint(128)])
    objects.put(names.pack("run2", 1, 2, "ab"), b"left")
    objects.put("probe/left", b"left")
    old = time.time() - 4 * 24 * 3600
    for path in Path(folder).rglob("*"):
        os.utime(path, (old, old))


def looks(folder: str) -> list[object]:
    """What a reader sees."""
    backend = ObjectBackend(opened(folder), read_only=True)
    found: list[object] = [backend.head(), timeline_of(backend), backend.diagnose(full=True)]
    found += [words(backend, shard) for shard in ("left", "filler", "run0", "run1", "run2")]
    return found


def timeline_of(backend: ObjectBackend) -> list[str]:
    return [one.record.body.decode() if one.record else "-" for one in backend.read(after=0, limit=10_000, types=None)]


def in_child(deed: Callable[[], object]) -> int:
    """How a forked child ended: 0 well, else by a fault or a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            deed()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(template: str, copy: str, deed: str, when: str) -> None:
    if in_child(lambda: make(template)):
        raise SystemExit("the log could not be made")
    expected = looks(template)
    n = 0
    while True:
        n += 1
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(template, copy, copy_function=os.link)  # no file is ever changed, only replaced
        ended = in_child(lambda n=n: getattr(ObjectBackend(Deadly(opened(copy), n, when)), deed)())  # type: ignore[misc]
        if ended == 0:
            break
        if ended != -signal.SIGKILL:
            raise SystemExit(f"{deed}, {when} operation {n}: it ended with {ended}")
        if in_child(lambda n=n: check(copy, expected, f"{deed}, {when} operation {n}")):  # type: ignore[misc]
            raise SystemExit(f"{deed}, {when} operation {n}: see above")
    print(n - 1)


def check(folder: str, expected: list[object], where: str) -> None:
    """All is read as before; the next compaction and collection come to their end, and then too."""
    seen = looks(folder)
    if seen != expected:
        raise SystemExit(f"{where}: {seen} is not {expected}")
    backend = ObjectBackend(opened(folder))
    backend.compact()
    backend.collect()
    if backend._compactor.scattered() or backend.collect().garbage.keys() - OWN or looks(folder) != expected:
        raise SystemExit(f"{where}: something is left, or other than it was")
    append(backend, "run2", "more")
    catch_up(backend)


if __name__ == "__main__":
    main(*sys.argv[1:])
