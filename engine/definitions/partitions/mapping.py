"""Which partitions of an upstream asset a partition of a downstream asset is made from.

A mapping answers for keys of the downstream asset with keys of the upstream one, and names none that is not there: what
it does about a partition that is missing, each class says. Not here: between two dimensions and one (multi_mapping.py),
and which mapping is taken when none was given (default_mapping.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...errors import UsageError, fault
from .base import DynamicKeys, PartitionsDefinition, key_fault, moment
from .listed import StaticPartitionsDefinition
from .windows import TimeWindowPartitionsDefinition

_FARTHEST: Final = 10_000  #: windows that an offset may reach


@dataclass(frozen=True)
class MappingQuestion:
    """Which keys upstream these keys downstream need, at a moment."""

    keys: tuple[str, ...]
    downstream: PartitionsDefinition | None  #: None: not partitioned; then there are no keys
    upstream: PartitionsDefinition
    now: datetime
    dynamic: DynamicKeys | None

    def checked(self, keys: Iterable[str]) -> Iterable[str]:
        """The same keys; UsageError for the first that is no partition upstream."""
        for key in keys:
            thing = f"upstream {self.upstream.describe()}"
            self.upstream.check_key(key, name_of_thing=thing, now=self.now, dynamic=self.dynamic)
            yield key


class PartitionMapping(ABC):
    """From partitions of a downstream asset to those of an upstream asset. Frozen, hashable, equal by content."""

    def upstream_keys(
        self,
        downstream_keys: Sequence[str],
        *,
        downstream: PartitionsDefinition | None,
        upstream: PartitionsDefinition,
        now: datetime | None = None,
        dynamic: DynamicKeys | None = None,
    ) -> list[str]:
        """The keys upstream that these keys downstream need, in the order of the keys downstream, each once.

        `downstream`: None, when the downstream asset is not partitioned; it has no keys then.
        `now`, `dynamic`: as for `PartitionsDefinition`.

        Raises UsageError if the mapping does not fit the definitions, or names a partition that is not there.
        """
        self.check_fits(downstream=downstream, upstream=upstream)
        keys = tuple(str(key) for key in downstream_keys)  # a MultiPartitionKey as plain text, which is what facts hold
        asked = MappingQuestion(keys, downstream, upstream, moment(now), dynamic)
        return list(dict.fromkeys(self.answer(asked)))

    @abstractmethod
    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """The keys upstream; one may come twice. `check_fits` has been asked."""

    def check_fits(self, *, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> None:  # noqa: B027
        """Nothing, if the mapping fits the definitions, as far as they tell without a moment; else UsageError."""

    def misfit(self, problem: str, remedy: str) -> UsageError:
        """The error that this mapping cannot answer."""
        return fault(f"{type(self).__name__}: {problem}", remedy)


@dataclass(frozen=True)
class AllPartitionMapping(PartitionMapping):
    """Every partition there is upstream."""

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """Every key, in the order upstream."""
        return asked.upstream.get_partition_keys(now=asked.now, dynamic=asked.dynamic)


@dataclass(frozen=True)
class LastPartitionMapping(PartitionMapping):
    """The last partition there is upstream; nothing, while there is none."""

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """The last key."""
        last = asked.upstream.get_last_partition_key(now=asked.now, dynamic=asked.dynamic)
        return [] if last is None else [last]


@dataclass(frozen=True)
class IdentityPartitionMapping(PartitionMapping):
    """The partition of the same key. One that is missing upstream is an error."""

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """The same keys."""
        return asked.checked(asked.keys)

    def check_fits(self, *, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> None:
        """Downstream must be partitioned."""
        if downstream is None:
            raise self.misfit("downstream is not partitioned, and has no keys", "Give AllPartitionMapping(), say.")


@dataclass(frozen=True)
class SpecificPartitionsPartitionMapping(PartitionMapping):
    """Always these partitions. One that is missing upstream is an error."""

    keys: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", _texts(type(self).__name__, self.keys))

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """The keys given."""
        return asked.checked(self.keys)

    def check_fits(self, *, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> None:
        """Static partitions upstream must have the keys."""
        _check_known(type(self).__name__, self.keys, upstream, "upstream")


@dataclass(frozen=True, init=False)
class StaticPartitionMapping(PartitionMapping):
    """For each key downstream the keys upstream that are written down for it: `{"eu": ["de", "fr"], "us": "us"}`.

    A key downstream that is not written down is an error; one that needs nothing is written down with `[]`.
    """

    pairs: tuple[tuple[str, tuple[str, ...]], ...]  #: key downstream, keys upstream; by key downstream

    def __init__(self, upstream_by_downstream: Mapping[str, str | Sequence[str]]) -> None:
        name = type(self).__name__
        if not isinstance(upstream_by_downstream, Mapping) or not upstream_by_downstream:
            raise fault(f"{name}: {upstream_by_downstream!r:.80} says of no key what it needs", _GIVE_PAIRS)
        downs = _texts(name, list(upstream_by_downstream))
        texts = {key: [ups] if isinstance(ups, str) else ups for key, ups in upstream_by_downstream.items()}
        pairs = tuple((key, _texts(f"{name}: {key!r:.80}", texts[key])) for key in sorted(downs))
        object.__setattr__(self, "pairs", pairs)

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """What is written down for each key."""
        written = dict(self.pairs)
        for key in self._written(asked.keys):
            yield from asked.checked(written[key])

    def check_fits(self, *, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> None:
        """Static partitions must have the keys; those downstream must all be written down."""
        name = type(self).__name__
        if downstream is None:
            raise self.misfit("downstream is not partitioned, and has no keys", "Give AllPartitionMapping(), say.")
        _check_known(name, [key for key, _ in self.pairs], downstream, "downstream")
        _check_known(name, [key for _, keys in self.pairs for key in keys], upstream, "upstream")
        if isinstance(downstream, StaticPartitionsDefinition):
            self._written(downstream.keys)

    def _written(self, keys: Sequence[str]) -> Sequence[str]:
        """The same keys; UsageError for one that is not written down."""
        written = dict(self.pairs)
        for key in keys:
            if key not in written:
                problem = f"says nothing of the key downstream {key!r:.80}"
                raise self.misfit(problem, f"Write down what it needs; {key!r:.80}: [] if that is nothing.")
        return keys


_GIVE_PAIRS: Final = "Give the keys upstream by key downstream, as in {'eu': ['de', 'fr']}."


@dataclass(frozen=True)
class TimeWindowPartitionMapping(PartitionMapping):
    """Every window upstream that shares some time with the window downstream, whatever their sizes and zones.

    `start_offset`, `end_offset`: move the start and the end of the window downstream first, in windows downstream:
        of days, `start_offset=-1` is the day and the one before it.

    Windows that are not there upstream, before its start or not yet ended, are left out without an error.
    """

    start_offset: int = 0
    end_offset: int = 0

    def __post_init__(self) -> None:
        for name in ("start_offset", "end_offset"):
            value = getattr(self, name)
            if type(value) is not int or abs(value) > _FARTHEST:
                problem = f"{name}={value!r:.80} is not a number of windows from -{_FARTHEST} to {_FARTHEST}"
                raise self.misfit(problem, "Give -1 for one window earlier.")
        if self.start_offset > self.end_offset:
            problem = f"start_offset={self.start_offset} is beyond end_offset={self.end_offset}: no window is left"
            raise self.misfit(problem, "Give a start_offset that is not greater than the end_offset.")

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """The windows upstream that overlap, window by window downstream."""
        downstream, upstream = asked.downstream, asked.upstream
        if isinstance(downstream, TimeWindowPartitionsDefinition) and isinstance(
            upstream, TimeWindowPartitionsDefinition
        ):
            for key in asked.keys:
                window = downstream.time_window_for_partition_key(key)
                start = downstream.shifted(window.start, self.start_offset)
                end = downstream.shifted(window.end, self.end_offset)
                yield from upstream.keys_overlapping(start, end, now=asked.now)

    def check_fits(self, *, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> None:
        """Both must be windows of time."""
        for side, one in (("downstream", downstream), ("upstream", upstream)):
            if not isinstance(one, TimeWindowPartitionsDefinition):
                said = "not partitioned" if one is None else one.describe()
                raise self.misfit(f"{side} is {said}, not windows of time", "Give another mapping.")


def _texts(owner: str, keys: object) -> tuple[str, ...]:
    if isinstance(keys, str) or not isinstance(keys, Sequence):
        raise fault(f"{owner}: {keys!r:.80} is not a list of keys", "Give a list of texts.")
    for key in keys:
        if reason := key_fault(key):
            raise fault(f"{owner}: key {key!r:.80} {reason}", "Give keys that are texts.")
    return tuple(keys)


def _check_known(owner: str, keys: Iterable[str], side: PartitionsDefinition, name: str) -> None:
    """Static partitions tell at once whether they have the keys; the others change in time."""
    if isinstance(side, StaticPartitionsDefinition):
        for key in keys:
            side.check_key(key, name_of_thing=f"{owner}: {name} {side.describe()}")
