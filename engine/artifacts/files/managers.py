"""The two file managers of foldlog: in a folder of this machine, and in a store of fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config.fields import Field, folder, map_of, plain, text
from ...errors import UsageError
from ..stores import local_folder
from .stored import StoredFileManager


class LocalFileManager(StoredFileManager):
    """Keeps files in a folder, which other machines see only if they share it, under the same path."""

    def __init__(self, base_dir: str | Path) -> None:
        if not str(base_dir):
            raise UsageError("base_dir is empty; give a folder")
        super().__init__(str(Path(base_dir).expanduser().absolute()), is_local=True)

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {"base_dir": folder(required=True)}


class FsspecFileManager(StoredFileManager):
    """Keeps files below a URL of fsspec, as `s3://bucket/files`; `file:///srv/files` is a folder.

    `storage_options`: what fsspec wants to know to open the store, credentials too; shown nowhere. If none are given,
        the environment's FOLDLOG_STORAGE_OPTIONS, a JSON object, is used for stores other than local ones.

    Large files go through a temporary file of this machine, both ways. Raises UsageError for what is no URL.
    """

    def __init__(self, base_url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        if "://" not in str(base_url):
            error = UsageError(f"base_url={base_url!r:.80} is no URL")
            error.remedy = "Write one, as s3://bucket/files; a folder is for LocalFileManager."
            raise error
        found = local_folder(base_url)
        if found is None:
            base = base_url if base_url.endswith("://") else base_url.rstrip("/")
            super().__init__(base, is_local=False, storage_options=storage_options)
        else:
            super().__init__(str(found.absolute()), is_local=True, storage_options=storage_options)

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {"base_url": text(required=True), "storage_options": map_of(plain())}
