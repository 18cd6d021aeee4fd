"""Google Cloud Storage, through gcsfs.

A read from a bucket that is not there finds no object; the first write or listing says what is wrong.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .driver import SINGLE, abandon, filesystem, microseconds
from .port import Found

#: With it, gcsfs asks by gRPC for the kind of each bucket before the first write, and waits a minute for no answer.
ZONAL = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"


class Gcs:
    """A driver. The options are those of gcsfs."""

    PACKAGE = "gcsfs"

    @staticmethod
    def load() -> None:
        os.environ.setdefault(ZONAL, "false")  # read when gcsfs is imported
        import gcsfs  # noqa: F401

    def __init__(self, options: dict[str, Any]) -> None:
        self._fs = filesystem("gcs", options)

    def write(self, path: str, data: bytes, *, create: bool, timeout_s: float) -> None:
        mode = "create" if create else "overwrite"
        self._fs.pipe_file(path, data, mode=mode, chunksize=SINGLE, timeout=timeout_s)

    def read(self, path: str, start: int, end: int | None, *, timeout_s: float) -> bytes:
        whole = start == 0 and end is None
        limits = {} if whole else {"start": start, "end": end}
        data: bytes = self._fs.cat_file(path, **limits, timeout=timeout_s)
        return data

    def find(self, path: str, *, timeout_s: float) -> list[Found]:
        bucket, _, prefix = path.partition("/")
        asked = {"prefix": prefix, "fields": "nextPageToken,items(name,size,updated)"}
        found: list[Found] = []
        while True:
            page = self._fs.call("GET", "b/{}/o", bucket, **asked, json_out=True, timeout=timeout_s)
            found += [Found(one["name"], int(one["size"]), _updated(one["updated"])) for one in page.get("items", ())]
            if "nextPageToken" not in page:
                return found
            asked["pageToken"] = page["nextPageToken"]

    def delete(self, paths: Sequence[str], *, timeout_s: float) -> None:
        with contextlib.suppress(FileNotFoundError):  # none of them was there
            self._fs.rm(list(paths), timeout=timeout_s)

    def abandon(self) -> None:
        abandon(self._fs)


def _updated(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))
