"""Lines of the standard logging, taken into a run."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ..events.errorinfo import ErrorInfo, clean
from ..events.log import LogMessage

if TYPE_CHECKING:
    from .run import RunReporter
    from .step import StepReporter

#: the step this thread is in, so that a line taken by the standard logging finds it
step_here: ContextVar[StepReporter | None] = ContextVar("foldlog_step", default=None)


class RunHandler(logging.Handler):
    """Hands the lines of a standard logger to a run, but for foldlog's own: recording one must not make another."""

    def __init__(self, run: RunReporter, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "foldlog" or record.name.startswith("foldlog."):
            return
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
        step = step_here.get()
        self._run._say(line, step.step_key if step is not None and step.run is self._run else None)
