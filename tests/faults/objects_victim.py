"""A process that tells a story on a log in a folder, and kills itself before a request that changes something: started
by test_objects_killed.py with the URL and the number of the request; tells what it knows, a line of JSON each."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from story import tell

from foldlog import open_log
from foldlog.backends.objectstore.stores.local import LocalObjects


def note(mark: Any) -> None:
    os.write(1, json.dumps(mark).encode() + b"\n")


def mortal(really: Callable[..., Any], numbers: Any, last: int) -> Callable[..., Any]:
    def request(*arguments: Any) -> Any:
        if next(numbers) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return really(*arguments)

    return request


if __name__ == "__main__":
    url, last = sys.argv[1], int(sys.argv[2])
    numbers = itertools.count(1)
    for name in ("create", "put", "delete"):
        setattr(LocalObjects, name, mortal(getattr(LocalObjects, name), numbers, last))
    log = open_log(url)
    tell(log, note)
    log.close()
