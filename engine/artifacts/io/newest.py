"""One value, one file: which file is the value, also when a crash has left two of different formats.

PLACE.json, .msgpack, .parquet, .pickle     the value: as a rule one of them is there, and is the value
PLACE.newest~                               while a value is rewritten in another format: the name of that format
PLACE.lock~                                 in a folder, while a writer puts its file there: writers take turns

To rewrite in another format is to write the marker, put the new file, remove the old one, remove the marker. So of
two files the marked one is the newer; a marker whose file is not there yet says nothing. Two files without a marker
were put there by somebody else: the later modified counts, and of two of one time the one whose format comes first in
`FORMATS`. The next write removes what does not count.

Promises: whenever the writer dies, what is read is the former value or the new one, and the same one every time. Of
several writers at once, one wins, and its value is there: a file is removed only if it is the one that was seen, and
the marker does not name it. Readers wait for no lock. Not here: which writer wins where there are no locks; the run
that is recorded as the last one need not be it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

from ..stores import Stat, Store
from .formats import FORMATS

MARKER = ".newest~"  #: no value has this name: what `file_name` gives never ends in `~`
LOCK = ".lock~"  #: nor this
#: how often what is not there is looked for: the formats are looked for one by one, and while one value is rewritten in
#: another format, the new file may come after its look, and the old one go before
LOOKS = 3
LOOKS_WHILE_WRITTEN = 30  #: and as long as there is a marker or a lock; a crash may have left one
PAUSE_S = 0.005  #: before each of those


class Found(NamedTuple):
    """The file that is the value."""

    place: str
    format: str
    stat: Stat


def find(store: Store, values: Sequence[str]) -> dict[str, Found]:
    """The file of the value at each of these places, of those that are there."""
    found: dict[str, Found] = {}
    unseen = list(values)
    for turn in range(LOOKS_WHILE_WRITTEN):
        if turn >= LOOKS and (unseen := _being_written(store, unseen)):
            time.sleep(PAUSE_S)
        if not unseen:
            break
        files = _all(store, unseen)
        found |= {value: _newest(store, value, its) for value, its in files.items() if its}
        unseen = [value for value in unseen if value not in found]
    return found


def replace(store: Store, value: str, name: str, fill: Callable[[IO[bytes]], None]) -> tuple[str, int]:
    """Make what `fill` writes the value at this place, in the format of that name. Gives the file and its bytes."""
    place = f"{value}.{name}"
    with store.filled(place, fill) as filled, store.locked(value + LOCK):
        found = _all(store, [value])[value]
        former = _newest(store, value, found) if found else None
        for other in found:
            if other != former:
                _remove(store, value, other)
        if former is not None and former.format != name:
            _mark(store, value, name)
            store.put(place, filled)
            _remove(store, value, former)
        else:
            store.put(place, filled)
        if len(found) > 1 or (former is not None and former.format != name):
            left = _all(store, [value])[value]
            if not left:  # two writers have removed each other's file: without locks, that may be
                store.put(place, filled)
            if len(left) < 2:
                _unmark(store, value, name)
    return place, filled.bytes


def _all(store: Store, values: Sequence[str]) -> dict[str, list[Found]]:
    """All files of each value, in the order of FORMATS."""
    there = store.look([f"{value}.{name}" for value in values for name in FORMATS])
    places = {value: [(f"{value}.{name}", name) for name in FORMATS] for value in values}
    return {
        value: [Found(place, name, there[place]) for place, name in files if place in there]
        for value, files in places.items()
    }


def _newest(store: Store, value: str, found: list[Found]) -> Found:
    if len(found) == 1:
        return found[0]
    marked = _marked(store, value)
    # `max` gives the first of equals, and they are in the order of FORMATS.
    return max(found, key=lambda one: (one.format == marked, one.stat.modified or 0.0))


def _being_written(store: Store, values: Sequence[str]) -> list[str]:
    """Those of the values at whose place a writer is at work."""
    signs = (MARKER, LOCK) if store.is_local else (MARKER,)
    there = store.look([value + sign for value in values for sign in signs])
    return [value for value in values if any(value + sign in there for sign in signs)]


def _remove(store: Store, value: str, seen: Found) -> None:
    if _marked(store, value) != seen.format:  # else another writer has said meanwhile that it is the value
        store.remove(seen.place, seen.stat)


def _mark(store: Store, value: str, name: str) -> None:
    with store.filled(value + MARKER, lambda file: _write(file, name)) as filled:
        store.put(value + MARKER, filled)


def _unmark(store: Store, value: str, name: str) -> None:
    """Remove the marker if it says so; another one is another writer's."""
    place = value + MARKER
    stat = store.look([place]).get(place)
    if stat is not None and _marked(store, value) == name:
        store.remove(place, stat)


def _marked(store: Store, value: str) -> str | None:
    place = value + MARKER
    stat = store.look([place]).get(place)
    if stat is None:
        return None
    try:
        with store.open(place, stat) as file:
            return bytes(file.read()).decode(errors="replace")
    except FileNotFoundError:  # removed since: its writer is through
        return None


def _write(file: IO[bytes], text: str) -> None:
    file.write(text.encode())
