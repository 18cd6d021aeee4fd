"""The traceback of a user's error, without the frames of foldlog, and of imports, that called the code."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Final

from ..errors import UserCodeError

_ENGINE: Final = str(Path(__file__).parent.parent) + os.sep  # not resolved, as the file names of a traceback are not


def own_error(error: BaseException) -> BaseException:
    """The user's own error, where foldlog has only said where it was raised."""
    return error.__cause__ if type(error) is UserCodeError and error.__cause__ is not None else error


def own_traceback(error: BaseException) -> str:
    """As Python prints it, causes too."""
    told = TracebackException.from_exception(error)
    _leave_out(told)
    return "".join(told.format()).rstrip()


def _is_left_out(file: str) -> bool:
    """Whether a frame is of foldlog, or of Python's import of the code."""
    return file.startswith((_ENGINE, "<frozen importlib")) or file == importlib.__file__


def _leave_out(first: TracebackException) -> None:
    seen: set[int] = set()
    rest: list[TracebackException | None] = [first]
    while rest:
        told = rest.pop()
        if told is None or id(told) in seen:
            continue
        seen.add(id(told))
        told.stack = StackSummary.from_list([frame for frame in told.stack if not _is_left_out(frame.filename)])
        rest += [told.__cause__, told.__context__, *(told.exceptions or ())]
