"""Lines of the standard logging, taken into a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from ..events.errorinfo import ErrorInfo, clean
from ..events.log import LogMessage
from ..log.writer import is_writer_at_work, is_writer_here

#: what stores are reached with; some of these log from threads of their own as an append is made
DRIVERS = frozenset({"botocore", "fsspec", "psycopg2", "s3fs", "sqlalchemy", "urllib3"})


class Sink(Protocol):
    """What takes the lines of one run: its reporter or recorder."""

    def say(self, line: LogMessage, step_key: str | None = None) -> None: ...


#: the run that this thread is at work for, and the step that it is in, if any: where a line of the standard logging
#: belongs
step_here: ContextVar[tuple[Sink, str | None] | None] = ContextVar("foldlog_step", default=None)


class _Quiet(threading.local):
    depth = 0


_quiet = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, what this thread logs is not taken into a run: it is recording, or telling a listener that it did."""
    _quiet.depth += 1
    try:
        yield
    finally:
        _quiet.depth -= 1


class RunHandler(logging.Handler):
    """Hands the lines of a standard logger to a run. Recording a line must not make another, so these are left out:
    foldlog's own; what a thread logs as it records or commits, a listener too; and, from threads that are in no step,
    what `DRIVERS` log while an append is being made. And those of a thread that is at work for another run.

    `step_key`: the step that all its lines are of; by default the one that the thread is in.
    """

    def __init__(self, run: Sink, level: int = logging.INFO, *, step_key: str | None = None) -> None:
        super().__init__(level)
        self._run = run
        self._step_key = step_key

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "foldlog" or record.name.startswith("foldlog."):
            return
        if _quiet.depth or is_writer_here():
            return
        in_step = step_here.get()
        if in_step is None and is_writer_at_work() and record.name.partition(".")[0] in DRIVERS:
            return
        here = in_step if self._step_key is None else None
        if here is not None and here[0] is not self._run:
            return  # this thread is at work for another run, which records the line
        try:
            error = record.exc_info[1] if record.exc_info else None
            line = LogMessage(
                text=clean(record.getMessage()),
                level=record.levelno,
                logger=clean(record.name),
                error=ErrorInfo.from_exception(error) if error is not None else None,
            )
        except Exception:  # a message whose arguments do not fit it
            self.handleError(record)
            return
        self._run.say(line, self._step_key if here is None else here[1])
