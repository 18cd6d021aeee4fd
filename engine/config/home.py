"""The folder of a deployment: FOLDLOG_HOME, and foldlog.yaml in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageError

VARIABLE = "FOLDLOG_HOME"
FILE = "foldlog.yaml"


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that FOLDLOG_HOME names. Raises UsageError, with what to do, if it names none."""
    given = environment.get(VARIABLE)
    if not given:
        raise _no_home(
            f"{VARIABLE} is not set, so there is no telling which instance is meant",
            f"Set {VARIABLE} to a folder (export {VARIABLE}=~/foldlog), or open a log by its URL: "
            "Instance.from_url('sqlite:///./history'). Instance.ephemeral() is one in memory.",
        )
    folder = Path(given)
    if not folder.is_absolute():
        raise _no_home(
            f"{VARIABLE}={given!r} is relative, so each working directory would have an instance of its own",
            f"Set {VARIABLE} to an absolute path, for example {str(Path(given).absolute())!r}; `~` is the shell's to "
            "replace, so leave it outside of quotes.",
        )
    if not folder.is_dir():
        reason = "is no folder" if folder.exists() else "does not exist"
        raise _no_home(f"{VARIABLE}={given!r} {reason}", f"Make the folder (mkdir -p {given}), or correct {VARIABLE}.")
    return folder


def file_in(folder: Path) -> Path | None:
    """The configuration file of a folder, if it has one. Raises UsageError for one with the ending .yml."""
    if (file := folder / FILE).is_file():
        return file
    if (other := folder / "foldlog.yml").is_file():
        raise _no_home(f"{other} is not read", f"Name it {FILE}.")
    return None


def _no_home(problem: str, remedy: str) -> UsageError:
    error = UsageError(problem)
    error.remedy = remedy
    return error
