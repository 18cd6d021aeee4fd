"""Where a log is: the parts of a postgresql:// URL, and what of them may be shown.

Promises: the driver is psycopg2 whatever the URL's scheme says; no password is in `shown` or in an error.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import psycopg2.extensions
import sqlalchemy as sa

from ...engine.errors import UsageError

Durability = Literal["full", "process"]

SCHEMA = "foldlog"  #: where the tables are unless the URL says otherwise
OPTIONS = ("schema", "durability")  #: ours; the others go to libpq as they are
SECRETS = ("password", "sslpassword")  #: options of libpq that SQLAlchemy would show

# Anything else would need quotes in every statement a person types, and `%` a second spelling in every one of ours.
SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

# A connection whose other end is gone without a word is noticed by the kernel in half a minute, not in two hours.
LIBPQ = {
    "application_name": "foldlog",
    "connect_timeout": "10",
    "client_encoding": "utf8",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}


class Address(NamedTuple):
    """A parsed URL. `target` holds the password, which SQLAlchemy hides when it is printed."""

    target: sa.URL  #: what SQLAlchemy connects to
    secrets: dict[str, str]  #: passwords that were given as options
    schema: str
    durability: Durability
    shown: str  #: the URL without a password

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"


def parse(url: str) -> Address:
    """The address of `postgresql://[user[:password]@][host][:port][/database][?option=value...]`.

    `postgres://` and `postgresql+psycopg2://` are the same. Options: `schema` (default `foldlog`), `durability`
    (`full` or `process`), and any parameter of libpq, as `host` for a socket's folder. Raises UsageError.
    """
    given = _split(url)
    options = {name: value for name, value in given.query.items() if name in OPTIONS}
    secrets = {name: _one(name, given.query[name]) for name in SECRETS if name in given.query}
    given = given.difference_update_query(SECRETS)
    target = given.difference_update_query(OPTIONS).set(drivername="postgresql+psycopg2")
    target = target.update_query_dict({name: LIBPQ[name] for name in LIBPQ if name not in target.query})
    schema = _one("schema", options.get("schema", SCHEMA))
    if not SCHEMA_NAME.fullmatch(schema) or schema.startswith("pg_") or schema == "information_schema":
        raise UsageError(f"schema={schema!r}: a schema is named by 1 to 63 of a-z, 0-9 and _, unlike the server's own")
    durability = _one("durability", options.get("durability", "full"))
    if durability not in ("full", "process"):
        raise UsageError(f"durability={durability!r} is not one of full, process")
    return Address(
        target,
        secrets,
        schema,
        "process" if durability == "process" else "full",
        given.render_as_string(hide_password=True),
    )


def check_options(address: Address) -> None:
    """Raise UsageError for an option that libpq does not know: opening would say so, and this asks no server."""
    options = dict.fromkeys(address.target.query, "")
    try:
        psycopg2.extensions.make_dsn(**options)
    except psycopg2.ProgrammingError as error:
        raise UsageError(f"the PostgreSQL URL has an option that libpq refuses: {str(error).strip()}") from None


def _split(url: str) -> sa.URL:
    scheme, _, rest = url.partition(":")
    # No part of the URL in the message, nor SQLAlchemy's error as its cause: a password with an unescaped @ or / in it
    # is read as a part of the host or the port, and would be shown as such.
    try:
        given = sa.make_url(f"postgresql:{rest}")
    except (sa.exc.ArgumentError, ValueError):
        given = None
    if given is None or scheme.lower() not in ("postgresql", "postgres", "postgresql+psycopg2"):
        raise UsageError(
            "the PostgreSQL URL cannot be read; write postgresql://user:password@host:port/database, with special "
            "characters in the password percent-encoded (@ as %40, / as %2F)"
        )
    if rest.partition("?")[0].count("@") > 1:  # with a / before the second, a part of the password looks like a host
        raise UsageError("the PostgreSQL URL has two @; percent-encode the one in the password as %40")
    return given


def _one(name: str, value: str | tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the PostgreSQL URL has {name} twice")
    return value
