"""Beginning anew in a process that was forked: connections stay the parent's, and locks may be held by threads that the
child has not got.

Done at the fork, and not when a pid is found changed: the child may close a log as the first thing it does with it.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """What holds connections or locks."""

    def begin_anew(self) -> None:
        """Called in the child, where no other thread runs yet."""


_KNOWN: WeakSet[Forkable] = WeakSet()


def begin_anew_in_children(one: Forkable) -> None:
    """Have `one.begin_anew()` called in each process that is forked from this one."""
    _KNOWN.add(one)


def _begin_anew() -> None:
    for one in list(_KNOWN):
        one.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)
