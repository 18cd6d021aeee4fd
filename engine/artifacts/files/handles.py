"""What a file manager gives for a file: a plain value, which steps return and other steps take.

In JSON and MessagePack a handle of foldlog is a mapping with the key `file~`, which says its kind: `{"file~": "local",
"path": "/srv/files/…"}`. Whoever stores a mapping of somebody else's with that key has to store it in another way.
Promise: a handle shows where the file is, and no password.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

import msgspec

MARK = "file~"  #: the key of the mapping that says which kind of handle it is


@runtime_checkable
class FileHandle(Protocol):
    """Stands for a file that a file manager keeps. Whatever says where its file lies is one."""

    @property
    def path_desc(self) -> str:
        """Where the file is, for people: an absolute path or a URL, without a password."""


class LocalFileHandle(msgspec.Struct, frozen=True, tag_field=MARK, tag="local"):
    """A file of this machine. Equal handles are of one file; `open(handle)` reads it."""

    path: str  #: absolute

    @property
    def path_desc(self) -> str:
        """The path."""
        return self.path

    def __fspath__(self) -> str:
        return self.path


class UrlFileHandle(msgspec.Struct, frozen=True, tag_field=MARK, tag="url"):
    """A file of another store. Equal handles are of one file."""

    url: str  #: as `s3://bucket/files/NAME`, a password in it replaced

    @property
    def path_desc(self) -> str:
        """The URL."""
        return self.url


KINDS = (LocalFileHandle, UrlFileHandle)


def revived(value: Any) -> Any:
    """A decoded document with the handles in it made handles again, in place. Other mappings stay as they are."""
    if type(value) is list:
        value[:] = map(revived, value)
    elif type(value) is dict:
        if MARK in value and len(value) == 2:
            with suppress(msgspec.ValidationError):  # not of foldlog's writing
                return msgspec.convert(value, LocalFileHandle | UrlFileHandle)
        value.update((key, revived(one)) for key, one in value.items())
    return value
