"""Selecting by expression from what has keys and a graph: ops of a job, assets. The syntax: selection_syntax.py.

Promises: what is selected comes in the order of the items; an expression that selects nothing is an error, for it is
a mistyped one far more often than a meant one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Final, assert_never

from ..config.place import meant
from ..errors import UsageError, fault
from .selection_syntax import Both, Either, Ends, Node, Not, Term, Walk, parse
from .shown import shown

LISTED: Final = 12  #: keys in a remedy, at most


@dataclass(frozen=True, kw_only=True)
class Selectable:
    """What an expression may ask of an item."""

    key: str  #: as people write it: `raw/orders` of an asset, `etl.clean` of an op
    group: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    kinds: Collection[str] = ()


def select(
    expressions: str | Sequence[str],
    items: Mapping[str, Selectable],
    upstream: Mapping[str, Collection[str]],
    *,
    what: str,
    listing: str = "",
) -> list[str]:
    """The keys that any of the expressions selects, in the order of `items`.

    `upstream`: key -> the keys it depends on; keys that are no item are looked over. `what` the items are, for
    messages: `asset`. `listing`: how to list them all, as a sentence for the remedy.

    Raises UsageError for a text that is none of the syntax, for a key without signs of a pattern that is no item, and
    for an expression, or a part of one between commas, that selects nothing.
    """
    texts = [expressions] if isinstance(expressions, str) else list(expressions)
    graph = _Graph(items, upstream, what, listing)
    for text in texts:
        if not isinstance(text, str):
            raise graph.fault(f"the selection holds {shown(text)}, which is no text")
    selected: set[str] = set()
    for part, node in [part for text in texts for part in parse(text)]:
        selected |= graph.found(part, node)
    if not texts:
        raise graph.fault("the selection is an empty list, which selects nothing")
    return [key for key in items if key in selected]


@dataclass(frozen=True)
class _Graph:
    """Items and their edges, and the sets that parts of an expression select."""

    items: Mapping[str, Selectable]
    upstream: Mapping[str, Collection[str]]
    what: str
    listing: str
    unmatched: list[str] = field(default_factory=list)  #: hints about the terms that nothing fits, in one expression

    def fault(self, problem: str) -> UsageError:
        """The error with what there is to select as its remedy."""
        listed = ", ".join(islice(self.items, LISTED))
        more = f" and {len(self.items) - LISTED} more" if len(self.items) > LISTED else ""
        there = f"There are {listed}{more}; `*` selects all." if self.items else f"There is no {self.what} at all."
        return fault(problem, f"{there} {self.listing}".rstrip())

    def found(self, text: str, node: Node) -> AbstractSet[str]:
        """What a whole expression selects, which is something."""
        self.unmatched.clear()
        found = self._select(node, text)
        if not found:
            raise self.fault("; ".join([f"the selection {text!r} selects no {self.what}", *self.unmatched]))
        return found

    @cached_property
    def above(self) -> dict[str, list[str]]:
        """Edges between items, from each to what it depends on."""
        return {key: [one for one in self.upstream.get(key, ()) if one in self.items] for key in self.items}

    @cached_property
    def below(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {key: [] for key in self.items}
        for key, others in self.above.items():
            for other in others:
                found[other].append(key)
        return found

    def _select(self, node: Node, text: str) -> AbstractSet[str]:
        match node:
            case Term():
                return self._matching(node, text)
            case Not(of):
                return self.items.keys() - self._select(of, text)
            case Both(of):
                return set.intersection(*(set(self._select(one, text)) for one in of))
            case Either(of):
                return set[str]().union(*(self._select(one, text) for one in of))
            case Walk(of, up, down):
                start = self._select(of, text)
                return _reached(start, self.above, up) | _reached(start, self.below, down)
            case Ends(name, of):
                found = self._select(of, text)
                edges = self.below if name == "sinks" else self.above
                return {key for key in found if found.isdisjoint(edges[key])}
        assert_never(node)

    def _matching(self, term: Term, text: str) -> AbstractSet[str]:
        if term.attribute == "key" and len(term.parts) == 1:
            return self._exactly(term.parts[0], text)
        found = {key for key, item in self.items.items() if _fits(term, item)}
        if not found and self.items:
            known = {name for item in self.items.values() for name in _values(term, item)}
            self.unmatched.append(f"nothing has the {term}{meant(''.join(term.parts), sorted(known))}")
        return found

    def _exactly(self, key: str, text: str) -> AbstractSet[str]:
        if key in self.items:
            return {key}
        inside = "" if text == key else f", which {text!r} names"
        problem = f"there is no {self.what} {key!r}{inside}"
        if f"{key}*" in text and any(other.startswith(key) for other in self.items):
            raise self.fault(f"{problem}; `{key}*` is {key} and all downstream, `key:{key}*` all that begin with it")
        for below in (f"{key}.", f"{key}/"):
            if any(other.startswith(below) for other in self.items):
                raise self.fault(f"{problem}; `{below}*` is all that is in {key}")
        raise self.fault(f"{problem}{meant(key, self.items)}")


def _reached(start: AbstractSet[str], edges: Mapping[str, Collection[str]], levels: int) -> set[str]:
    """The start, and what is so many edges away from it. No recursion: a chain may be longer than the stack."""
    seen, last = set(start), set(start)
    while last and levels > 0:
        last = {other for key in last for other in edges[key]} - seen
        seen |= last
        levels -= 1
    return seen


def _fits(term: Term, item: Selectable) -> bool:
    if term.attribute == "tag" and term.value is not None:
        return any(_like(key, term.parts) and _like(value, term.value) for key, value in item.tags.items())
    return any(_like(one, term.parts) for one in _values(term, item))


def _values(term: Term, item: Selectable) -> Collection[str]:
    match term.attribute:
        case "group":
            return () if item.group is None else (item.group,)
        case "tag":
            return item.tags.keys()
        case "kind":
            return item.kinds
    return (item.key,)


def _like(text: str, parts: tuple[str, ...]) -> bool:
    """Whether the text is the parts with any text between them; each is looked for once, so no pattern is slow."""
    if len(parts) == 1:
        return text == parts[0]
    first, *middle, last = parts
    if not text.startswith(first):
        return False
    at = len(first)
    for part in middle:
        if (found := text.find(part, at)) < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(last) and text.endswith(last)
