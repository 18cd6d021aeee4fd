"""Run config from YAML files, so that what is wrong in it is told with file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import document
from ..config.place import Place, Source, meant
from ..errors import fault
from .run_config import REMEDY, ReadConfig, merged


def read_run_config(files: Sequence[str | Path]) -> ReadConfig | None:
    """The files together, a later one over an earlier, mappings key by key; None if there are none.

    Raises UsageError for a file that cannot be read, is no YAML, or holds no mapping. What it says is held against a
    job later, by `check_run_config`.
    """
    found: ReadConfig | None = None
    for file in files:
        given, source = _read(Path(file))
        found = ReadConfig(given, source) if found is None else _over(given, source, found)
    return found


def _over(given: Mapping[str, Any], source: Source, under: ReadConfig) -> ReadConfig:
    return ReadConfig(merged(dict(under), given), source.over(under.source))


def _read(file: Path) -> tuple[Mapping[str, Any], Source]:
    if not file.exists():
        near = sorted(one.name for one in file.parent.glob("*.y*ml"))
        raise fault(f"there is no file {file}{meant(file.name, near)}", "Correct the path of the run config.")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise fault(f"{file} cannot be read: {error}", "Give a file of YAML in UTF-8.") from error
    given, source = document.read(text, str(file), REMEDY)
    if given is None:
        return {}, source
    if not isinstance(given, Mapping):
        raise Place((), source, remedy=REMEDY).fault(
            f"this is a {type(given).__name__}; wanted a mapping, with the keys ops, resources or inputs"
        )
    return given, source
