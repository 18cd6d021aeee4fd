"""A throwaway S3 server, moto: on loopback, its buckets in its memory. Comes with the extra `test`, by pip.

It keeps what real stores promise and tests rely on: conditional puts, multipart uploads that appear when they are
completed, ETags that change with the object.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PACKAGE = None
URL_ENV = "FOLDLOG_TEST_S3_URL"  #: http://KEY:SECRET@HOST:PORT, where KEY may make and remove buckets
REGION = "us-east-1"


class Bucket(NamedTuple):
    """An empty bucket: its URL, and what fsspec wants to know to open it."""

    url: str
    options: dict[str, Any]


def missing() -> str | None:
    lacking = [name for name in ("moto", "flask", "flask_cors", "s3fs") if find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


class Server:
    """One moto. `with` ends it, and what it keeps is gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._secret = secrets.token_urlsafe(12)

    @property
    def url(self) -> str:
        """Where it answers, and as whom."""
        return f"http://foldlog:{self._secret}@127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers; after `stop` or `kill`, on the same port, and empty."""
        again = self._port != 0
        for _ in range(3):  # a free port may be taken by the time that moto asks for it
            if not again:
                self._port = _free_port()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
                env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
                stdin=subprocess.DEVNULL,  # what it prints goes where the keeper prints
                start_new_session=True,  # Ctrl-C is for the tests
            )
            end = time.monotonic() + 30
            while self._process.poll() is None and time.monotonic() < end:
                if self._answers():
                    return
                time.sleep(0.02)
            self.kill()
        raise RuntimeError("moto did not start; what it has printed says why")

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/moto-api/data.json")
            return connection.getresponse().status == 200
        return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
