"""One value, one file: which file is the value, also when a crash has left two of different formats.

PLACE.json, .msgpack, .parquet, .pickle     the value: as a rule one of them is there, and is the value
PLACE.newest~                               while a value is rewritten in another format: the name of that format

To rewrite in another format is to write the marker, write the new file, remove the old one, remove the marker. So of
two files the marked one is the newer; a marker whose file is not there yet says nothing. Two files without a marker
were put there by somebody else: the later modified counts, and of two of one time the one whose format comes first in
`FORMATS`. The next write removes what does not count.

Promise: whenever the writer dies, what is read is the former value or the new one, and the same one every time. Not
here: two writers of one value at the same time; the run that is recorded as the last one need not have won.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

from .formats import FORMATS
from .stores import Stat, Store

MARKER = ".newest~"  #: no value has this name: what `file_name` gives never ends in `~`
#: how often what is not there is looked for: the formats are looked for one by one, and while one value is rewritten in
#: another format, the new file may come after its look, and the old one go before
LOOKS = 3


class Found(NamedTuple):
    """The file that is the value."""

    place: str
    format: str
    stat: Stat


def find(store: Store, values: Sequence[str]) -> dict[str, Found]:
    """The file of the value at each of these places, of those that are there."""
    found: dict[str, Found] = {}
    for _ in range(LOOKS):
        if not (unseen := [value for value in values if value not in found]):
            break
        files = _all(store, unseen)
        found |= {value: _newest(store, value, its) for value, its in files.items() if its}
    return found


def replace(store: Store, value: str, name: str, fill: Callable[[IO[bytes]], None]) -> tuple[str, int]:
    """Make what `fill` writes the value at this place, in the format of that name. Gives the file and its bytes."""
    place = f"{value}.{name}"
    found = _all(store, [value])[value]
    former = _newest(store, value, found) if found else None
    for other in found:
        if former is not None and other.place != former.place:
            store.remove(other.place)
    if former is None or former.format == name:
        size = store.write(place, fill)
        if len(found) > 1:
            store.remove(value + MARKER)
        return place, size
    store.write(value + MARKER, lambda file: _write(file, name))
    size = store.write(place, fill)
    store.remove(former.place)
    store.remove(value + MARKER)
    return place, size


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
