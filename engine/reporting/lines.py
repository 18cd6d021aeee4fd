"""Lines of the standard logging, taken into a run."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Protocol

from ..events.errorinfo import ErrorInfo, clean
from ..events.log import LogMessage


class Sink(Protocol):
    """What takes the lines of one run: its reporter or recorder."""

    def say(self, line: LogMessage, step_key: str | None = None) -> None: ...


#: the run that this thread is at work for, and the step that it is in, if any: where a line of the standard logging
#: belongs
step_here: ContextVar[tuple[Sink, str | None] | None] = ContextVar("foldlog_step", default=None)


class RunHandler(logging.Handler):
    """Hands the lines of a standard logger to a run, but for foldlog's own: recording one must not make another. And
    but for those of a thread that is at work for another run.

    `step_key`: the step that all its lines are of; by default the one that the thread is in.
    """

    def __init__(self, run: Sink, level: int = logging.INFO, *, step_key: str | None = None) -> None:
        super().__init__(level)
        self._run = run
        self._step_key = step_key

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "foldlog" or record.name.startswith("foldlog."):
            return
        here = step_here.get() if self._step_key is None else None
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
