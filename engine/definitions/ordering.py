"""What depends on what, in order: steps, assets."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from .names import fault

K = TypeVar("K", bound=Hashable)


def in_order(upstream: Mapping[K, Iterable[K]], depend: str) -> list[K]:
    """Each key behind those it depends on; of those that could come next, the first in the mapping.

    `depend`: what is wrong with a circle, in words: `job 'etl': steps wait for each other`. Raises UsageError for one,
    with its path, the way in which things flow.
    """
    ordered: dict[K, None] = {}
    for root in upstream:
        stack: list[tuple[K, Iterator[K]]] = [] if root in ordered else [(root, iter(upstream[root]))]
        under: dict[K, None] = dict.fromkeys(key for key, _ in stack)  #: being visited, from the outermost in
        while stack:  # not by recursion: a chain may be longer than Python's stack
            key, rest = stack[-1]
            before = next((one for one in rest if one not in ordered), None)
            if before is None:
                ordered[key] = None
                del under[key]
                stack.pop()
            elif before in under:
                path = list(under)
                circle = [before, *reversed(path[path.index(before) :])]
                raise fault(
                    f"{depend} in a circle: {' -> '.join(map(str, circle))}", "Take one of these dependencies away."
                )
            else:
                under[before] = None
                stack.append((before, iter(upstream[before])))
    return list(ordered)
