"""What the decorators of assets share: the inputs of the op behind assets, and the checks that it does too."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

from ..errors import fault
from ..events.key import AssetKey, AssetLike
from .asset_names import node_name
from .assets import AssetCheckSpec, AssetDep, AssetIn, AssetsDefinition, AssetSpec, deps_of, in_of, key_of, key_with
from .inout import In, Nothing
from .names import NAME_LIMIT, check_keys, free_name
from .partitions import PartitionMapping
from .shown import shown
from .signature import Parameter, read_signature

_ROOM: Final = NAME_LIMIT - 6  #: of the name of an input that a number may follow
Fn = Callable[..., Any]
Deps = Iterable[AssetDep | AssetsDefinition | AssetSpec | AssetLike]


class AssetInputs:
    """The inputs of the op behind assets: one for each parameter, and one without a value for each other dependency."""

    def __init__(
        self,
        what: str,
        fn: Fn,
        stated: Mapping[str, AssetIn],
        deps: Deps,
        resources: Iterable[str] | None,
        prefix: tuple[str, ...],
    ) -> None:
        self._what = what
        parameters = read_signature(what, fn, resources=check_keys(what, "required_resource_keys", resources)).inputs
        _check_stated(what, stated)
        if unknown := set(stated) - set(parameters):
            raise fault(
                f"{what}: ins has {sorted(unknown)[0]!r}, and the function has no such parameter (it has: "
                f"{', '.join(parameters) or 'none'})",
                "Correct the name, or name the asset in deps.",
            )
        self.ins: dict[str, In] = {}
        self.keys: dict[str, AssetKey] = {}
        self.mappings: dict[AssetKey, PartitionMapping] = {}
        self._deps: dict[AssetKey, AssetDep] = {}
        for name, parameter in parameters.items():
            self._add_parameter(name, parameter, stated.get(name), prefix)
        self.add_deps(deps_of(what, deps))

    def _add_parameter(self, name: str, parameter: Parameter, given: AssetIn | None, prefix: tuple[str, ...]) -> None:
        given = given or AssetIn()
        if given.key is None:  # called like the parameter, beside the asset itself if nothing else is said
            key = key_with(prefix if given.key_prefix is None else given.key_prefix, AssetKey((name,)))
        else:
            key = key_with(given.key_prefix, given.key)
        self.ins[name] = in_of(given, parameter.annotation)
        self._note(name, AssetDep(key=key, partition_mapping=given.partition_mapping))

    @property
    def deps(self) -> list[AssetDep]:
        """What it is made of, each asset once."""
        return list(self._deps.values())

    def add_deps(self, deps: Iterable[AssetDep]) -> None:
        """Those that are no input yet become inputs without a value."""
        for dep in map(AssetDep.of, deps):
            if dep.key in self._deps:
                self._add_mapping(dep)
                continue
            # `raw/orders` and `raw__orders` are two, and a parameter may be called so, too.
            name = free_name(f"after_{node_name(dep.key)}"[:_ROOM], self.ins)
            self.ins[name] = In(Nothing)
            self._note(name, dep)

    def _note(self, name: str, dep: AssetDep) -> None:
        self.keys[name] = dep.key
        self._deps.setdefault(dep.key, dep)
        self._add_mapping(dep)

    def _add_mapping(self, dep: AssetDep) -> None:
        """Take the partition mapping, if one is stated."""
        mapping = dep.partition_mapping
        if mapping is None:
            return
        if self.mappings.setdefault(dep.key, mapping) != mapping:
            raise fault(
                f"{self._what}: two partition mappings are stated for {dep.key}: {self.mappings[dep.key]!r:.120} and "
                f"{mapping!r:.120}",
                "State one; a step loads an asset once.",
            )
        self._deps[dep.key] = dep


def _check_stated(what: str, stated: object) -> None:
    if not isinstance(stated, Mapping):
        raise fault(f"{what}: ins={shown(stated)} is no mapping", "Write ins={'orders': AssetIn(key='raw/orders')}.")
    for name, one in stated.items():
        if not isinstance(one, AssetIn):
            raise fault(
                f"{what}: ins[{name!r}] is {shown(one)}, and no AssetIn",
                f"Write ins={{{name!r}: AssetIn(key='raw/orders')}}.",
            )


def check_specs_of(what: str, specs: Sequence[AssetCheckSpec], own: Container[AssetKey]) -> dict[Any, AssetCheckSpec]:
    """The checks that a function does besides, by key. `own`: the assets that it makes."""
    if isinstance(specs, AssetCheckSpec | str) or not isinstance(specs, Iterable):
        raise fault(
            f"{what}: check_specs={shown(specs)} is no list",
            "Write check_specs=[AssetCheckSpec(name='no_nulls', asset='orders')].",
        )
    found = {}
    for spec in specs:
        if not isinstance(spec, AssetCheckSpec):
            raise fault(
                f"{what}: check_specs holds {shown(spec)}, which is no AssetCheckSpec",
                "Write AssetCheckSpec(name='no_nulls', asset='orders').",
            )
        if key_of(spec.asset) not in own:
            raise fault(
                f"{what}: the check {spec.name!r} is of {spec.asset}, which it does not make", "Use @asset_check."
            )
        if spec.key in found:
            raise fault(f"{what} has two checks called {spec.name!r}", "Give one another name.")
        found[spec.key] = spec
    return found
