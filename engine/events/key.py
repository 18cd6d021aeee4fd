"""Names of assets and of their checks. Values that facts carry; not facts themselves."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..errors import UsageError

_TEXT = frozenset((str,))


class AssetKey(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """The name of an asset: a path of one or more parts. `AssetKey("a")`, `AssetKey(["raw", "orders"])`.

    Immutable, hashable, ordered part by part. A part is any non-empty text; `/` and backslash are escaped in the text
    form, so `from_text(to_text())` is the same key. On the wire: an array that holds one array of text.
    """

    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        parts = self.parts
        if type(parts) is tuple and parts and "" not in parts and _TEXT.issuperset(map(type, parts)):
            return
        if type(parts) is not tuple:
            # Typed as a tuple for readers; writers may also give a list, or the text of a key of one part.
            given = (parts,) if isinstance(parts, str) else _parts(parts)
            msgspec.structs.force_setattr(self, "parts", given)
            parts = given
        if not parts or not all(type(part) is str and part for part in parts):
            raise UsageError(f"an asset key is one or more non-empty texts, not {parts!r}")

    @classmethod
    def of(cls, key: AssetKey | str | Iterable[str]) -> AssetKey:
        """A key from whatever a user may write: a key, a text as `raw/orders`, parts."""
        if isinstance(key, AssetKey):
            return key
        return cls.from_text(key) if isinstance(key, str) else cls(_parts(key))

    @classmethod
    def from_text(cls, text: str) -> AssetKey:
        r"""The key that `to_text` wrote: parts split at `/`, with `\/` and `\\` for the two characters themselves."""
        if "\\" not in text:
            return cls(tuple(text.split("/")))
        parts, part, escaped = [], "", False
        for char in text:
            if escaped or char not in "\\/":
                part, escaped = part + char, False
            elif char == "\\":
                escaped = True
            else:
                parts.append(part)
                part = ""
        if escaped:
            raise UsageError(f"asset key {text!r} ends in a lone backslash")
        return cls((*parts, part))

    def to_text(self) -> str:
        """The parts joined by `/`; one text per key, and one key per text."""
        text = "/".join(self.parts)
        if "\\" not in text and text.count("/") == len(self.parts) - 1:  # as a rule there is nothing to escape
            return text
        return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in self.parts)

    def starts_with(self, prefix: AssetKey) -> bool:
        """Whether the key lies under `prefix` (or is it)."""
        return self.parts[: len(prefix.parts)] == prefix.parts

    def __str__(self) -> str:
        return self.to_text()


def _parts(given: Iterable[str]) -> tuple[str, ...]:
    if not isinstance(given, Iterable):
        raise UsageError(f"an asset key is one or more non-empty texts, not {given!r:.80}")
    return tuple(given)


class AssetCheckKey(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """The name of a check: the asset it looks at, and its own name. `AssetCheckKey("raw/orders", "no_nulls")`.

    The asset may be given in every form that `AssetKey.of` takes.
    """

    asset_key: AssetKey
    name: str

    def __post_init__(self) -> None:
        if type(self.asset_key) is not AssetKey:
            msgspec.structs.force_setattr(self, "asset_key", AssetKey.of(self.asset_key))
        if not isinstance(self.name, str):
            raise UsageError(f"the name of a check is a text, not {self.name!r:.80}")

    def __str__(self) -> str:
        return f"{self.asset_key}:{self.name}"


#: what a caller may write for an asset: a key, its text as `raw/orders`, or its parts
AssetLike = AssetKey | str | Iterable[str]
