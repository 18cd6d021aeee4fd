"""The syntax of selections: from a text to a tree, or an error that points at the place.

    *                       all
    raw/orders, etl.clean   exactly this key; "in quotes" when it holds other signs, or is a word of the syntax
    raw/*, */orders, r*s    a pattern: `*` is any text, also with / and . in it
    *x, +x, ++x, 2+x        x and what is upstream of it: all, one level, two, two
    x*, x+, x++, x+2        the same downstream; also around parentheses: +(a or b)*
    key:, group:, kind:     by an attribute, each with a pattern; tag:k, tag:k=v by a tag
    not, and, or, (), `,`   in this order of strength; a comma is the weakest `or`
    sinks(x), roots(x)      what of x nothing else in x is downstream of (upstream of)

What `*` means: at the beginning or the end of a key it walks the graph, unless it stands alone or beside a / or a dot:
`raw/o*` is raw/o and all downstream of it, `raw/*` is everything under raw/. Behind `key:` and the other attributes it
is always a pattern: `key:raw/o*` is every key that begins with raw/o.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from ..config.place import meant
from ..errors import fault

ALL: Final = sys.maxsize  #: levels of a walk that ends only where the graph does
DEPTH: Final = 50  #: parentheses inside parentheses, at most
ATTRIBUTES: Final = ("key", "group", "kind", "tag")
FUNCTIONS: Final = ("sinks", "roots")

_TOKEN = re.compile(r'\s*(?P<text>[(),]|(?:[^\s(),"]|"[^"]*")+)')
_BEFORE = re.compile(r"\*(?![/.])|\d{1,9}\+|\++")
_AFTER = re.compile(r"(?:(?<![/.])\*|\++|\+\d{1,9})$")
_AFTER_ATTRIBUTE = re.compile(r"(?:\++|\+\d{1,9})$")
_ATTRIBUTE = re.compile(r"([^\W\d]\w*):")
_PIECES = re.compile(r'"([^"]*)"|([^"]+)')


@dataclass(frozen=True)
class Term:
    """What has the attribute; `parts` of a text with any text between them, so one part is exactly that text."""

    attribute: str
    parts: tuple[str, ...]
    value: tuple[str, ...] | None = None  #: of a tag, in parts as well; None: any

    def __str__(self) -> str:
        shown = "*".join(self.parts) + ("" if self.value is None else "=" + "*".join(self.value))
        return f"{self.attribute} {shown!r}"


@dataclass(frozen=True)
class Walk:
    """What `of` selects, and so many levels around it."""

    of: Node
    up: int
    down: int


@dataclass(frozen=True)
class Ends:
    """What of a selection has nothing further in it, on one side."""

    name: str  #: one of FUNCTIONS
    of: Node


@dataclass(frozen=True)
class Not:
    of: Node


@dataclass(frozen=True)
class Both:
    of: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    of: tuple[Node, ...]


Node = Term | Walk | Ends | Not | Both | Either


class _Token(NamedTuple):
    text: str
    start: int
    touches: bool  #: whether nothing is between it and the one before

    @property
    def word(self) -> str:
        """In the way that keywords are compared."""
        return self.text.lower()


def parse(text: str) -> list[tuple[str, Node]]:
    """The parts between the commas, each with its text. Raises UsageError with the place of what is wrong."""
    return _Parser(text).parts()


class _Parser:
    """Reads tokens from left to right; a method a level of strength."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.at = 0
        self.depth = 0

    def _split(self) -> Iterator[_Token]:
        end = 0
        while end < len(self.text.rstrip()):
            if (found := _TOKEN.match(self.text, end)) is None:
                self._fail("this quote has no end", self.text.index('"', end))
            yield _Token(found["text"], found.start("text"), found.start("text") == end)
            end = found.end()
        yield _Token("", end, False)

    def _fail(self, problem: str, start: int) -> NoReturn:
        line = re.sub(r"\s", " ", self.text)  # one sign each, so that the caret stays where it is meant
        raise fault(
            f"the selection cannot be read: {problem}\n    {line}\n    {' ' * start}^",
            'Write keys, patterns, and, or, not; a key with other signs in "quotes": `raw/* and not tag:slow`.',
        )

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def _took(self, text: str) -> bool:
        found = self.next.word == text
        self.at += found
        return found

    def parts(self) -> list[tuple[str, Node]]:
        found: list[tuple[str, Node]] = []
        while not found or self._took(","):
            start = self.next.start
            node = self._either()
            found.append((self.text[start : self.next.start].strip(), node))
        if self.next.text:
            self._fail("here `and`, `or`, a comma or the end was expected", self.next.start)
        return found

    def _either(self) -> Node:
        found = [self._both()]
        while self._took("or"):
            found.append(self._both())
        return found[0] if len(found) == 1 else Either(tuple(found))

    def _both(self) -> Node:
        found = [self._negated()]
        while self._took("and"):
            found.append(self._negated())
        return found[0] if len(found) == 1 else Both(tuple(found))

    def _negated(self) -> Node:
        negated = False
        while self._took("not"):
            negated = not negated
        node = self._walked()
        return Not(node) if negated else node

    def _walked(self) -> Node:
        token = self.next
        if token.text in ("", ")", ",") or token.word in ("and", "or"):
            self._fail(f"here a key or an expression was expected, not {token.text or 'the end'}", token.start)
        if token.text == "(":
            return self._after_group(0, self._group())
        self.at += 1
        opens = self.next.text == "(" and self.next.touches
        return self._before_group(token) if opens else self._term(token)

    def _before_group(self, token: _Token) -> Node:
        before = _BEFORE.match(token.text)
        name = token.text[before.end() if before else 0 :]
        if name and name not in FUNCTIONS:
            self._fail(f"there is no function {name!r}{meant(name, FUNCTIONS)}", token.start)
        inner = self._group()
        return self._after_group(_levels(before[0] if before else ""), Ends(name, inner) if name else inner)

    def _group(self) -> Node:
        """What is between parentheses, with commas as `or`."""
        opened = self.next.start
        self.at += 1
        self.depth += 1
        if self.depth > DEPTH:
            self._fail(f"more than {DEPTH} parentheses are open", opened)
        found = [self._either()]
        while self._took(","):
            found.append(self._either())
        if not self._took(")"):
            problem = "here `)` was expected" if self.next.text else "this parenthesis is not closed"
            self._fail(problem, self.next.start if self.next.text else opened)
        self.depth -= 1
        return found[0] if len(found) == 1 else Either(tuple(found))

    def _after_group(self, up: int, node: Node) -> Node:
        down = 0
        if self.next.touches and _AFTER.fullmatch(self.next.text):
            down = _levels(self.next.text)
            self.at += 1
        return Walk(node, up, down) if up or down else node

    def _term(self, token: _Token) -> Node:
        text, start = token.text, token.start
        if text == "*":
            return Term("key", ("", ""))
        before = _BEFORE.match(text)
        text, start = (text[before.end() :], start + before.end()) if before else (text, start)
        attribute = _ATTRIBUTE.match(text)
        after = (_AFTER_ATTRIBUTE if attribute else _AFTER).search(text) if text != "*" else None
        text = text[: after.start()] if after else text
        if not text:
            self._fail(f"{token.text} stands before or behind a key", token.start)
        up, down = _levels(before[0] if before else ""), _levels(after[0] if after else "")
        term = self._attributed(attribute, text, start) if attribute else Term("key", self._parts(text, start))
        return Walk(term, up, down) if up or down else term

    def _attributed(self, found: re.Match[str], text: str, start: int) -> Term:
        name, rest, start = found[1], text[found.end() :], start + found.end()
        if name not in ATTRIBUTES:
            self._fail(
                f"there is no attribute {name!r}{meant(name, ATTRIBUTES)}; a key with `:` is quoted", found.start()
            )
        key, equals, value = _at_equals(rest) if name == "tag" else (rest, "", "")
        if not key:
            self._fail(f"{name}: has nothing behind it", start)
        values = self._parts(value, start + len(key) + 1) if equals else None
        return Term(name, self._parts(key, start), values)

    def _parts(self, text: str, start: int) -> tuple[str, ...]:
        """The text without its quotes, cut where a `*` stands outside of them."""
        parts = [""]
        for piece in _PIECES.finditer(text):
            quoted, bare = piece.groups()
            if bare and "+" in bare:
                self._fail("`+` stands before or behind a key only", start + piece.start() + bare.index("+"))
            first, *others = [quoted] if quoted is not None else bare.split("*")
            parts[-1] += first
            parts += others
        return tuple(parts)


def _levels(sign: str) -> int:
    if sign == "*":
        return ALL
    digits = sign.strip("+")
    return int(digits) if digits else len(sign)


def _at_equals(text: str) -> tuple[str, str, str]:
    """The text before and behind the first `=` outside of quotes."""
    for piece in _PIECES.finditer(text):
        if piece[2] and "=" in piece[2]:
            cut = piece.start() + piece[2].index("=")
            return text[:cut], "=", text[cut + 1 :]
    return text, "", ""
