"""What every partitions definition promises: keys that are texts, unique, in a stated order, for a given moment.

Two definitions are equal when they say the same. None reads a clock when it is given `now`, and none knows an instance:
the keys that grow while programs run come from the callable `dynamic`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ...config.place import meant
from ...errors import UsageError, fault

DynamicKeys = Callable[[str], Sequence[str]]  #: name of a dynamic definition -> its keys, as they were added

KEY_BYTES: Final = 500  #: of a partition key; views and the log keep no longer ones
YEARS: Final = range(1000, 9990)  #: of four digits, with room for offsets behind them
_SEARCHED: Final = 5_000  #: keys among which a misspelt one is looked for, so that the error comes at once


class PartitionKeyRange(NamedTuple):
    """All partitions from one key to another, both included, in the order of their definition."""

    start: str
    end: str


class PartitionsDefinition(ABC):
    """The partitions that an asset or a job is cut into. Frozen, hashable, equal by content.

    `now`: aware datetime, the moment for which the question is answered; by default the clock's.
    `dynamic`: gives all keys of a dynamic definition by its name, as `Instance.get_dynamic_partitions` does with a
        limit that is high enough.
    """

    @abstractmethod
    def get_partition_keys(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> list[str]:
        """Every key there is at `now`, in the order of the definition."""

    @abstractmethod
    def to_document(self) -> dict[str, Any]:
        """The definition as plain data for a snapshot: equal definitions give equal documents."""

    @abstractmethod
    def describe(self) -> str:
        """The definition in one line, for people."""

    def has_partition_key(self, key: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> bool:
        """Whether there is such a partition at `now`."""
        return key in self.get_partition_keys(now=now, dynamic=dynamic)

    def check_key(
        self, key: str, *, name_of_thing: str, now: datetime | None = None, dynamic: DynamicKeys | None = None
    ) -> None:
        """Nothing, if there is such a partition at `now`.

        `name_of_thing`: what is partitioned, as the message is to call it: `asset raw/orders`.

        Raises UsageError that names the thing and the key, and says what is there.
        """
        now = moment(now)
        if not isinstance(key, str):
            raise fault(f"{name_of_thing}: partition key {key!r:.80} is not text", "Give the key as text.")
        if not self.has_partition_key(key, now=now, dynamic=dynamic):
            why = self.why_not(key, now=now, dynamic=dynamic)
            raise fault(f"{name_of_thing}: no partition {key!r:.80}; {why}", "Give a key that its partitions have.")

    def get_first_partition_key(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> str | None:
        """The first key in the order of the definition; None when there is none at `now`."""
        return next(iter(self.get_partition_keys(now=now, dynamic=dynamic)), None)

    def get_last_partition_key(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> str | None:
        """The last key in the order of the definition; None when there is none at `now`."""
        return next(reversed(self.get_partition_keys(now=now, dynamic=dynamic)), None)

    def get_partition_keys_in_range(
        self, start: str, end: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None
    ) -> list[str]:
        """The keys from `start` to `end`, both included; a `PartitionKeyRange` is handed on as `*key_range`.

        Raises UsageError if one of them is no partition at `now`, or `start` comes behind `end`.
        """
        now = moment(now)
        for key in (start, end):
            self.check_key(key, name_of_thing=self.describe(), now=now, dynamic=dynamic)
        keys = self.get_partition_keys(now=now, dynamic=dynamic)
        first, last = keys.index(start), keys.index(end)
        if first > last:
            raise backwards(self, start, end)
        return keys[first : last + 1]

    def how_to_add(self) -> str | None:
        """What makes further keys, as a sentence for a remedy; None where only time or the code does."""
        return None

    def why_not(self, key: str, *, now: datetime, dynamic: DynamicKeys | None) -> str:
        """Why there is no such partition: what there is, and what was probably meant. The end of a message."""
        keys = self.get_partition_keys(now=now, dynamic=dynamic)
        return extent(keys) + meant(key, keys[:_SEARCHED])


def moment(now: datetime | None) -> datetime:
    """The moment that a question is about, in UTC. The one place here that reads the clock."""
    return datetime.now(UTC) if now is None else in_utc(now, "now")


def in_utc(when: datetime, name: str) -> datetime:
    """An aware datetime in UTC; `name` says which argument it was."""
    if not isinstance(when, datetime) or when.utcoffset() is None:
        raise fault(f"{name}={when!r:.80} is not a datetime with a time zone", "Give datetime.now(UTC), say.")
    if when.year not in YEARS:
        raise fault(f"{name}={when.isoformat()} is not of the years {YEARS[0]} to {YEARS[-1]}", "Give another moment.")
    return when.astimezone(UTC)


def check_partitions(what: str, given: object) -> PartitionsDefinition | None:
    """The definition, or None. Raises UsageError for anything else."""
    if given is not None and not isinstance(given, PartitionsDefinition):
        raise fault(
            f"{what}: partitions_def={given!r:.80} defines no partitions",
            "Write DailyPartitionsDefinition('2026-01-01'), StaticPartitionsDefinition(['eu', 'us']) or another.",
        )
    return given


def backwards(definition: PartitionsDefinition, start: str, end: str) -> UsageError:
    """The error that a range ends before it starts."""
    return fault(f"{definition.describe()}: {start!r} comes behind {end!r}", "Give the earlier key first.")


def extent(keys: Sequence[str]) -> str:
    """How many keys there are, and from where to where."""
    if not keys:
        return "it has none yet"
    if len(keys) == 1:
        return f"it has only {keys[0]!r}"
    return f"it has {len(keys)}, from {keys[0]!r} to {keys[-1]!r}"


def key_fault(key: object) -> str | None:
    """Why something cannot be a partition key; None if it can."""
    if not isinstance(key, str):
        return "is not text"
    if not key:
        return "is empty"
    if not key.isprintable():
        return "holds a character that cannot be shown"
    if len(key.encode()) > KEY_BYTES:
        return f"is longer than {KEY_BYTES} bytes"
    return None
