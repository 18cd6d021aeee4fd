"""Partitions that are a list: one that the code holds, and one that grows while programs run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ...errors import fault
from .base import DynamicKeys, PartitionsDefinition, key_fault

_SHOWN: Final = 3  #: keys that a description spells


@dataclass(frozen=True)
class StaticPartitionsDefinition(PartitionsDefinition):
    """The keys that are given, in this order.

    `keys`: at least one; each unique, printable, 1 to 500 bytes of UTF-8.

    Raises UsageError for a key that cannot be one. A key may hold `|`, but not in a `MultiPartitionsDefinition`.
    """

    keys: Sequence[str]
    _known: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.keys, str) or not isinstance(self.keys, Sequence):
            raise fault(f"StaticPartitionsDefinition: keys={self.keys!r:.80} is not a list of texts", _GIVE_KEYS)
        keys = tuple(self.keys)
        if not keys:
            raise fault("StaticPartitionsDefinition: keys is empty", _GIVE_KEYS)
        for number, key in enumerate(keys):
            if reason := key_fault(key):
                raise fault(f"StaticPartitionsDefinition: keys[{number}]={key!r:.80} {reason}", _GIVE_KEYS)
        known = frozenset(keys)
        if len(known) < len(keys):
            twice = next(key for key, count in Counter(keys).items() if count > 1)
            raise fault(f"StaticPartitionsDefinition: key {twice!r:.80} is there twice", "Give each key once.")
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "_known", known)

    def get_partition_keys(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> list[str]:
        """The keys as they were given."""
        return list(self.keys)

    def has_partition_key(self, key: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> bool:
        """Whether the key was given."""
        return key in self._known

    def to_document(self) -> dict[str, Any]:
        """`{"type": "static", "keys": [...]}`."""
        return {"type": "static", "keys": list(self.keys)}

    def describe(self) -> str:
        """`static partitions north, south`; of many, the first and how many more."""
        shown = ", ".join(self.keys[:_SHOWN])
        more = len(self.keys) - _SHOWN
        return f"static partitions {shown}" + (f" and {more} more" if more > 0 else "")


_GIVE_KEYS: Final = "Give a list of texts, each printable and 1 to 500 bytes long, as in ['north', 'south']."


@dataclass(frozen=True)
class DynamicPartitionsDefinition(PartitionsDefinition):
    """Keys that programs add to an instance, and take away, under `name`; in the order in which they were added."""

    name: str

    def __post_init__(self) -> None:
        if reason := key_fault(self.name):
            raise fault(f"DynamicPartitionsDefinition: name={self.name!r:.80} {reason}", "Give it a name.")

    def get_partition_keys(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> list[str]:
        """The keys that `dynamic` gives for the name. Raises UsageError without `dynamic`."""
        if dynamic is None:
            raise fault(
                f"dynamic partitions {self.name!r}: their keys are in an instance, and none was given",
                "Run on an instance, or give dynamic=, a function from the name to all of its keys.",
            )
        return list(dynamic(self.name))

    def how_to_add(self) -> str | None:
        """The call that adds keys."""
        return f"Add keys: instance.add_dynamic_partitions({self.name!r}, [...])."

    def why_not(self, key: str, *, now: datetime, dynamic: DynamicKeys | None) -> str:
        """What there is, and how to add a key."""
        why = super().why_not(key, now=now, dynamic=dynamic)
        return f"{why}; instance.add_dynamic_partitions({self.name!r}, [...]) adds keys"

    def to_document(self) -> dict[str, Any]:
        """`{"type": "dynamic", "name": ...}`."""
        return {"type": "dynamic", "name": self.name}

    def describe(self) -> str:
        """`dynamic partitions 'customers'`."""
        return f"dynamic partitions {self.name!r}"
