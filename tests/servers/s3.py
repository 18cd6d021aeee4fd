"""A throwaway S3 server, moto: on loopback, its buckets in its memory. Comes with the extra `test`, by pip.

It keeps what real stores promise and tests rely on: conditional puts, multipart uploads that appear when they are
completed, ETags that change with the object.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .process import ServerProcess

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
    STOP = signal.SIGINT

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(12)
        super().__init__()

    @property
    def url(self) -> str:
        """Where it answers, and as whom."""
        return f"http://foldlog:{self._secret}@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        quiet = ["env", "AWS_EC2_METADATA_DISABLED=true"]
        return [*quiet, sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/moto-api/data.json")
            return connection.getresponse().status == 200
        return False


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
        store.rm(name, recursive=True)
