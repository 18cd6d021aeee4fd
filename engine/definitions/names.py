"""Names and tags of definitions: which there may be, and the error for those that may not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UsageError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
RESERVED = frozenset({"context", "config", "self"})  #: what a parameter of a function means something else by
TAG_KEY_LIMIT, TAG_VALUE_LIMIT = 250, 1000  #: characters


def check_name(what: str, name: object) -> str:
    """The name. Raises UsageError unless it is letters, digits and `_`, up to 100, not beginning with a digit.

    Dots and brackets are kept for step keys: `etl.clean`, `work[a]`.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise fault(
            f"{what} {name!r:.120}: a name is letters, digits and '_', at most 100, and begins with no digit",
            "Give it another name with name=.",
        )
    return name


def check_tags(what: str, tags: Mapping[str, Any] | None) -> dict[str, str]:
    """Tags, as texts. Raises UsageError for what is no mapping of texts to texts, and for what is too long."""
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise fault(f"{what}: tags={tags!r:.80} is no mapping of texts to texts", "Write tags={'team': 'growth'}.")
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise fault(f"{what}: the tag {key!r}: {value!r:.80} is not text to text", "Write both as text.")
        if not key or len(key) > TAG_KEY_LIMIT or len(value) > TAG_VALUE_LIMIT:
            raise fault(
                f"{what}: the tag {key!r:.80} is empty or too long: a key has 1 to {TAG_KEY_LIMIT} characters, a "
                f"value up to {TAG_VALUE_LIMIT}",
                "Shorten it; longer texts belong into metadata.",
            )
    return dict(tags)


def check_text(what: str, argument: str, given: object) -> str | None:
    """The text, or None. Raises UsageError for anything else."""
    if given is not None and not isinstance(given, str):
        raise fault(f"{what}: {argument}={given!r:.80} is no text", f"Write {argument}='...'.")
    return given


def check_keys(what: str, argument: str, given: Iterable[str] | None) -> frozenset[str]:
    """A set of names. Raises UsageError for a single text, which would be taken for its letters."""
    if given is None:
        return frozenset()
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise fault(f"{what}: {argument}={given!r:.80} is no set of names", f"Write {argument}={{'name'}}.")
    return frozenset(check_name(f"{what}: {argument}", one) for one in given)


def fault(problem: str, remedy: str) -> UsageError:
    """The error of a definition, with what to do."""
    error = UsageError(problem)
    error.remedy = remedy
    return error
