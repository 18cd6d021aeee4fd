"""What [tool.foldlog] of a pyproject.toml says about where a project's code is.

[tool.foldlog]
module = "acme.pipelines"    # or: file = "jobs.py"
attribute = "defs"           # optional
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from ..config.checking import Context, check_section
from ..config.fields import Field, text
from ..config.place import Place, Source
from ..errors import fault

KEYS: Final[Mapping[str, Field]] = {"module": text(), "file": text(), "attribute": text()}
_PLACE: Final = re.compile(r" \(at line (\d+), column \d+\)$")
REMEDY: Final = 'Write `module = "acme.pipelines"` or `file = "jobs.py"`, and if you like `attribute = "defs"`.'


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where code is: in a module or in a file, never both."""

    found_by: str  #: for people
    module: str | None = None
    file: str | Path | None = None
    attribute: str | None = None
    folder: Path | None = None  #: of the pyproject.toml, which paths are meant from and modules lie in

    @classmethod
    def given(cls, module: str | None, file: str | Path | None, attribute: str | None) -> Self:
        """As the command line says it."""
        found_by = f"-m {module}" if module is not None else f"-f {file}"
        return cls(found_by=found_by, module=module, file=file, attribute=attribute)

    def naming(self, attribute: str | None) -> Entry:
        """The same, with the attribute that was asked for besides, if one was."""
        return replace(self, attribute=attribute or self.attribute)


def project_entry(folder: Path) -> Entry | None:
    """The entry of the folder or the nearest above it that has one. Raises UsageError if it cannot be read."""
    for one in (folder, *folder.parents):
        file = one / "pyproject.toml"
        if file.is_file() and (section := _section(file)) is not None:
            return _entry(section, file)
    return None


def _section(file: Path) -> Any:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        at, problem = (f"{file}:{place[1]}", str(error)[: place.start()]) if place else (str(file), str(error))
        raise fault(f"{at}: this is no TOML: {problem}", "Correct the file there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise fault(f"{file} cannot be read: {error}", "Make it a file of TOML in UTF-8 that can be read.") from None
    tool = document.get("tool", {})
    return tool.get("foldlog") if isinstance(tool, Mapping) else None


def _entry(section: Any, file: Path) -> Entry:
    place = Place(("tool", "foldlog"), Source(str(file), {}), remedy=REMEDY)
    if not isinstance(section, Mapping):
        raise place.fault("is no table")
    found = check_section(KEYS, section, place, Context())
    if (found["module"] is None) == (found["file"] is None):
        raise place.fault("has both a module and a file" if found["module"] else "has neither a module nor a file")
    return Entry(found_by=f"[tool.foldlog] of {file}", folder=file.parent, **found)
