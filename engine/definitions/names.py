"""Names, tags and metadata of definitions: which there may be."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from keyword import iskeyword
from typing import Any

from ..errors import EncodingError, fault
from ..events.metadata import MetadataValue, to_metadata

NAME_LIMIT = 100  #: characters
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
TAG_KEY_LIMIT, TAG_VALUE_LIMIT = 250, 1000  #: characters


def check_name(what: str, name: object, remedy: str = "Give it another name with name=.") -> str:
    """The name. Raises UsageError unless it is letters, digits and `_`, up to 100, not beginning with a digit.

    Dots and brackets are kept for step keys: `etl.clean`, `work[a]`.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise fault(f"{what} {name!r:.120}: a name is 1 to 100 letters, digits and '_', no digit at its start", remedy)
    return name


def check_output_name(what: str, name: object) -> str:
    """The name of an output, which graphs write behind a dot: `split().big`. Raises UsageError if they cannot."""
    found = check_name(f"{what}: output", name, "Give the output another name.")
    if found.startswith("_") or iskeyword(found):
        raise fault(
            f"{what}: output {found!r}: a graph could not write .{found}: it is a word of Python, or begins with '_'",
            "Give the output another name.",
        )
    return found


def name_of(kind: str, name: str | None, fn: object, *, remedy: str = "Write a def, or say name='...'.") -> str:
    """The name that was given, or that of the function. Raises UsageError for a function that has none."""
    own = function_name(kind, fn, remedy=remedy) if name is None or not callable(fn) else name
    return check_name(kind, own)


def function_name(kind: str, fn: object, *, remedy: str = "Write a def, or say name='...'.") -> str:
    """What a function is called. Raises UsageError for one that has no name."""
    if not callable(fn):
        raise fault(f"{kind}: {fn!r:.80} is no function", f"Write @{kind} above a def.")
    own = getattr(fn, "__name__", None)
    if own is None or own == "<lambda>":
        called = "lambda" if own else type(fn).__name__
        raise fault(f"{kind}: it is made of a {called}, which has no name of its own", remedy)
    return str(own)


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


def check_metadata(what: str, metadata: Mapping[str, Any] | None) -> dict[str, MetadataValue]:
    """Metadata as facts take them. Raises UsageError, with the path, for what cannot be stored."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise fault(f"{what}: metadata={metadata!r:.80} is no mapping", "Write metadata={'owner': 'growth'}.")
    for key in metadata:
        if not isinstance(key, str):
            raise fault(f"{what}: metadata={metadata!r:.80}: the key {key!r:.80} is no text", "Write it as text.")
    try:
        return to_metadata(metadata)
    except EncodingError as error:
        raise EncodingError(f"{what}: {error}") from None


def check_text(what: str, argument: str, given: object) -> str | None:
    """The text, or None. Raises UsageError for anything else."""
    if given is not None and not isinstance(given, str):
        raise fault(f"{what}: {argument}={given!r:.80} is no text", f"Write {argument}='...'.")
    return given


def check_flag(what: str, argument: str, given: object) -> bool:
    """The flag. Raises UsageError for anything but True and False: "no" would be true."""
    if not isinstance(given, bool):
        raise fault(f"{what}: {argument}={given!r:.80} is not True or False", f"Write {argument}=True or False.")
    return given


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it if it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def check_keys(what: str, argument: str, given: Iterable[str] | None) -> frozenset[str]:
    """A set of names. Raises UsageError for a single text, which would be taken for its letters."""
    if given is None:
        return frozenset()
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise fault(f"{what}: {argument}={given!r:.80} is no set of names", f"Write {argument}={{'name'}}.")
    return frozenset(check_name(f"{what}: {argument}", one, "Write names of letters, digits and '_'.") for one in given)
