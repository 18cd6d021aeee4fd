"""Amazon S3 and what speaks like it, through s3fs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .driver import SINGLE, abandon, filesystem, microseconds
from .port import Found

CONNECTIONS = 32
AT_ONCE = 1000  #: objects that S3 deletes by one request
#: Retries are ours alone: three layers of them would wait for minutes, and each repeats what may have been done.
DEFAULTS = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "max_pool_connections": CONNECTIONS,
    "retries": {"total_max_attempts": 1, "mode": "standard"},
}


class S3:
    """A driver. The options are those of s3fs."""

    PACKAGE = "s3fs"

    @staticmethod
    def load() -> None:
        import s3fs  # noqa: F401

    def __init__(self, options: dict[str, Any]) -> None:
        config = {**DEFAULTS, **options.get("config_kwargs", {})}
        # With a concurrency above 1, s3fs asks for the size of whatever it is to read whole.
        self._fs = filesystem("s3", {**options, "config_kwargs": config, "max_concurrency": 1})
        self._fs.retries = 1
        self._fs.connect()  # now, and not by the first request, so that an option nobody knows is seen to be one

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
        found: list[Found] = []
        more: dict[str, str] = {}
        while True:
            page = self._fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more, timeout=timeout_s)
            for one in page.get("Contents", ()):
                found.append(Found(one["Key"], one["Size"], microseconds(one["LastModified"])))
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, paths: Sequence[str], *, timeout_s: float) -> None:
        bucket = paths[0].partition("/")[0]
        for first in range(0, len(paths), AT_ONCE):
            keys = [{"Key": path.partition("/")[2]} for path in paths[first : first + AT_ONCE]]
            wanted = {"Objects": keys, "Quiet": True}
            answer = self._fs.call_s3("delete_objects", Bucket=bucket, Delete=wanted, timeout=timeout_s)
            for one in answer.get("Errors", ()):  # the status is 200, whatever became of each
                if one.get("Code") not in ("NoSuchKey", "NoSuchVersion"):
                    raise PartRefused(one)

    def abandon(self) -> None:
        abandon(self._fs)


class PartRefused(Exception):
    """What became of one object of many, as if it had been asked for alone."""

    STATUS: ClassVar = {"AccessDenied": 403, "InternalError": 500, "SlowDown": 503, "ServiceUnavailable": 503}

    def __init__(self, said: dict[str, Any]) -> None:
        code = said.get("Code", "")
        super().__init__(f"{code}: {said.get('Message', '')}")
        status = self.STATUS.get(code, 400)
        self.response = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}  # as botocore has it
