"""Dynamic partitions: keys that come and go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..errors import UsageError
from ..events.event import Event
from .base import LIMIT, Facade, check_limit, check_name, texts

if TYPE_CHECKING:
    from ..views.orchestration_records import DynamicPartitionsPage

KEY_BYTES = 500  #: of a partition key; a view cuts what is longer
_IN_ONE_EVENT = 1000


class DynamicPartitions(Facade):
    """The keys of definitions that grow while programs run."""

    def add_dynamic_partitions(self, name: str, keys: Sequence[str], *, key: UUID | None = None) -> None:
        """Add keys to the definition `name`, in this order; one that is there keeps its place.

        `keys`: each 1 to 500 bytes of UTF-8 without NUL. All are added, or none.
        `key`: fresh per decision, the same on its every retry; then a key that was deleted since stays deleted.

        Raises UsageError for a key that cannot be one, or an append beyond the limits of the log.
        """
        from ..events.partition import PartitionsAdded

        new = _checked(name, keys)
        if key is None:  # what is there need not be told again
            there = self.get_existing_dynamic_partitions(name, new)
            new = [one for one in new if one not in there]
        groups = [new[start : start + _IN_ONE_EVENT] for start in range(0, len(new), _IN_ONE_EVENT)]
        if groups:
            events: list[Event[Any]] = [
                Event.now(PartitionsAdded(partitions_def=name, keys=tuple(group))) for group in groups
            ]
            self.log.append(partitions_shard(name), events, key=key)

    def delete_dynamic_partition(self, name: str, key: str) -> None:
        """Take a key out of the definition `name`; nothing happens if it is not there."""
        from ..events.partition import PartitionsDeleted

        check_name("name", name)
        if self.has_dynamic_partition(name, key):
            self._tell(partitions_shard(name), PartitionsDeleted(partitions_def=name, keys=(key,)))

    def get_dynamic_partitions(self, name: str, *, limit: int = LIMIT, cursor: str | None = None) -> list[str]:
        """The keys of the definition `name` in the order in which they were added.

        `cursor`: that of a page; the answer goes on behind it.
        """
        return list(self.get_paginated_dynamic_partitions(name, limit=limit, cursor=cursor).keys)

    def get_paginated_dynamic_partitions(
        self, name: str, *, limit: int = LIMIT, ascending: bool = True, cursor: str | None = None
    ) -> DynamicPartitionsPage:
        """A page of keys, with the cursor behind it, and whether there are more. `ascending`: the oldest first."""
        from ..views import partitions

        check_limit(limit)
        behind = None if cursor is None else _place(cursor)
        with self.views.asking("dynamic_partitions") as (connection, tables):
            return partitions.page(
                connection,
                tables[partitions.DYNAMIC_PARTITIONS],
                name,
                behind=behind,
                ascending=ascending,
                limit=limit,
            )

    def has_dynamic_partition(self, name: str, key: str) -> bool:
        """Whether the definition has the key."""
        return key in self.get_existing_dynamic_partitions(name, [key])

    def get_existing_dynamic_partitions(self, name: str, keys: Collection[str]) -> set[str]:
        """Those of `keys` that the definition has; 1,000 are looked up at a time."""
        from ..views import partitions

        wanted = texts("keys", keys)
        with self.views.asking("dynamic_partitions") as (connection, tables):
            return partitions.existing(connection, tables[partitions.DYNAMIC_PARTITIONS], name, wanted)


def partitions_shard(name: str) -> str:
    """The shard of a definition of dynamic partitions."""
    return f"@partitions/{name}"


def _checked(name: str, keys: Sequence[str]) -> list[str]:
    check_name("name", name)
    found = list(dict.fromkeys(texts("keys", keys)))
    for key in found:
        if not key or "\x00" in key or len(key) > KEY_BYTES or len(key.encode(errors="replace")) > KEY_BYTES:
            raise UsageError(f"partitions {name}: key {key!r:.80} is not 1 to {KEY_BYTES} bytes of text without NUL")
    return found


def _place(cursor: str) -> tuple[int, int]:
    position, _, item = cursor.partition(":") if isinstance(cursor, str) else ("",) * 3
    if not (position.isdecimal() and item.isdecimal() and len(cursor) < 40):
        raise UsageError(f"cursor={cursor!r:.80} is not the cursor of a page of partitions")
    return int(position), int(item)
