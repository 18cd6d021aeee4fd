"""Where code of users is called: what it raises is told apart from what foldlog raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Final

from ..errors import FoldlogError, UserCodeError
from ..events.errorinfo import ErrorInfo, clean
from ..reporting.interrupts import let_through

#: what is recorded of an error: its stack begins in the code that was called from here
error_info = partial(ErrorInfo.from_exception, called_by="foldlog.engine.execution.")


def user_code_error_boundary(
    error_cls: type[UserCodeError] = UserCodeError,
    msg_fn: Callable[[], str] = lambda: "code of a user raised",
    log_manager: logging.Logger | None = None,
) -> AbstractContextManager[None]:
    """Around a call of code that users wrote. What it raises becomes an `error_cls` with that as its cause.

    A FoldlogError passes as it is: its message already says where. So does what is no Exception, as an interrupt; but
    sys.exit() ends the code that called it, not the program around it. The message, of `msg_fn`, is followed by that of
    the error. `log_manager` is told, too, if given. Interrupts are let through here, and nearly only here: what foldlog
    does between two such calls is done as a whole.
    """
    return _Boundary(error_cls, msg_fn, log_manager)


class _Boundary(let_through):
    __slots__ = ("_error_cls", "_log", "_msg_fn")

    def __init__(
        self, error_cls: type[UserCodeError], msg_fn: Callable[[], str], log_manager: logging.Logger | None
    ) -> None:
        self._error_cls = error_cls
        self._msg_fn = msg_fn
        self._log = log_manager

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, FoldlogError) or not isinstance(error, Exception | SystemExit):
            return
        message = f"{self._msg_fn()}: {described(error)}"
        if self._log is not None:
            self._log.error(message, exc_info=error)
        raise self._error_cls(message) from error


OUTPUT_REMEDY: Final = (
    "Give what the definition declares, or declare what is given: out=, outs=, the return annotation."
)


def output_fault(problem: str, remedy: str = OUTPUT_REMEDY) -> UserCodeError:
    """The error that a function gave what it should not, or not what it should. Nothing was raised."""
    error = UserCodeError(problem)
    error.remedy = remedy
    return error


def described(error: BaseException) -> str:
    """The class and the message of an error, on one line."""
    try:
        text = str(error)
    except Exception as trouble:  # a user's exception may fail to print; that must not hide it
        text = f"<str() raised {type(trouble).__name__}>"
    first = text.strip().splitlines()[0] if text.strip() else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def shown(value: object) -> str:
    """The value as an error shows it: cut, as text that can be stored, and never an error of its own."""
    try:
        return clean(f"{value!r:.80}")
    except Exception as trouble:  # the same of its repr()
        return f"<{type(value).__name__}: repr() raised {type(trouble).__name__}>"
