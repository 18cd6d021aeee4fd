"""`python -P s3_alone.py PORT`: moto's S3, on loopback, without its other services and one request at a time.

moto's own program looks through its folders of services at every request, which takes longer than the request; and its
conditional put looks first and writes then, so that of two at once both could win. Here one request is answered after
the other, whichever threads they come from: a create is whole by construction, and a test's race is one of the code
that it tests.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

# Read when moto is imported.
os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # headers for browsers
os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"  # a bucket is the first part of the path

from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Handler(WSGIRequestHandler):
    disable_nagle_algorithm = True  # else the body of an answer may wait 40 ms for the client to confirm its headers

    def log_request(self, *_: Any) -> None:
        """Not a line for each of some ten thousand requests; errors are still printed."""


class OneByOne:
    """A WSGI application of which one request runs at a time. Bodies are taken in before, at the client's pace."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not environ.get("wsgi.input_terminated"):  # a chunked body ends by itself, and has no length
            length = int(environ.get("CONTENT_LENGTH") or 0)
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return list(self._app(environ, start_response))


def main(port: int) -> None:
    app = create_backend_app("s3")
    app.debug = False
    make_server("127.0.0.1", port, OneByOne(app), threaded=True, request_handler=Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
