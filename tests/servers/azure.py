"""A throwaway Azurite, the emulator of Azure's blobs: on loopback, its containers in its memory.

`make servers` installs it beside the packages of Python, with npm; where there is no Node.js, its tests are skipped, in
CI too.

It keeps what tests rely on: a conditional put makes a blob or refuses to, whole. It answers within a second of its
start, and then as fast as the S3 server.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from .process import ServerProcess, answers, programs

PACKAGE = None
NEEDS = None
SERVICE = None
URL_ENV = "FOLDLOG_TEST_AZURE_URL"  #: http://ACCOUNT:KEY@HOST:PORT/ACCOUNT, the key percent-encoded
OPTIONAL = True
TOOLS = "Node.js with npm"  #: what `install` needs

VERSION = "3.35.0"  # the last one that Node.js before 22 runs
FOLDER = Path(sys.prefix) / "azurite"
PROGRAM = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"

NAME = "azurite"
ACCOUNT = "foldlog"


class Container(NamedTuple):
    """An empty container: its URL, and what fsspec wants to know to open it."""

    url: str
    options: dict[str, Any]


def missing() -> str | None:
    if find_spec("adlfs") is None:
        return "not installed: adlfs"
    if next(programs("node"), None) is None:
        return "node is not in PATH"
    return None if PROGRAM.exists() else f"azurite is not in {FOLDER}"


def install() -> None:
    """Raises FileNotFoundError if there are no tools for it, CalledProcessError if npm could not."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise FileNotFoundError(f"{NAME} needs {TOOLS}")
    words = ["--prefix", str(FOLDER), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(["npm", "install", *words, f"{NAME}@{VERSION}"], check=True, stdout=sys.stderr)


class Server(ServerProcess):
    """One Azurite. `with` ends it, and what it keeps is gone."""

    NAME = NAME

    def __init__(self) -> None:
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()
        super().__init__()

    @property
    def url(self) -> str:
        """Where its blobs are, and as whom."""
        return f"http://{ACCOUNT}:{quote(self._key, safe='')}@127.0.0.1:{self.port}/{ACCOUNT}"

    def command(self) -> list[str]:
        node = next(programs("node"), None)
        if node is None or not PROGRAM.exists():
            raise FileNotFoundError(missing())
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        # Clients are newer than it; and it would tell its maker how it is used.
        how = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        return ["env", f"AZURITE_ACCOUNTS={ACCOUNT}:{self._key}", str(node), str(PROGRAM), *where, *how]

    def answers(self) -> bool:
        return answers(self.port, "/")


@contextlib.contextmanager
def fresh(server: str) -> Iterator[Container]:
    """An empty container at `server`, removed at the end with all that is in it."""
    from azure.storage.blob import ContainerClient

    options = {"connection_string": connection_string(server)}
    name = f"foldlog-test-{secrets.token_hex(6)}"
    with ContainerClient.from_connection_string(options["connection_string"], name) as container:
        container.create_container()
        try:
            yield Container(f"az://{name}", options)
        finally:
            container.delete_container()


def connection_string(server: str) -> str:
    """What Azure's libraries take in place of a URL."""
    parts = urlsplit(server)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    words = {
        "DefaultEndpointsProtocol": parts.scheme,
        "AccountName": unquote(parts.username or ""),
        "AccountKey": unquote(parts.password or ""),
        "BlobEndpoint": bare,
    }
    return ";".join(f"{name}={value}" for name, value in words.items())
