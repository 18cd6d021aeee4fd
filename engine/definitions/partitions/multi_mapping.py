"""Between partitions of two dimensions and those of one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...config.place import meant
from .base import PartitionsDefinition
from .mapping import MappingQuestion, PartitionMapping
from .multi import MultiPartitionsDefinition


@dataclass(frozen=True)
class MultiToSingleDimensionPartitionMapping(PartitionMapping):
    """Between partitions of two dimensions and those of one of them, in both directions.

    Downstream has the two: the key's part in that dimension; one that is missing upstream is an error. Upstream has
    the two: every key there is with this part.

    `dimension`: its name; None, where only one of the dimensions has the same definition as the other side.
    """

    dimension: str | None = None

    def answer(self, asked: MappingQuestion) -> Iterable[str]:
        """The parts of the keys, or the keys with these parts."""
        dimension = self._dimension(asked.downstream, asked.upstream)
        if isinstance(asked.downstream, MultiPartitionsDefinition):
            parts = [asked.downstream.parse_key(key).keys_by_dimension[dimension] for key in asked.keys]
            yield from asked.checked(parts)
        elif isinstance(asked.upstream, MultiPartitionsDefinition):
            single = asked.upstream.partitions_defs[dimension]
            for key in asked.keys:
                thing = f"upstream dimension {dimension}"
                single.check_key(key, name_of_thing=thing, now=asked.now, dynamic=asked.dynamic)
                yield from asked.upstream.keys_with(dimension, key, now=asked.now, dynamic=asked.dynamic)

    def check_fits(self, *, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> None:
        """One side must have two dimensions, and the other be one of them."""
        self._dimension(downstream, upstream)

    def _dimension(self, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition) -> str:
        multi, single = (
            (downstream, upstream) if isinstance(downstream, MultiPartitionsDefinition) else (upstream, downstream)
        )
        if not isinstance(multi, MultiPartitionsDefinition) or isinstance(single, MultiPartitionsDefinition | None):
            raise self.misfit("takes two dimensions on one side, one of them on the other", "Give another mapping.")
        same = dimensions_like(multi, single)
        if self.dimension is None:
            if len(same) == 1:
                return same[0]
            found = f"both dimensions, {' and '.join(same)}, are" if same else f"no dimension of {multi.describe()} is"
            raise self.misfit(f"{found} {single.describe()}", "Name one with dimension=, or give another mapping.")
        if self.dimension not in multi.partitions_defs:
            hint = meant(self.dimension, multi.partitions_defs)
            raise self.misfit(
                f"no dimension {self.dimension!r:.80} in {multi.describe()}{hint}", "Correct the name of the dimension."
            )
        if self.dimension not in same:
            raise self.misfit(
                f"dimension {self.dimension} is {multi.partitions_defs[self.dimension].describe()}, "
                f"the other side {single.describe()}",
                "Give both the same definition, or another mapping.",
            )
        return self.dimension


def dimensions_like(multi: MultiPartitionsDefinition, single: PartitionsDefinition | None) -> list[str]:
    """The names of those dimensions that have this very definition."""
    return [name for name, one in multi.dimensions if one == single]
