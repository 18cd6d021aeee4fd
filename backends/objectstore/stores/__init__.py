"""Stores of objects: whole objects by name, made once. In memory, in a folder, or in a bucket.

`open_objects` finds one by URL (address.py says which there are). Not here: what the objects mean.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from ....engine.errors import UsageError, fault
from ....engine.secrecy import PACKAGES, Secrecy, options_for
from .address import CLOUDS, Address, parse
from .port import Found, Objects

__all__ = ["Found", "Objects", "check_url", "open_objects"]

#: kind of cloud -> module beside this one, its driver, and the package that it needs
DRIVERS = {"s3": ("s3", "S3", "s3fs"), "gcs": ("gcs", "Gcs", "gcsfs"), "azure": ("azure", "Azure", "adlfs")}


def check_url(url: str) -> None:
    """Raise UsageError for a URL that is none of a store of objects; nothing is opened."""
    parse(url)


def open_objects(url: str, *, create: bool) -> Objects:
    """The objects of a URL. `create`: a folder that is missing is made; a bucket never is. Raises UsageError."""
    address = parse(url)
    return _cloud(address) if address.scheme in CLOUDS else _local(address, create=create)


def _local(address: Address, *, create: bool) -> Objects:
    from .files_failing import translated
    from .folders import make_base
    from .local import LocalObjects

    durability = "full" if address.durability == "full" else "process"
    if create:
        with translated("make", address.shown, "its folder"):
            make_base(address.place, synced=durability == "full")
    elif not os.path.isdir(address.place):
        raise fault(f"{address.shown}: there is no such folder", "Correct the URL, or open the log for writing once.")
    return LocalObjects(address.place, url=address.shown, durability="full" if durability == "full" else "process")


def _cloud(address: Address) -> Objects:
    from .cloud import CloudObjects

    module, name, package = DRIVERS[CLOUDS[address.scheme]]
    options = options_for(None, is_local=False)
    if address.account is not None:
        options.setdefault("account_name", address.account)
    _import(package, address)
    driver = getattr(import_module(f".{module}", __name__), name)
    return CloudObjects(address.shown, address.place, Secrecy(address.shown, options), lambda: driver(options))


def _import(package: str, address: Address) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise _missing(address) from (error if error.name not in (None, package) else None)


def _missing(address: Address) -> UsageError:
    return fault(
        f"{address.shown}: the package for {address.scheme}:// URLs is not installed",
        f"Install it: pip install '{PACKAGES[address.scheme]}'",
    )
