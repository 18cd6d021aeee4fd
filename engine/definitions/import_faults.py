"""Errors of importing a user's code, told with the place in that code."""

from __future__ import annotations

import importlib
import sysconfig
import traceback
from pathlib import Path
from typing import Final

from ..errors import UsageError, fault

_ENGINE: Final = Path(__file__).parent.parent  # not resolved, as the file names of a traceback are not


def no_module(name: str, error: ModuleNotFoundError) -> UsageError:
    """A module was not found: the one asked for, or one that it imports."""
    missing, place = error.name or str(error), place_of(error)
    if place is None and (name == missing or name.startswith(f"{missing}.")):
        return fault(
            f"there is no module {missing!r}",
            "Correct the name, run the command in the folder that has it, or install it into this environment.",
        )
    at = f"at {place}: " if place else ""
    return fault(
        f"importing {name} failed {at}it imports {missing!r}, which is not there",
        f"Install what has {missing} into this environment, or correct the import.",
    )


def import_fault(name: str, error: BaseException) -> UsageError:
    """Anything else that the code raised while it was imported."""
    place = place_of(error)
    at = f" at {place}" if place else ""
    if isinstance(error, SystemExit):
        return fault(
            f"importing {name} ended the program{at}",
            "Put what a script does behind `if __name__ == '__main__':`.",
        )
    if isinstance(error, UsageError):  # of a definition: it has said all but where
        return fault(f"importing {name} failed{at}: {error}", error.remedy)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return fault(
        f"importing {name} failed{at}: {type(error).__name__}{f': {text}' if text else ''}",
        "Correct the code there; the whole traceback is the cause of this error.",
    )


def place_of(error: BaseException) -> str | None:
    """`FILE:LINE` of the last line of the user's own that led to the error; of a library if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_code(frame.filename)]
    frames = [frame for frame in frames if not _is_library(frame.filename)] or frames
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _is_code(file: str) -> bool:
    """Neither of the import machinery nor of foldlog."""
    return not file.startswith("<frozen ") and file != importlib.__file__ and not Path(file).is_relative_to(_ENGINE)


def _is_library(file: str) -> bool:
    paths = sysconfig.get_paths()
    return any(Path(file).is_relative_to(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
