"""Tests reach no further than this machine: a connection or a look-up of any other address fails, and is remembered.

A library that is given the wrong address, or none, asks the real store: with the developer's credentials, after
retries of a minute, or never in CI. It retries what fails, so that the error alone would not fail its test: the fixture
`loopback` of conftest.py does.

Watched are this process's sockets of Python, by audit events. Not those of libraries in C, as libpq's, and not the
processes that tests start; all are told not to ask a cloud who they are (`alone`).
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

EVENTS = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0}
"""What is watched, and which of its arguments has the address."""

_reached: list[str] = []
_allowed: set[str] = set()


def watch() -> None:
    """From now on, for the rest of this process."""
    sys.addaudithook(_look)


def allow(urls: Iterable[str]) -> None:
    """Servers for the tests, elsewhere: their hosts. To be called before `watch`, since it looks them up."""
    for url in urls:
        if host := urlsplit(url).hostname:
            _allowed.add(host)
            with contextlib.suppress(OSError):
                _allowed.update(str(found[4][0]) for found in socket.getaddrinfo(host, None))


def reached() -> list[str]:
    """The addresses asked for since the last call."""
    found = [*_reached]
    del _reached[: len(found)]
    return found


def alone(environ: MutableMapping[str, str]) -> None:
    """Take a developer's own accounts of clouds out of an environment, and what makes libraries look for some."""
    for name in [name for name in environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_"))]:
        del environ[name]
    environ["AWS_EC2_METADATA_DISABLED"] = "true"
    environ["AWS_CONFIG_FILE"] = environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    environ["NO_GCE_CHECK"] = "true"


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if (place := EVENTS.get(event)) is None:
        return
    address = arguments[place]
    if event in ("socket.connect", "socket.sendto"):
        if not isinstance(address, tuple):  # a path, of a socket of this machine
            return
        address = address[0]
    host = address.decode() if isinstance(address, bytes) else address
    if host in _allowed or _here(host):
        return
    _reached.append(f"{event.removeprefix('socket.')} {host}")
    raise OSError(errno.ENETUNREACH, f"tests reach no further than loopback, and this one asked for {host}")


def _here(host: str | None) -> bool:
    if not host or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
