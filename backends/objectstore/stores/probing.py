"""Whether a store keeps what the log builds on: that a name is made once, and is seen at once by reads and listings."""

from __future__ import annotations

import contextlib
import secrets

from ....engine.errors import FoldlogError, UsageError, fault
from .port import Objects

FOLDER = "probe/"
REMEDY = (
    "Keep the log in a store that refuses a second object of one name (If-None-Match on S3), or in a database: "
    "sqlite:///, postgresql://."
)


def probe(objects: Objects) -> None:
    """Make an object twice, read it, list it, delete it. Raises UsageError if the store is not as the port says."""
    name = f"{FOLDER}{secrets.token_hex(8)}"
    try:
        _try(objects, name)
    except BaseException:
        with contextlib.suppress(FoldlogError):  # what is wrong with the store has been said
            objects.delete([name])
        raise
    objects.delete([name])
    if objects.get(name) is not None:
        raise _unfit(objects, "an object that was deleted is still read")


def _try(objects: Objects, name: str) -> None:
    objects.create(name, b"first")  # what it says is nothing yet: a repeated request may meet its own object
    if objects.create(name, b"second") or objects.get(name) == b"second":
        raise _unfit(objects, "it replaces an object that was to be made only if there is none")
    if objects.get(name) != b"first":
        raise _unfit(objects, "an object is not read as it was written")
    if objects.get(name, start=2, end=100) != b"rst":
        raise _unfit(objects, "a part of an object is not read as it was written")
    if name not in [found.name for found in objects.list(FOLDER)]:
        raise _unfit(objects, "an object that was written is not listed")


def _unfit(objects: Objects, problem: str) -> UsageError:
    return fault(f"{objects.url} is no place for a log: {problem}", REMEDY)
