"""Segments and packs as one process reads them: fetched side by side, checked, and kept for a while.

They are immutable but for two changes. A stub may take the place of a segment whose events are in a pack or gone: who
meets a stub, or nothing, looks at the order again. And behind a gate that shuts, a segment that was refused is swept
away, and another may come in its place once the gate is open: nothing is remembered beyond a turn of the gate.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ...engine.log.port import Record
from .segment import HEAD_BYTES, Kind, Part, Segment, check_whole, damaged, parse, records
from .stores.parallel import Parallel, get_many
from .stores.port import Objects

HELD: Final = 64 * 1024 * 1024  #: bytes of objects kept in memory
HEADS: Final = 10_000  #: headers kept in memory


class Loaded(NamedTuple):
    """A whole object, checked."""

    segment: Segment
    data: bytes

    def records(self, part: Part) -> list[Record | None]:
        """What one append of it holds."""
        return records(self.segment, part, self.data[part.start : part.start + part.length])


class Library:
    """The segments and packs of one log. Thread-safe."""

    def __init__(self, objects: Objects, parallel: Parallel) -> None:
        self._objects = objects
        self._parallel = parallel
        self._lock = threading.Lock()
        self._whole: OrderedDict[str, Loaded] = OrderedDict()
        self._bytes = 0
        self._heads: OrderedDict[str, Segment] = OrderedDict()
        self._turn = 0  #: what was asked for in an earlier one is not kept

    def heads(self, wanted: Sequence[str]) -> list[Segment | None]:
        """Headers by name; None for an object that is not there."""
        with self._lock:
            turn = self._turn
            found = {name: self._heads[name] for name in wanted if name in self._heads}
        absent = [name for name in dict.fromkeys(wanted) if name not in found]
        large = []
        for name, data in zip(absent, get_many(self._objects, absent, self._parallel, end=HEAD_BYTES), strict=True):
            if data is None:
                continue
            segment = parse(data, name)
            if segment is None:
                large.append(name)
                continue
            if len(data) < HEAD_BYTES:
                self._keep_whole(self._checked(segment, data), turn)
            found[name] = self._keep_head(segment, turn)
        found |= {name: loaded.segment for name, loaded in self.load(large).items()}
        return [found.get(name) for name in wanted]

    def head(self, name: str) -> Segment | None:
        """One header."""
        return self.heads([name])[0]

    def load(self, wanted: Iterable[str]) -> dict[str, Loaded]:
        """Whole objects by name; those that are not there are left out."""
        wanted = list(dict.fromkeys(wanted))
        with self._lock:
            turn = self._turn
            found = {name: self._whole[name] for name in wanted if name in self._whole}
            for name in found:
                self._whole.move_to_end(name)
        absent = [name for name in wanted if name not in found]
        for name, data in zip(absent, get_many(self._objects, absent, self._parallel), strict=True):
            if data is None:
                continue
            segment = parse(data, name)
            if segment is None:
                raise damaged(name, "it is torn: a part of its header is missing")
            found[name] = self._checked(segment, data)
            self._keep_whole(found[name], turn)
            self._keep_head(segment, turn)
        return found

    def keep(self, segment: Segment, data: bytes) -> None:
        """What this process has just written itself."""
        self._keep_whole(Loaded(segment, data), self._turn)
        self._keep_head(segment, self._turn)

    def forget(self, wanted: Iterable[str]) -> None:
        """They were superseded, or are gone."""
        with self._lock:
            for name in wanted:
                self._heads.pop(name, None)
                if (old := self._whole.pop(name, None)) is not None:
                    self._bytes -= len(old.data)

    def forget_all(self) -> None:
        """The gate has turned: segments that it refused were swept away, and others may have come in their places."""
        with self._lock:
            self._turn += 1
            self._heads.clear()
            self._whole.clear()
            self._bytes = 0

    def _checked(self, segment: Segment, data: bytes) -> Loaded:
        check_whole(data, segment.name)
        return Loaded(segment, data)

    def _keep_head(self, segment: Segment, turn: int) -> Segment:
        if segment.kind is Kind.EVENTS:
            with self._lock:
                if turn != self._turn:
                    return segment
                self._heads[segment.name] = segment
                while len(self._heads) > HEADS:
                    self._heads.popitem(last=False)
        return segment

    def _keep_whole(self, loaded: Loaded, turn: int) -> None:
        if loaded.segment.kind is not Kind.EVENTS:
            return
        with self._lock:
            if turn != self._turn:
                return
            old = self._whole.pop(loaded.segment.name, None)
            self._bytes += len(loaded.data) - (len(old.data) if old else 0)
            self._whole[loaded.segment.name] = loaded
            while self._bytes > HELD and len(self._whole) > 1:
                self._bytes -= len(self._whole.popitem(last=False)[1].data)
