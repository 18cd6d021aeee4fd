"""A throwaway S3 server, moto: on loopback, its buckets in its memory. Comes with the extra `test`, by pip.

It keeps what real stores promise and tests rely on: conditional puts, multipart uploads that appear when they are
completed, ETags that change with the object. A put or get takes a millisecond or two; a list 0.1 ms for each name in
its answer, since every time is written out, parsed and written again, and no setting spares that.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .process import ServerProcess, answers

PACKAGE = None
NEEDS = None
SERVICE = None
URL_ENV = "FOLDLOG_TEST_S3_URL"  #: http://KEY:SECRET@HOST:PORT, where KEY may make and remove buckets
REGION = "us-east-1"


class Bucket(NamedTuple):
    """An empty bucket: its URL, and what fsspec wants to know to open it."""

    url: str
    options: dict[str, Any]


def missing() -> str | None:
    lacking = [name for name in ("moto", "flask", "flask_cors", "s3fs") if find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


class Server(ServerProcess):
    """One moto. `with` ends it, and what it keeps is gone."""

    NAME = "moto"

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(12)
        super().__init__()

    @property
    def url(self) -> str:
        """Where it answers, and as whom."""
        return f"http://foldlog:{self._secret}@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [sys.executable, "-P", str(Path(__file__).with_name("s3_alone.py")), str(self.port)]

    def answers(self) -> bool:
        return answers(self.port, "/")


@contextlib.contextmanager
def fresh(server: str) -> Iterator[Bucket]:
    """An empty bucket at `server`, removed at the end with all that is in it."""
    import s3fs

    parts = urlsplit(server)
    options = {
        "key": parts.username,
        "secret": parts.password,
        "client_kwargs": {"endpoint_url": f"http://{parts.hostname}:{parts.port}", "region_name": REGION},
    }
    store = s3fs.S3FileSystem(**options, use_listings_cache=False)
    name = f"foldlog-test-{secrets.token_hex(6)}"
    store.call_s3("create_bucket", Bucket=name)
    try:
        yield Bucket(f"s3://{name}", options)
    finally:
        _remove(store, name)


def _remove(store: Any, bucket: str) -> None:
    """In as few requests as it takes, since hundreds of tests end so: s3fs's own `rm` makes three times as many."""
    while kept := store.call_s3("list_objects_v2", Bucket=bucket).get("Contents"):
        names = [{"Key": one["Key"]} for one in kept]
        store.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": names, "Quiet": True})
    store.call_s3("delete_bucket", Bucket=bucket)
