"""The traceback of a user's error, as raised or as recorded, without the frames of foldlog that called the code."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import TYPE_CHECKING, Final

from ..errors import UserCodeError

if TYPE_CHECKING:
    from ..events.errorinfo import ErrorInfo

_ENGINE: Final = str(Path(__file__).parent.parent) + os.sep  # not resolved, as the file names of a traceback are not


_FRAME: Final = re.compile(r'\s*File "([^"]*)"')
_OURS: Final = re.compile(r"^foldlog\.(?:\w+\.)*(\w+)(?=:|$)", re.MULTILINE)  #: a class of foldlog's, with its module
_INSTALLED: Final = re.compile(r"[/\\]foldlog[/\\]engine[/\\]")  #: of foldlog on whatever machine has recorded it

_WRAPPER: Final = re.compile(r"foldlog\.(?:\w+\.)*(?:UserCodeError|StepCodeError)")  #: says only where its cause arose


def own_error(error: BaseException) -> BaseException:
    """The user's own error, where foldlog has only said where it was raised."""
    return error.__cause__ if type(error) is UserCodeError and error.__cause__ is not None else error


def own_traceback(error: BaseException) -> str:
    """As Python prints it, causes too."""
    told = TracebackException.from_exception(error)
    _leave_out(told)
    return _with_known_names("".join(told.format()).rstrip())


def recorded_traceback(error: ErrorInfo) -> str:
    """An error that was recorded, as Python prints it, causes too."""
    from ..events.errorinfo import CAUSED, ErrorInfo

    told = []
    causes = [one for one in error.causes() if one.cause is None or not _WRAPPER.fullmatch(one.class_name)]
    for one in reversed(causes):
        stack = tuple(frame for frame in one.stack if not _is_recorded_of_foldlog(frame))
        told.append(str(ErrorInfo(class_name=one.class_name, message=one.message, stack=stack)))
    return _with_known_names(CAUSED.join(told).rstrip())


def _with_known_names(text: str) -> str:
    """Classes of foldlog as users import them: `UsageError`, not where it is defined."""
    return _OURS.sub(r"\1", text)


def _is_recorded_of_foldlog(frame: str) -> bool:
    file = _FRAME.match(frame)
    return file is not None and (_is_left_out(file[1]) or _INSTALLED.search(file[1]) is not None)


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
