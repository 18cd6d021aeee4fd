"""Partitions of two dimensions: a day and a region, say.

The text of a key is the values of both dimensions, in the order of the dimensions' names, joined by `|`. No value may
hold a `|`, so a text has one meaning; a definition that has such a value is refused, and nothing is escaped. Keys are
listed as plain texts, which is what facts hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Final

from ...errors import fault
from .base import KEY_BYTES, DynamicKeys, PartitionsDefinition, key_fault, moment
from .listed import StaticPartitionsDefinition
from .windows import TimeWindowPartitionsDefinition

SEPARATOR: Final = "|"
_EXAMPLE: Final = "as in {'date': DailyPartitionsDefinition('2026-01-05'), 'region': StaticPartitionsDefinition(['a'])}"


class MultiPartitionKey(str):
    """The key of a partition of several dimensions: a text that knows its value in each of them."""

    _values: tuple[tuple[str, str], ...]

    def __new__(cls, keys_by_dimension: Mapping[str, str]) -> MultiPartitionKey:
        """Raises UsageError for a value that cannot be one, or that holds `|`."""
        if (
            not isinstance(keys_by_dimension, Mapping)
            or not keys_by_dimension
            or not all(isinstance(name, str) for name in keys_by_dimension)
        ):
            raise fault(
                f"MultiPartitionKey: {keys_by_dimension!r:.80} is not a key for each dimension",
                "Give them by name, as in {'date': '2026-01-05', 'region': 'north'}.",
            )
        values = tuple(sorted(keys_by_dimension.items()))
        for name, value in values:
            if reason := key_fault(value) or _separator_fault(value):
                raise fault(f"MultiPartitionKey: {name}={value!r:.80} {reason}", f"Correct the key of {name}.")
        text = SEPARATOR.join(value for _, value in values)
        if reason := key_fault(text):
            raise fault(f"MultiPartitionKey: {text!r:.80} {reason}", "Give the dimensions shorter keys.")
        key = super().__new__(cls, text)
        key._values = values
        return key

    def __getnewargs__(self) -> tuple[dict[str, str]]:  # type: ignore[override]  # what __new__ of this class takes
        return (self.keys_by_dimension,)

    @property
    def keys_by_dimension(self) -> dict[str, str]:
        """Name of a dimension -> the key in it; in the order of the names."""
        return dict(self._values)


@dataclass(frozen=True, init=False)
class MultiPartitionsDefinition(PartitionsDefinition):
    """Every pair of a partition of one dimension with one of the other.

    Listed by the first dimension in the order of the names, then by the second: `date` changes slower than `region`.

    Raises UsageError unless there are two dimensions, neither of them a multi one, whose keys hold no `|`.
    """

    dimensions: tuple[tuple[str, PartitionsDefinition], ...]  #: name and definition, in the order of the names

    def __init__(self, partitions_defs: Mapping[str, PartitionsDefinition]) -> None:
        _check_dimensions(partitions_defs)
        object.__setattr__(self, "dimensions", tuple(sorted(partitions_defs.items())))

    @property
    def partitions_defs(self) -> dict[str, PartitionsDefinition]:
        """Name of a dimension -> its definition."""
        return dict(self.dimensions)

    def parse_key(self, key: str) -> MultiPartitionKey:
        """The key by dimension. Looks at the form alone: whether there is such a partition, `check_key` says.

        Raises UsageError for a text of another form.
        """
        values = key.split(SEPARATOR)
        if len(values) != len(self.dimensions):
            raise fault(f"{self.describe()}: {key!r:.80} is no key; {self._form}", "Give a key of this form.")
        return MultiPartitionKey(dict(zip(self._names, values, strict=True)))

    def get_partition_keys(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> list[str]:
        """Every key at `now`, as text; `parse_key` tells its values."""
        now = moment(now)
        return self._pairs(lambda _, one: one.get_partition_keys(now=now, dynamic=dynamic))

    def has_partition_key(self, key: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> bool:
        """Whether each dimension has its part of the key."""
        values = key.split(SEPARATOR)
        now = moment(now)
        return len(values) == len(self.dimensions) and all(
            one.has_partition_key(value, now=now, dynamic=dynamic)
            for (_, one), value in zip(self.dimensions, values, strict=True)
        )

    def get_first_partition_key(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> str | None:
        """The first key of both dimensions; None when one of them has none."""
        now = moment(now)
        return self._pair(lambda one: one.get_first_partition_key(now=now, dynamic=dynamic))

    def get_last_partition_key(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> str | None:
        """The last key of both dimensions; None when one of them has none."""
        now = moment(now)
        return self._pair(lambda one: one.get_last_partition_key(now=now, dynamic=dynamic))

    def get_partition_keys_in_range(
        self, start: str, end: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None
    ) -> list[str]:
        """The keys that lie between those of `start` and `end` in each dimension: a rectangle."""
        now = moment(now)
        for key in (start, end):
            self.check_key(key, name_of_thing=self.describe(), now=now, dynamic=dynamic)
        first, last = self.parse_key(start).keys_by_dimension, self.parse_key(end).keys_by_dimension
        return self._pairs(
            lambda name, one: one.get_partition_keys_in_range(first[name], last[name], now=now, dynamic=dynamic)
        )

    def how_to_add(self) -> str | None:
        """How to add keys to its dimensions, where that can be done."""
        return " ".join(filter(None, (one.how_to_add() for _, one in self.dimensions))) or None

    def keys_with(
        self, dimension: str, value: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None
    ) -> list[str]:
        """Every key with this value in this dimension."""
        now = moment(now)
        return self._pairs(
            lambda name, one: [value] if name == dimension else one.get_partition_keys(now=now, dynamic=dynamic)
        )

    def why_not(self, key: str, *, now: datetime, dynamic: DynamicKeys | None) -> str:
        """The form of a key, or what is wrong in which dimension."""
        values = key.split(SEPARATOR)
        if len(values) != len(self.dimensions):
            return self._form
        return "; ".join(
            f"{name} has no {value!r:.80}: {one.why_not(value, now=now, dynamic=dynamic)}"
            for (name, one), value in zip(self.dimensions, values, strict=True)
            if not one.has_partition_key(value, now=now, dynamic=dynamic)
        )

    def to_document(self) -> dict[str, Any]:
        """`{"type": "multi", "dimensions": {name: document of its definition}}`."""
        return {"type": "multi", "dimensions": {name: one.to_document() for name, one in self.dimensions}}

    def describe(self) -> str:
        """`date (daily partitions from 2026-01-05, UTC) x region (static partitions north, south)`."""
        return " x ".join(f"{name} ({one.describe()})" for name, one in self.dimensions)

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self.dimensions]

    @property
    def _form(self) -> str:
        return f"its keys have the form {SEPARATOR.join(self._names)}"

    def _pair(self, key_in: Callable[[PartitionsDefinition], str | None]) -> str | None:
        return next(iter(self._pairs(lambda _, one: [] if (key := key_in(one)) is None else [key])), None)

    def _pairs(self, keys_in: Callable[[str, PartitionsDefinition], list[str]]) -> list[str]:
        listed = [self._separable(name, keys_in(name, one)) for name, one in self.dimensions]
        return [SEPARATOR.join(values) for values in product(*listed)]

    def _separable(self, name: str, keys: list[str]) -> list[str]:
        """The same keys; those of a dynamic definition may hold anything."""
        for key in keys:
            if SEPARATOR in key:
                raise fault(
                    f"{self.describe()}: {name} has the key {key!r:.80}, which {_separator_fault(key)}",
                    f"Take the key away, and add one without {SEPARATOR}.",
                )
        return keys


def _check_dimensions(given: Mapping[str, PartitionsDefinition]) -> None:
    said = "MultiPartitionsDefinition"
    if not isinstance(given, Mapping):
        raise fault(f"{said}: {given!r:.80} is not a definition for each dimension", f"Give two by name, {_EXAMPLE}.")
    if len(given) != 2:
        names = f": {', '.join(map(str, given))}" if given else ""
        raise fault(f"{said}: takes exactly two dimensions, not {len(given)}{names}", f"Give two by name, {_EXAMPLE}.")
    for name, one in given.items():
        if reason := key_fault(name):
            raise fault(f"{said}: the name of a dimension, {name!r:.80}, {reason}", "Give it a name.")
        if isinstance(one, MultiPartitionsDefinition):
            raise fault(f"{said}: dimension {name} is itself one of several dimensions", "Give one of a single one.")
        if not isinstance(one, PartitionsDefinition):
            raise fault(f"{said}: dimension {name} is {one!r:.80}, not a definition", f"Give two, {_EXAMPLE}.")
        if reason := _values_fault(one):
            raise fault(f"{said}: dimension {name}: {reason}", f"Take the {SEPARATOR} out of it.")
    if (size := sum(map(_longest, given.values())) + 1) > KEY_BYTES:
        raise fault(
            f"{said}: a key of {' and '.join(given)} would be {size} bytes long; {KEY_BYTES} are allowed",
            "Give the dimensions shorter keys.",
        )


def _values_fault(one: PartitionsDefinition) -> str | None:
    if isinstance(one, StaticPartitionsDefinition):
        texts, what = list(one.keys), "key"
    elif isinstance(one, TimeWindowPartitionsDefinition):
        texts, what = [one.fmt or ""], "fmt"
    else:
        return None  # dynamic keys: looked at when they are listed
    return next((f"{what} {text!r:.80} {_separator_fault(text)}" for text in texts if SEPARATOR in text), None)


def _separator_fault(text: str) -> str | None:
    return f"holds a {SEPARATOR}, which separates the dimensions" if SEPARATOR in text else None


def _longest(one: PartitionsDefinition) -> int:
    """Bytes of the longest key, as far as the definition tells."""
    return max(len(key.encode()) for key in one.keys) if isinstance(one, StaticPartitionsDefinition) else 0
