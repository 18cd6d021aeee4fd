"""Find committed receipts without a position: look where the doorbell was rung, and only there.

Promises: every append acknowledged before a look began is found by it, in whatever process it was made; the work grows
with the news, not with the runs there are.
Not here: the doorbell's bytes (doorbell.py), the order the receipts get (engine/log/sequencer.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from ...engine.errors import CorruptLogError
from ...engine.log.port import Placed, Receipt
from .doorbell import SLOT, Doorbell, Writers
from .files import FileCache
from .home import Home
from .order import OrderFile, Place
from .shardfile import Found

CHUNK = 500  #: events of one shard fetched at a time
DEATHS_EVERY_S = 1.0  #: how often a process looks for writers that died


class Seen(NamedTuple):
    """One shard as the last look left it."""

    token: bytes  #: in its slot when the look began
    place: Place
    found: list[Found]
    whole: bool  #: nothing was left behind `found`


class Lookout:
    """What one process knows of the news. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache, bell: Doorbell, writers: Writers) -> None:
        self._home = home
        self._order = order
        self._files = files
        self._bell = bell
        self._writers = writers
        self._lock = threading.Lock()
        self._settled = bytearray()  #: the token of each slot that has been looked into without anything left
        self._seen: dict[str, Seen] = {}
        self._next_roll_call = 0.0
        for place in order.open_shards():
            # Nothing pending was ever found of a new one: no token says so, not even the zeros of a doorbell cut short.
            self._settle(place, place.bell.to_bytes(SLOT, "little") if place.bell else b"\xff" * SLOT)

    def look(self, *, limit: int) -> list[Receipt]:
        """Up to `limit` pending receipts, the earliest, each shard's from its end of the order on without a gap."""
        with self._lock:
            self._ring_for_the_dead()
            tokens = self._bell.read().ljust(len(self._settled), b"\0")  # cut short, it tells nothing of the rest
            if self._settled.startswith(tokens) or self._order.receiving():
                return []
            rung = list(self._rung(tokens))
            # Many shards with news: a little of each is enough to find the earliest `limit`.
            chunk = max(8, min(CHUNK, 2 * limit // max(1, len(rung))))
            streams = [self._stream(place, token, chunk) for place, token in rung]
            found = islice(merge(*streams, key=attrgetter("receipt.at_us")), limit)
            return [one.receipt for one in found]

    def types(self, placed: Sequence[Placed]) -> dict[tuple[str, int], frozenset[str]]:
        """The types of the events of pending receipts, by (shard, first seq)."""
        shards = {entry.receipt.shard for entry in placed}
        known = {
            (shard, one.receipt.first_seq): one.types
            for shard in shards
            if (seen := self._seen.get(shard))
            for one in seen.found
        }
        return {
            (receipt.shard, receipt.first_seq): known.get((receipt.shard, receipt.first_seq)) or self._types(receipt)
            for _, receipt, _ in placed
        }

    def _types(self, receipt: Receipt) -> frozenset[str]:
        place = self._order.find(receipt.shard)
        found = self._fetch(place, receipt.first_seq - 1, 1) if place else []
        if not found:
            raise CorruptLogError(f"shard {receipt.shard} does not hold the receipt at seq {receipt.first_seq}")
        return found[0].types

    def settled_by(self, placed: Sequence[Placed]) -> dict[str, int]:
        """The shards that placing these leaves without news, and the token that says so."""
        ends = {entry.receipt.shard: entry.receipt.last_seq for entry in placed}
        settled = {}
        for shard, last in ends.items():
            seen = self._seen.get(shard)
            if seen and seen.whole and seen.found and seen.found[-1].receipt.last_seq == last:
                settled[shard] = int.from_bytes(seen.token, "little")
        return settled

    def placed(self, placed: Sequence[Placed], settled: dict[str, int]) -> None:
        """Take in that receipts got their positions."""
        ends = {entry.receipt.shard: entry.receipt.last_seq for entry in placed}
        with self._lock:
            for shard, last in ends.items():
                seen = self._seen.pop(shard, None)
                if seen is None:
                    continue
                if shard in settled:
                    self._settle(seen.place, seen.token)
                else:
                    rest = [one for one in seen.found if one.receipt.first_seq > last]
                    self._seen[shard] = Seen(seen.token, seen.place._replace(ordered_seq=last), rest, seen.whole)

    def _rung(self, tokens: bytes) -> Iterator[tuple[Place, bytes]]:
        """The shards whose slot holds a token not settled, as they stand now."""
        self._settled.extend(bytes(max(0, len(tokens) - len(self._settled))))
        for at in range(0, len(tokens), SLOT):
            token = tokens[at : at + SLOT]
            if token != self._settled[at : at + SLOT]:
                place = self._order.in_slot(at // SLOT)
                if place is None:  # the shard was sealed or purged, which leaves nothing behind
                    self._put(at, token)
                else:
                    yield place, token

    def _stream(self, place: Place, token: bytes, size: int) -> Iterator[Found]:
        """A shard's pending receipts: those an earlier look has left in memory, then what is behind them."""
        seen = self._seen.get(place.name)
        found: list[Found] = []
        if seen and seen.place.ordered_seq == place.ordered_seq:  # what is committed does not change
            found = seen.found
            if seen.whole and seen.token == token and found:
                yield from found
                return
        self._seen[place.name] = Seen(token, place, found, False)
        yield from list(found)
        after = found[-1].receipt.last_seq if found else place.ordered_seq
        while chunk := self._fetch(place, after, size):
            found += chunk
            last = chunk[-1].receipt.last_seq
            if last - after < size:  # fewer events than asked for: the shard ends here
                break
            yield from chunk
            after = last
        if found:
            self._seen[place.name] = Seen(token, place, found, True)
            yield from chunk
        else:
            del self._seen[place.name]
            self._settle(place, token)

    def _fetch(self, place: Place, after: int, chunk: int) -> list[Found]:
        kind = self._home.file_of(place.name)
        number = self._home.number_in_file(place.name, place.id)
        try:
            with self._files.use(kind) as file:
                found = file.receipts(number, place.name, after_seq=after, chunk=chunk)
                if not found and file.end(number).seq < place.ordered_seq:
                    self._check_still_there(place, f"{kind.path} ends before seq {place.ordered_seq}")
                return found
        except FileNotFoundError:
            if place.ordered_seq:
                self._check_still_there(place, f"{kind.path} is missing")
            return []  # announced, and its writer has not made the file yet

    def _check_still_there(self, place: Place, fault: str) -> None:
        now = self._order.find(place.name)
        if now is not None and now.slot is not None:
            raise CorruptLogError(f"{fault}, yet events of it are on the timeline: restore it from a backup")

    def _ring_for_the_dead(self) -> None:
        now = time.monotonic()
        if now < self._next_roll_call:
            return
        self._next_roll_call = now + DEATHS_EVERY_S
        ring_for_the_dead(self._order, self._bell, self._writers)

    def _settle(self, place: Place, token: bytes) -> None:
        if place.slot is not None:
            self._put(place.slot * SLOT, token)

    def _put(self, at: int, token: bytes) -> None:
        self._settled.extend(bytes(max(0, at + SLOT - len(self._settled))))
        self._settled[at : at + SLOT] = token


def ring_for_the_dead(order: OrderFile, bell: Doorbell, writers: Writers) -> None:
    """Ring all slots if a writer ended without leaving: what it committed last may not have been rung for."""
    if dead := writers.dead():
        for place in order.open_shards():
            if place.slot is not None:
                bell.ring(place.slot)
        for path in dead:  # after the rings: killed in between, the next process does it again
            path.unlink(missing_ok=True)
