"""All assets of a program together: who makes each, what lies upstream; and the job that makes some of them.

Promises: no two definitions make one asset; each input is an asset that is known; a circle is shown with its path.
What is selected and makes together is one node; what is upstream and not selected is loaded from what an earlier run
has made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..config.place import meant
from ..errors import UsageError, fault
from ..events.key import AssetCheckKey, AssetKey
from .asset_job import graph_of, partitions_of
from .asset_names import hashed_name
from .assets import AssetsDefinition, AssetSpec, Making
from .job import JobDefinition
from .ordering import in_order
from .partitions import PartitionMapping, PartitionsDefinition, default_mapping
from .selection import Selectable, select
from .shown import shown

Selection = str | AssetKey | AssetsDefinition | Sequence["str | AssetKey | AssetsDefinition"]


@dataclass(frozen=True, eq=False)
class AssetGraph:
    """Assets and checks, by key."""

    definitions: tuple[AssetsDefinition, ...]
    external: Mapping[AssetKey, AssetSpec]  #: declared, and made elsewhere

    @classmethod
    def of(cls, assets: Iterable[AssetsDefinition | AssetSpec], checks: Iterable[AssetsDefinition] = ()) -> AssetGraph:
        """Of all there are. Raises UsageError for what is no asset, for a key or a node that is there twice, for a
        check of what is not there, for an input that no one makes or declares, for a circle, and for partitions that
        nothing maps to each other."""
        made: list[AssetsDefinition] = []
        external: dict[AssetKey, AssetSpec] = {}
        for one in (*assets, *checks):
            if isinstance(one, AssetSpec):
                if external.setdefault(one.asset_key, one) is not one:
                    raise fault(f"the asset {one.asset_key} is declared twice", "Take one AssetSpec away.")
            elif isinstance(one, AssetsDefinition):
                made.append(one)
            else:
                raise fault(
                    f"Definitions: assets holds {shown(one)}, which is no asset",
                    "Make it with @asset, @multi_asset, @asset_check or AssetSpec; jobs belong into jobs=[...].",
                )
        graph = cls(tuple(dict.fromkeys(made)), external)
        graph._check_unique()
        graph._check_inputs()
        in_order(graph.upstream, "assets depend on each other")
        in_order(graph._waits(), "assets and blocking checks wait for each other")
        graph._check_mappings()
        return graph

    @cached_property
    def specs(self) -> dict[AssetKey, AssetSpec]:
        """Every asset that a definition makes."""
        return {key: spec for one in self.definitions for key, spec in one.specs.items()}

    @cached_property
    def maker(self) -> dict[AssetKey, AssetsDefinition]:
        return {key: one for one in self.definitions for key in one.specs}

    @cached_property
    def known(self) -> dict[AssetKey, None]:
        """Every asset that is made here, or declared as made elsewhere."""
        return dict.fromkeys((*self.specs, *self.external))

    @cached_property
    def checks(self) -> dict[AssetCheckKey, AssetsDefinition]:
        return {key: one for one in self.definitions for key in one.checks}

    @cached_property
    def upstream(self) -> dict[AssetKey, tuple[AssetKey, ...]]:
        """Of each asset, those that it is made of, and that a definition makes."""
        return {key: tuple(up for up in ups if up in self.maker) for key, ups in self.above.items()}

    @cached_property
    def above(self) -> dict[AssetKey, tuple[AssetKey, ...]]:
        """Of each asset that is made here, those that it is made of, and that are made here or declared."""
        return {
            key: tuple(up for up in one.upstream_of(key) if up in self.known and up != key)
            for one in self.definitions
            for key in one.specs
        }

    @cached_property
    def node_names(self) -> dict[AssetsDefinition, str]:
        """The name of each definition's node in a job: its own, unless another has it: `raw/orders` beside
        `raw__orders`, or the check `ok` of `orders` beside `orders/ok`. Then the first by key, assets before checks,
        keeps it. Raises UsageError for two that make several assets under one name."""
        by_name: dict[str, list[AssetsDefinition]] = {}
        for one in self.definitions:
            by_name.setdefault(one.node_name, []).append(one)
        found: dict[AssetsDefinition, str] = {}
        for name, those in by_name.items():
            first, *others = sorted(those, key=lambda one: (not one.specs, len(one.specs) == 1, _identity(one)))
            found[first] = name
            for one in others:
                if len(one.specs) > 1:
                    raise fault(
                        f"two nodes are called {name!r}: {first.what} and {one.what}", "Give one another key or name."
                    )
                found[one] = hashed_name(name, _identity(one))
        return found

    def spec_of(self, key: AssetKey) -> AssetSpec | None:
        return self.specs.get(key) or self.external.get(key)

    def partitions_of(self, key: AssetKey) -> PartitionsDefinition | None:
        """The partitions of an asset; None too for one that is not declared."""
        if key in self.maker:
            return self.maker[key].partitions_def or self.specs[key].partitions_def
        spec = self.external.get(key)
        return spec.partitions_def if spec else None

    def mapping(self, definition: AssetsDefinition, upstream: AssetKey) -> PartitionMapping | None:
        """How partitions of what `definition` makes map to those of an asset upstream; None if that has none."""
        above = self.partitions_of(upstream)
        if above is None:
            return None
        own = self.own_partitions(definition, upstream)
        mapping = definition.mappings.get(upstream) or default_mapping(own, above)
        mapping.check_fits(downstream=own, upstream=above)
        return mapping

    def own_partitions(self, definition: AssetsDefinition, upstream: AssetKey) -> PartitionsDefinition | None:
        """The partitions of what `definition` makes; those of what it looks at, if it is a check."""
        return definition.partitions_def if definition.specs else self.partitions_of(upstream)

    def select(self, selection: Selection) -> list[AssetKey]:
        """The keys that a selection names, in the order of their declaration, those made elsewhere last; the syntax:
        selection_syntax.py."""
        items = {
            key.to_text(): Selectable(key=key.to_text(), group=spec.group_name, tags=spec.tags, kinds=tuple(spec.kinds))
            for key, spec in (*self.specs.items(), *self.external.items())
        }
        upstream = {key.to_text(): [one.to_text() for one in ups] for key, ups in self.above.items()}
        return [
            AssetKey.from_text(one)
            for one in select(
                list(_texts(selection)), items, upstream, what="asset", listing="`foldlog asset list` lists them."
            )
        ]

    def job(
        self,
        name: str,
        selection: Selection | Collection[AssetKey] = "*",
        *,
        checks: Collection[AssetCheckKey] | None = None,
        **options: Any,
    ) -> JobDefinition:
        """The job that makes the assets selected, and evaluates their checks (`checks`: only these; with
        an empty selection, nothing else).

        Raises UsageError for partitions that differ, and for a part of what can only be made together.
        """
        only_checks = bool(checks) and not isinstance(selection, str | AssetKey | AssetsDefinition) and not selection
        keys = [] if only_checks else self.select(selection)  # type: ignore[arg-type]
        makings = list(self._makings(f"job {name!r}", keys, checks))
        if keys and not makings:
            raise fault(
                f"job {name!r}: {', '.join(map(str, keys[:3]))} is made elsewhere, and no check here looks at it",
                "Select an asset that is made here, or one that has a check.",
            )
        partitions = partitions_of(name, makings, options.pop("partitions_def", None))
        graph = graph_of(name, makings, self.node_names)
        return JobDefinition.of_graph(graph, name=name, partitions_def=partitions, assets=self, **options)

    def _makings(
        self, what: str, keys: Sequence[AssetKey], checks: Collection[AssetCheckKey] | None
    ) -> Iterator[Making]:
        chosen = set(keys)
        for one in self.definitions:
            mine = tuple(key for key in one.specs if key in chosen)
            looked_at = tuple(
                key for key in one.checks if (key.asset_key in chosen if checks is None else key in checks)
            )
            if not mine and not (looked_at and not one.specs):
                continue
            if mine and len(mine) < len(one.specs) and not one.can_subset:
                left = next(key for key in one.specs if key not in chosen)
                raise fault(
                    f"{what}: {one.node_name} makes {', '.join(map(str, one.specs))} together, and {left} is not "
                    "selected",
                    "Select all of them, or declare it with can_subset=True.",
                )
            yield Making(definition=one, asset_keys=mine, check_keys=looked_at)

    def _check_unique(self) -> None:
        keys: dict[AssetKey, AssetsDefinition] = {}
        checks: dict[AssetCheckKey, AssetsDefinition] = {}
        for one in self.definitions:
            for key in one.specs:
                if key in keys:
                    raise fault(
                        f"the asset {key} is made twice, by {keys[key].made_by} and {one.made_by}",
                        "Give one another key.",
                    )
                if key in self.external:
                    raise fault(
                        f"the asset {key} is made by {one.made_by}, and declared by an AssetSpec as made elsewhere",
                        "Take the AssetSpec away, or give one another key.",
                    )
                keys[key] = one
            for check in one.checks:
                if check in checks:
                    raise fault(f"the check {check} is there twice", "Give one another name.")
                checks[check] = one
        _ = self.node_names
        for check in checks:
            if check.asset_key not in self.known:
                close = meant(str(check.asset_key), map(str, self.known))
                raise fault(
                    f"the check {check} is of {check.asset_key}, which is not there{close}",
                    "Correct the key, or add the asset.",
                )

    def _check_inputs(self) -> None:
        """Raise UsageError for a value that is taken of an asset that is not known: nobody could say what loads it."""
        for one in self.definitions:
            for name, key in one.inputs.items():
                if key not in self.known and not one.op.ins[name].is_nothing:
                    raise self._unknown_input(one, name, key)

    def _unknown_input(self, one: AssetsDefinition, name: str, key: AssetKey) -> UsageError:
        takes = "" if key.parts == (name,) else f" as {name!r}"
        problem = f"{one.what} takes the value of {key}{takes}, which nothing here makes or declares"
        plain = AssetKey((name,))
        if plain in self.known:  # the prefix of the asset was taken for that of the parameter, too
            return fault(problem, f"Write ins={{{name!r}: AssetIn(key={name!r})}}, if {plain} is meant.")
        return fault(
            f"{problem}{meant(str(key), map(str, self.known))}",
            f"Correct the name, add the asset, or declare it with AssetSpec(key={str(key)!r}) if it is made elsewhere.",
        )

    def _waits(self) -> dict[AssetKey | AssetCheckKey, tuple[AssetKey | AssetCheckKey, ...]]:
        """What each asset and each check with a function of its own waits for in a job that makes them all."""
        blocking: dict[AssetKey, list[AssetCheckKey]] = {}
        for check, one in self.checks.items():
            if not one.specs and one.checks[check].blocking:
                blocking.setdefault(check.asset_key, []).append(check)
        found: dict[AssetKey | AssetCheckKey, tuple[AssetKey | AssetCheckKey, ...]] = {}
        for key, ups in self.above.items():
            found[key] = (*(up for up in ups if up in self.maker), *(one for up in ups for one in blocking.get(up, ())))
        for check, one in self.checks.items():
            if not one.specs:
                found[check] = tuple(up for up in one.inputs.values() if up in self.maker)
        return found

    def _check_mappings(self) -> None:
        for one in self.definitions:
            for up in dict.fromkeys(one.inputs.values()):
                if one.specs or one.inputs:
                    try:
                        self.mapping(one, up)
                    except ValueError as error:
                        raise fault(
                            f"{one.what}, made of {up}: {error}", getattr(error, "remedy", "State a partition_mapping.")
                        ) from error


def _identity(one: AssetsDefinition) -> list[str]:
    return [str(key) for key in (*one.specs, *one.checks)]


def _texts(selection: Any) -> Iterator[str]:
    if not isinstance(selection, str | Iterable | AssetKey | AssetsDefinition):
        raise fault(f"selection={selection!r:.80} selects no assets", "Write '*', 'raw/orders+', or a list of assets.")
    for one in [selection] if isinstance(selection, str | AssetKey | AssetsDefinition) else selection:
        if isinstance(one, AssetsDefinition):
            yield from (f'key:"{key.to_text()}"' for key in one.specs)
        elif isinstance(one, str | AssetKey):
            yield one if isinstance(one, str) else f'key:"{one.to_text()}"'
        else:
            raise fault(f"selection holds {shown(one)}, which selects no assets", "Write a text, a key or an asset.")
