"""Where a log is: the parts of a mysql:// URL, and what of them may be shown.

Promises: the driver is pymysql whatever the URL's scheme says; no password is in `shown` or in an error.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import sqlalchemy as sa

from ...engine.errors import UsageError

SCHEMES = ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")

Durability = Literal["full", "process"]
Tls = Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"]

TLS: tuple[Tls, ...] = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
OPTIONS = ("unix_socket", "connect_timeout", "charset", "durability", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")


class Address(NamedTuple):
    """A parsed URL."""

    host: str
    port: int
    user: str
    password: str
    database: str
    unix_socket: str | None
    connect_timeout: int  #: seconds
    tls: Tls
    ssl_ca: str | None
    ssl_cert: str | None
    ssl_key: str | None
    durability: Durability
    shown: str  #: the URL without a password

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"


def parse(url: str) -> Address:
    """The address of `mysql://[user[:password]@][host][:port]/database[?option=value...]`. Raises UsageError.

    Options: `unix_socket` (a path), `connect_timeout` (seconds, default 10), `durability` (`full` or `process`),
    `ssl_mode` as MySQL's own client has it, `ssl_ca`, `ssl_cert`, `ssl_key` (files). Without `ssl_mode` the connection
    is encrypted if the server can, and its certificate is checked if `ssl_ca` is given; to this machine it is plain.
    """
    given = _split(url)
    options = {name: _one(name, value) for name, value in given.query.items()}
    for name in options:
        if name not in OPTIONS:
            raise UsageError(f"the MySQL URL has an option {name!r}; there are {', '.join(OPTIONS)}")
    if not given.database:
        raise UsageError("the MySQL URL names no database; write mysql://user:password@host:port/database")
    if options.get("charset", "utf8mb4") != "utf8mb4":
        raise UsageError(f"charset={options['charset']!r}: a log needs utf8mb4")
    host, socket = given.host or "localhost", options.get("unix_socket")
    return Address(
        host,
        given.port or 3306,
        given.username or "",
        str(given.password or ""),
        given.database,
        socket,
        _seconds(options.get("connect_timeout", "10")),
        _tls(options, here=socket is not None or is_loopback(host)),
        options.get("ssl_ca"),
        options.get("ssl_cert"),
        options.get("ssl_key"),
        _durability(options.get("durability", "full")),
        given.render_as_string(hide_password=True),
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name."""
    return host in ("localhost", "::1", "ip6-localhost") or host.startswith("127.")


def _tls(options: dict[str, str], *, here: bool) -> Tls:
    given = options.get("ssl_mode", "").lower()
    for mode in TLS:
        if mode == given:
            if mode == "disabled" and {"ssl_ca", "ssl_cert", "ssl_key"} & set(options):
                raise UsageError("ssl_mode=disabled does not go with ssl_ca, ssl_cert or ssl_key")
            if mode == "verify_ca" and "ssl_ca" not in options:
                raise UsageError("ssl_mode=verify_ca needs ssl_ca, the file with the authority's certificate")
            return mode
    if given:
        raise UsageError(f"ssl_mode={given!r} is not one of {', '.join(TLS)}")
    if "ssl_ca" in options:
        return "verify_ca"
    if {"ssl_cert", "ssl_key"} & set(options):
        return "required"
    return "disabled" if here else "preferred"


def _durability(given: str) -> Durability:
    if given == "full":
        return "full"
    if given == "process":
        return "process"
    raise UsageError(f"durability={given!r} is not one of full, process")


def _seconds(given: str) -> int:
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= 3600:
        raise UsageError(f"connect_timeout={given!r} is no number of seconds from 1 to 3600")
    return int(given)


def _split(url: str) -> sa.URL:
    scheme, _, rest = url.partition(":")
    # No part of the URL in the message, nor SQLAlchemy's error as its cause: a password with an unescaped @ or / in it
    # is read as a part of the host or the port, and would be shown as such.
    try:
        given = sa.make_url(f"{scheme.lower()}:{rest}")
    except (sa.exc.ArgumentError, ValueError):
        given = None
    if given is None or given.drivername not in SCHEMES:
        raise UsageError(
            "the MySQL URL cannot be read; write mysql://user:password@host:port/database, with special characters in "
            "the password percent-encoded (@ as %40, / as %2F)"
        )
    if rest.partition("?")[0].count("@") > 1:  # with a / before the second, a part of the password looks like a host
        raise UsageError("the MySQL URL has two @; percent-encode the one in the password as %40")
    return given


def _one(name: str, value: str | tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the MySQL URL has {name} twice")
    return value
