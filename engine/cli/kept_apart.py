"""The output of a command that answers in JSON: what the code of users prints must not come between."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_apart(as_json: bool = True) -> Iterator[None]:
    """Inside, what code and the programs that it starts print goes to the error stream, if the other is for JSON.

    So does what is written to a `sys.stdout` that the code has kept, by `from sys import stdout` or in a handler of the
    standard logging.
    """
    if not as_json:
        yield
        return
    from contextlib import redirect_stdout

    held = sys.__stdout__
    try:
        own = os.dup(1) if sys.stdout is held else None
    except OSError:  # closed by whoever called
        own = None
    if own is not None and held is not None:
        held.flush()
        os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if own is not None and held is not None:
            held.flush()  # what code has written to it, and what is still in its buffer, before that is the answer's
            os.dup2(own, 1)
            os.close(own)
