"""Stores of objects: whole objects by name, made once. In memory, in a folder, or in a bucket.

`open_objects` finds one by URL (address.py says which there are). Not here: what the objects mean.
"""

from __future__ import annotations

import os
from importlib import import_module

from ....engine.errors import fault
from ....engine.secrecy import PACKAGES, Secrecy, options_for
from .address import CLOUDS, Address, parse
from .driver import Driver
from .port import Found, Objects

__all__ = ["Found", "Objects", "check_url", "open_objects"]

#: kind of cloud -> module beside this one, and the driver in it
DRIVERS = {"s3": ("s3", "S3"), "gcs": ("gcs", "Gcs"), "azure": ("azure", "Azure")}


def check_url(url: str) -> None:
    """Raise UsageError for a URL that is none of a store of objects; nothing is opened."""
    parse(url)


def open_objects(url: str, *, create: bool) -> Objects:
    """The objects of a URL. `create`: a folder that is missing is made; else it is as one without objects. A bucket is
    never made. Raises UsageError."""
    address = parse(url)
    return _cloud(address) if address.scheme in CLOUDS else _local(address, create=create)


def _local(address: Address, *, create: bool) -> Objects:
    from .files_failing import translated
    from .folders import make_base
    from .local import LocalObjects

    held = next((name for name in ("order.db", "log.db") if os.path.exists(os.path.join(address.place, name))), None)
    if held is not None:
        raise fault(
            f"{address.shown} holds a log in SQLite files: {held}",
            f"Write sqlite:///{address.place} for it, or name another folder.",
        )
    if os.path.isfile(address.place):
        raise fault(f"{address.shown} is a file", "Name a folder: a log of objects is many files.")
    if create:
        with translated("make", address.shown, "its folder"):
            make_base(address.place, synced=address.durability == "full")
    return LocalObjects(address.place, url=address.shown, durability=address.durability)


def _cloud(address: Address) -> Objects:
    from .cloud import CloudObjects

    module, name = DRIVERS[CLOUDS[address.scheme]]
    options = options_for(None, is_local=False)
    if address.account is not None:
        options.setdefault("account_name", address.account)
    driver: type[Driver] = getattr(import_module(f".{module}", __name__), name)
    _need(driver, address)
    return CloudObjects(address.shown, address.place, Secrecy(address.shown, options), lambda: driver(options))


def _need(driver: type[Driver], address: Address) -> None:
    try:
        driver.load()
    except ImportError as error:
        raise fault(
            f"{address.shown}: the package for {address.scheme}:// URLs is not installed",
            f"Install it: pip install '{PACKAGES[address.scheme]}'",
        ) from (error if error.name != driver.PACKAGE else None)
