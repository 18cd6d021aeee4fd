"""What depends on what, in order: steps, assets, resources."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from ..errors import fault

LISTED: Final = 12  #: names of a circle that are told, at most

K = TypeVar("K", bound=Hashable)


def in_order(
    upstream: Mapping[K, Iterable[K]],
    depend: str,
    remedy: str = "Take one of these dependencies away.",
    *,
    flows: bool = True,
) -> list[K]:
    """Each key behind those it depends on; of those that could come next, the first in the mapping.

    `depend`: what is wrong with a circle, in words: `job 'etl': steps wait for each other`. Raises UsageError for one,
    with its path, the way in which things flow; without `flows`, from what depends to what it depends on.
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
                circle = _shortened([str(one) for one in (before, *reversed(path[path.index(before) :]))])
                circle = circle if flows else circle[::-1]
                raise fault(f"{depend} in a circle: {' -> '.join(circle)}", remedy)
            else:
                under[before] = None
                stack.append((before, iter(upstream[before])))
    return list(ordered)


def _shortened(path: list[str]) -> list[str]:
    if len(path) <= LISTED:
        return path
    half = LISTED // 2
    return [*path[:half], f"({len(path) - 2 * half} more)", *path[-half:]]
