"""Where objects are: the parts of a URL, and what of it may be shown.

    file:///abs/path[?durability=full|process]     file:///./path is relative, and file:///../path
    s3://bucket[/prefix]    gs:// and gcs://    az://, abfs:// and abfss://container[/prefix]

Promises: no text that may be a credential is in `shown` or in an error.
"""

from __future__ import annotations

import os
import re
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from ....engine.errors import UsageError, fault
from ....engine.secrecy import VARIABLE
from ... import without_password
from .names import check_name

CLOUDS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
SCHEMES = ("file", *CLOUDS)
Durability = Literal["full", "process"]
DURABILITIES: tuple[Durability, ...] = ("full", "process")
LONGEST_PREFIX = 400  #: bytes; with a name below it the 1024 that every store takes

#: container@account.dfs.core.windows.net, as Azure's own tools write it
_ACCOUNT = re.compile(r"([a-z0-9-]+)@([a-z0-9]+)\.(?:dfs|blob)\.core\.[a-z.]+")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,221}")


class Address(NamedTuple):
    """A parsed URL."""

    scheme: str
    place: str  #: the folder, absolute; or bucket/prefix
    durability: Durability = "full"
    account: str | None = None  #: of Azure, if the URL has it
    shown: str = ""


def parse(url: str) -> Address:
    """The address of a URL. Raises UsageError."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise fault(
            f"{without_password(url.partition('?')[0])!r} is no URL of a store of objects",
            f"Write s3://bucket/prefix or file:///path; there are {', '.join(f'{one}://' for one in SCHEMES)}.",
        )
    place, mark, query = rest.partition("?")
    if scheme == "file":
        return _file(place, query)
    shown = without_password(f"{scheme}://{place}").rstrip("/")
    if mark:
        raise fault(f"{shown}: a {scheme}:// URL takes no options", f"Put them into {VARIABLE}, a JSON object.")
    return _cloud(scheme, place.rstrip("/"), shown)


def _file(place: str, query: str) -> Address:
    shown = f"file://{place}"
    if not place.startswith("/"):
        inside = place.removeprefix("./")
        raise fault(
            f"{shown}: a file:// URL has no host, and three slashes",
            f"Write file:///./{inside} for a folder seen from this one, or file:///{inside} from the root.",
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name != "durability":
            raise fault(f"{shown} has an option {name!r}; there is durability", "Leave it out, or correct its name.")
    path = unquote(place)
    relative = path.startswith(("/./", "/../"))
    path = path.strip("/") if relative else f"/{path.strip('/')}"
    if path == "/" or "\0" in path:
        raise fault(f"{shown} names no folder", "Write file:///path/of/a/folder.")
    durability = _durability(options.get("durability", "full"), shown)
    folder = os.path.abspath(path)  # and so it is shown: the process may go elsewhere
    return Address("file", folder, durability, None, f"file://{quote(folder)}")


def _durability(given: str, shown: str) -> Durability:
    for known in DURABILITIES:
        if given == known:
            return known
    raise fault(
        f"{shown}: durability={given!r} is not one of {', '.join(DURABILITIES)}",
        "Write ?durability=process to do without syncs, or leave it out.",
    )


def _cloud(scheme: str, place: str, shown: str) -> Address:
    bucket, slash, prefix = place.partition("/")
    account = None
    if CLOUDS[scheme] == "azure" and (found := _ACCOUNT.fullmatch(bucket)):
        bucket, account = found.groups()
    elif "@" in place.partition("/")[0] or ":" in bucket or (not bucket.isprintable()):
        raise fault(
            f"a {scheme}:// URL takes no credentials",
            f'Put them into {VARIABLE}, a JSON object as {{"key": ..., "secret": ...}}; write {scheme}://bucket/prefix.',
        )
    if _BUCKET.fullmatch(bucket) is None:
        raise fault(f"{shown or scheme}: there is no bucket's name in it", f"Write {scheme}://bucket/prefix.")
    if slash:
        _check_prefix(prefix, shown)
    return Address(scheme, f"{bucket}{slash}{prefix}", "full", account, shown)


def _check_prefix(prefix: str, shown: str) -> None:
    remedy = f"Use letters, digits and ._=@~- between single slashes, at most {LONGEST_PREFIX} bytes."
    try:
        check_name(prefix)
    except UsageError:
        raise fault(f"{shown}: the prefix cannot be one of objects", remedy) from None
    if len(prefix) > LONGEST_PREFIX:
        raise fault(f"{shown}: the prefix has {len(prefix)} bytes", remedy)
