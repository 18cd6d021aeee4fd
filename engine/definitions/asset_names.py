"""What is made of the keys of assets, or said beside them: names of nodes, kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2s
from typing import Any

from ..errors import fault
from ..events.key import AssetKey
from .names import NAME_LIMIT
from .shown import shown


def node_name(key: AssetKey, check: str | None = None) -> str:
    """The name of the node of an asset, or of a check of it: parts joined by `__`.

    Where a character is none of a name, or there are too many, a hash of the whole stands at the end.
    """
    parts = key.parts if check is None else (*key.parts, check)
    joined = "__".join(parts)
    name = re.sub(r"[^A-Za-z0-9_]", "_", joined)
    if name[0].isdigit():
        name = f"_{name}"
    if len(name) <= NAME_LIMIT and name.endswith(joined):
        return name
    return hashed_name(name, parts)


def hashed_name(name: str, parts: Iterable[str]) -> str:
    """The name with a hash of the parts at its end, which tells it from all others."""
    end = blake2s("\0".join(parts).encode(), digest_size=4).hexdigest()
    return f"{name[: NAME_LIMIT - len(end) - 1]}_{end}"


def check_kinds(what: str, given: Any) -> tuple[str, ...]:
    """Kinds, sorted, each once. Raises UsageError for what is no set of texts."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise fault(f"{what}: kinds={shown(given)} is no set of texts", "Write kinds={'sql'}.")
    found = list(given)
    for one in found:
        if not isinstance(one, str) or not one or len(one) > NAME_LIMIT or not one.isprintable():
            raise fault(f"{what}: the kind {one!r:.120} is no text of 1 to {NAME_LIMIT} characters", "Shorten it.")
    return tuple(sorted(set(found)))
