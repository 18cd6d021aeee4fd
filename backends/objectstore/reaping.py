"""Writers that are gone, and markers that announce nothing.

A writer that ended without closing the log leaves its registration, and who shuts the gate would put up a guard for it
each time. It is reaped after two days, four times the age at which a writer registers anew: its guard is put up, a step
of the order forgets it, and its registration goes. The guard stays for as long as garbage does. A process that slept in
the middle of an append for longer than that finds its registration gone (landing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from . import markers, names
from .gate import Gatekeeper
from .markers import AGE_S, GUARD, Entry
from .order_log import OrderLog
from .segment import Kind
from .state import State
from .stores.parallel import get_many
from .stores.port import Found

REAP_S: Final = 4 * AGE_S  #: after which a registration is taken for left behind


class Reaping(NamedTuple):
    """What is to go of writers."""

    registrations: list[Found]
    markers: list[Found]  #: that announce what never came
    guards: list[Found]  #: of writers that are not registered any more
    left: list[str]  #: ids that the order remembers, of writers that closed

    def gone(self, state: State) -> list[str]:
        """The ids that the order is to forget."""
        ids = [*(one.name.removeprefix(names.WRITERS) for one in self.registrations), *self.left]
        return sorted(id for id in ids if id in state.writers)


class Reaper:
    """The reaping of one handle."""

    reap_s = REAP_S

    def __init__(self, order: OrderLog, gatekeeper: Gatekeeper) -> None:
        self._order = order
        self._gatekeeper = gatekeeper

    def look(self, before_us: int, grace_s: float) -> Reaping:
        """What was left before a moment by the store's clock, which is `grace_s` seconds ago."""
        order = self._order
        order.refresh()
        with order.lock:
            remembered = list(order.state.writers)
        # Registrations after what the order remembers, and markers after them: a writer is registered before it puts
        # its first marker, so one that is remembered, not registered and has no marker will never put another one.
        listed = order.objects.list(names.WRITERS)
        pending = order.objects.list(names.PENDING)
        registered = {one.name.removeprefix(names.WRITERS) for one in listed}
        marked = {found[0] for one in pending if (found := names.of_marker(one.name)) is not None}
        silent_us = before_us + round((grace_s - max(grace_s, self.reap_s)) * 1e6)
        old = [one for one in pending if one.modified_us <= before_us]
        dead, guards = self._dead(old, registered)
        return Reaping(
            [one for one in listed if one.modified_us <= silent_us],
            dead,
            guards,
            [id for id in remembered if id not in registered and id not in marked],
        )

    def guard(self, reaping: Reaping) -> None:
        """Refuse the next marker of writers that are to go. A guard that was there already becomes as old as this."""
        for name in self._gatekeeper.guard([one.name.removeprefix(names.WRITERS) for one in reaping.registrations]):
            self._order.objects.put(name, markers.guard())

    def _dead(self, old: Sequence[Found], registered: set[str]) -> tuple[list[Found], list[Found]]:
        """Of old markers, those that may go: what they announce never came, or has been placed; and guards that refuse
        nobody."""
        order = self._order
        dead, guards = [], []
        for one, data in zip(old, get_many(order.objects, [one.name for one in old], order.parallel), strict=True):
            found = names.of_marker(one.name)
            if data is None or found is None:
                continue
            id, n = found
            if data.startswith(GUARD):
                if id not in registered:
                    guards.append(one)
                continue
            with order.lock:
                is_noted = n <= order.state.writers.get(id, 0)
            # The number must be known: a guard goes behind it.
            if (is_noted or id not in registered) and not any(map(self._is_there, markers.decode(data, one.name))):
                dead.append(one)
        return dead, guards

    def _is_there(self, entry: Entry) -> bool:
        """Whether a segment that was announced is there, and has no positions yet."""
        shard, first, last = entry
        order = self._order
        with order.lock:
            line = order.state.lines.get(shard)
            end, reach = (0, 0) if line is None else (line.ordered_seq, line.reach)
            generation = order.state.generation
        if last <= end:
            return False
        if first <= reach:  # of several appends, some of which have theirs; or one that lost its slot
            return last <= reach
        data = order.objects.get(names.slot(shard, first, generation), end=16)
        return data is not None and data[8] == Kind.EVENTS
