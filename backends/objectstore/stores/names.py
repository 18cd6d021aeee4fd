"""Which names an object may have, checked at every store alike: what one allows, all can keep."""

from __future__ import annotations

import re

from ....engine.errors import UsageError

LONGEST = 600  #: bytes of a name; with a prefix below the 1024 that every store takes
LONGEST_PART = 200  #: bytes; a file system takes 255, and a temporary name is longer than its own

_PART = rf"(?!\.\.?(?:/|\Z))[A-Za-z0-9._=@~-]{{1,{LONGEST_PART}}}"
_ONE_PART = re.compile(_PART)
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")


def check_name(name: str) -> None:
    """Raise UsageError unless it is the name of an object."""
    if len(name) > LONGEST or _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} is no name of an object: parts of letters, digits and ._=@~- joined by /, at most "
            f"{LONGEST} bytes and {LONGEST_PART} a part"
        )


def check_prefix(prefix: str) -> None:
    """Raise UsageError unless it is "" or a name with `/` behind it."""
    if prefix:
        if not prefix.endswith("/"):
            raise UsageError(f"{prefix!r} is no prefix of objects: it does not end with /")
        check_name(prefix[:-1])


def check_object(name: str, data: bytes) -> None:
    """Raise UsageError unless it can be stored."""
    check_name(name)
    if not data:  # some stores take an empty object for a folder, and drop the condition of its creation
        raise UsageError(f"the object {name} would be empty")


def is_part(text: str) -> bool:
    """Whether it may be a part of a name, that between two `/`."""
    return _ONE_PART.fullmatch(text) is not None
