"""Where in a configuration something stands, and the error that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from ..errors import UsageError
from ..secrecy import MASK as MASK, without

Path = tuple[str | int, ...]  #: keys and list indexes, from the top
REMEDY: Final = "Correct the line; docs/config.md has the whole file by example."


class Source(NamedTuple):
    """A file that was read, or several, one over the other; and the line of each key in it, from 1."""

    file: str
    lines: dict[Path, int]
    files: Mapping[Path, str] | None = None  #: of keys that are of another file

    def file_of(self, path: Path) -> str:
        """The file that a key was read from."""
        return (self.files or {}).get(path, self.file)

    def over(self, under: Source) -> Source:
        """Both together, where values of this one replace those of the other, mappings key by key."""
        files = {path: under.file_of(path) for path in under.lines}
        return Source(
            self.file,
            {**under.lines, **self.lines},
            {path: file for path, file in files.items() if path not in self.lines},
        )


@dataclass(frozen=True)
class Place:
    """A key or a value: its path, and the file it was read from, if any."""

    path: Path = ()
    source: Source | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False, compare=False)  #: what no error from here may show
    remedy: str = field(default=REMEDY, repr=False, compare=False)  #: of a fault that has none of its own

    def at(self, *keys: str | int) -> Place:
        """The place of something inside this one."""
        return replace(self, path=(*self.path, *keys))

    def hiding(self, *secrets: str) -> Place:
        """The same place, whose errors do not show these texts."""
        return replace(self, hidden=(*self.hidden, *filter(None, secrets)))

    @property
    def line(self) -> int | None:
        """Its line in the file; that of what it is inside, if it has none of its own."""
        known = self._known
        return None if self.source is None or known is None else self.source.lines[known]

    @property
    def _known(self) -> Path | None:
        """The path of what has a line: of this place, or of the nearest around it."""
        lines = self.source.lines if self.source is not None else {}
        return next(
            (self.path[:length] for length in range(len(self.path), -1, -1) if self.path[:length] in lines), None
        )

    @property
    def where(self) -> str:
        """`FILE:LINE`, `FILE`, or nothing, when it was read from no file."""
        if self.source is None:
            return ""
        known = self._known
        if known is None:
            return self.source.file
        return f"{self.source.file_of(known)}:{self.source.lines[known]}"

    @property
    def name(self) -> str:
        """`run_coordinator.config.tag_concurrency_limits[0].key`."""
        shown = ""
        for key in self.path:
            shown += f"[{key}]" if isinstance(key, int) else f".{key}" if shown else str(key)
        return shown

    def fault(self, problem: str, remedy: str | None = None) -> UsageError:
        """The error that something here is wrong."""
        problem = without(problem, self.hidden)
        error = UsageError(": ".join(part for part in (self.where, self.name, problem) if part))
        said = remedy or self.remedy
        if said != UsageError.remedy:  # else who catches it may know better
            error.remedy = without(said, self.hidden)
        return error


def meant(name: str, known: Iterable[str]) -> str:
    """What an unknown name was probably meant to be, as the end of a message; else nothing."""
    from difflib import get_close_matches

    by_fold = {one.lower().replace("-", "_"): one for one in known}
    close = get_close_matches(name.lower().replace("-", "_"), by_fold, n=1, cutoff=0.6)
    return f"; did you mean {by_fold[close[0]]!r}?" if close else ""
