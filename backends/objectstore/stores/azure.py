"""Azure Blob Storage, through adlfs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .driver import abandon, filesystem, microseconds
from .port import Found

SIDE_BY_SIDE = 32  #: deletions
PAGES = 100  #: of 5000 objects, that a listing is given the time for


class Azure:
    """A driver. The options are those of adlfs."""

    PACKAGE = "adlfs"

    @staticmethod
    def load() -> None:
        import adlfs  # noqa: F401

    def __init__(self, options: dict[str, Any]) -> None:
        self._fs = filesystem("abfs", options)

    def write(self, path: str, data: bytes, *, create: bool, timeout_s: float) -> None:
        self._fs.pipe_file(path, data, overwrite=not create, timeout=timeout_s)

    def read(self, path: str, start: int, end: int | None, *, timeout_s: float) -> bytes:
        whole = start == 0 and end is None
        limits = {} if whole else {"start": start, "end": end}
        data: bytes = self._fs.cat_file(path, **limits, timeout=timeout_s)
        return data

    def find(self, path: str, *, timeout_s: float) -> list[Found]:
        found: list[Found] = self._run(self._list, *path.split("/", 1), timeout_s=timeout_s * PAGES)
        return found

    def delete(self, paths: Sequence[str], *, timeout_s: float) -> None:
        container = paths[0].partition("/")[0]
        self._run(self._delete, container, [path.partition("/")[2] for path in paths], timeout_s=timeout_s)

    def abandon(self) -> None:
        abandon(self._fs)

    async def _list(self, container: str, prefix: str) -> list[Found]:
        # The listing of adlfs asks first whether the folder is a file, and makes folders of what it finds.
        async with self._fs.service_client.get_container_client(container=container) as client:
            blobs = client.list_blobs(name_starts_with=prefix)
            return [Found(one.name, one.size, microseconds(one.last_modified)) async for one in blobs]

    async def _delete(self, container: str, names: list[str]) -> None:
        turn = asyncio.Semaphore(SIDE_BY_SIDE)
        async with self._fs.service_client.get_container_client(container=container) as client:

            async def delete(name: str) -> None:
                async with turn:
                    await client.delete_blob(name)

            for outcome in await asyncio.gather(*map(delete, names), return_exceptions=True):
                if isinstance(outcome, BaseException) and getattr(outcome, "error_code", "") != "BlobNotFound":
                    raise outcome

    def _run(self, deed: Any, *args: Any, timeout_s: float) -> Any:
        from fsspec.asyn import sync

        return sync(self._fs.loop, deed, *args, timeout=timeout_s)
