"""`@multi_asset`: a function that makes several assets at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import fault
from ..events.key import AssetKey, AssetLike
from .asset_inputs import AssetInputs, Deps, Fn, check_specs_of
from .asset_names import node_name
from .assets import (
    DEFAULT_GROUP,
    AssetCheckSpec,
    AssetDep,
    AssetIn,
    AssetOut,
    AssetsDefinition,
    AssetSpec,
    deps_of,
    key_with,
)
from .hook import HookDefinition
from .inout import Nothing, Out
from .names import check_flag, free_name, name_of
from .op import make_op
from .partitions import PartitionsDefinition
from .retry import RetryPolicy
from .shown import shown


def multi_asset(
    *,
    specs: Sequence[AssetSpec] | None = None,
    outs: Mapping[str, AssetOut] | None = None,
    name: str | None = None,
    ins: Mapping[str, AssetIn] | None = None,
    deps: Deps = (),
    internal_asset_deps: Mapping[str, Iterable[AssetLike]] | None = None,
    partitions_def: PartitionsDefinition | None = None,
    can_subset: bool = False,
    required_resource_keys: Iterable[str] | None = None,
    retry_policy: RetryPolicy | None = None,
    group_name: str = DEFAULT_GROUP,
    code_version: str | None = None,
    check_specs: Sequence[AssetCheckSpec] = (),
    hooks: Iterable[HookDefinition] | None = None,
    description: str | None = None,
    pool: str | None = None,
) -> Callable[[Fn], AssetsDefinition]:
    """Several assets, made by one function. `outs`: an output for each, returned as a tuple or yielded as
    `Output(value, output_name=...)`; or `specs`: the function keeps them itself, and yields a `MaterializeResult` each.

    Each depends on all inputs; specs that state `deps` only on these, and on inputs that no spec states;
    `internal_asset_deps` says otherwise, output by output. `group_name`, `code_version`: of those that say none.
    `can_subset`: a run may ask for
    some of them; the function looks at `context.selected_asset_keys`.
    """
    if (specs is None) == (outs is None):
        raise fault("multi_asset takes specs or outs, one of them", "Write outs={'a': AssetOut(), 'b': AssetOut()}.")
    check_flag("multi_asset", "can_subset", can_subset)

    def made(fn: Fn) -> AssetsDefinition:
        what = f"multi_asset {name_of('multi_asset', name, fn)!r}"
        inputs = AssetInputs(what, fn, ins or {}, deps, required_resource_keys, ())
        if outs is not None:
            _check_outs(what, outs)
            declared = {one: _spec_of(one, out, inputs.deps, group_name, code_version) for one, out in outs.items()}
        else:
            declared = _completed(_by_output(what, specs), inputs.deps, group_name, code_version)
        _check_distinct(what, declared)
        given = tuple(
            (partitions_def and replace(one, partitions_def=partitions_def)) or one for one in declared.values()
        )
        by_key = {one.asset_key: one for one in given}
        outputs = dict(zip(declared, by_key, strict=True))
        if internal_asset_deps:
            by_key = _with_internal(what, by_key, outputs, internal_asset_deps)
        extra = [dep for spec in by_key.values() for dep in map(AssetDep.of, spec.deps) if dep.key not in by_key]
        inputs.add_deps(extra)
        op = make_op(
            fn,
            kind="multi_asset",
            name=name,
            ins=inputs.ins,
            outs={output: _out_of(output, by_key[key], (outs or {}).get(output)) for output, key in outputs.items()},
            required_resource_keys=required_resource_keys,
            code_version=code_version,
            retry_policy=retry_policy,
            hooks=hooks,
            description=description,
            pool=pool,
        )
        return AssetsDefinition(
            op=op,
            specs=by_key,
            outputs=outputs,
            inputs=inputs.keys,
            checks=check_specs_of(what, check_specs, by_key),
            mappings=inputs.mappings,
            partitions_def=partitions_def or _one_partitions_def(what, given),
            can_subset=can_subset,
        )

    return made


def _spec_of(output: str, out: AssetOut, deps: list[AssetDep], group: str, code_version: str | None) -> AssetSpec:
    return AssetSpec(
        key=key_with(out.key_prefix, out.key if out.key is not None else AssetKey((output,))),
        deps=tuple(deps),
        description=out.description,
        metadata=out.metadata,
        tags=out.tags,
        group_name=out.group_name or group,
        code_version=out.code_version or code_version,
        skippable=not out.is_required,
        kinds=out.kinds,
        io_manager_key=out.io_manager_key,
    )


def _check_outs(what: str, outs: object) -> None:
    if not isinstance(outs, Mapping):
        raise fault(f"{what}: outs={shown(outs)} is no mapping", "Write outs={'a': AssetOut(), 'b': AssetOut()}.")
    for name, out in outs.items():
        if not isinstance(out, AssetOut):
            raise fault(
                f"{what}: outs[{name!r}] is {shown(out)}, and no AssetOut", f"Write outs={{{name!r}: AssetOut()}}."
            )


def _by_output(what: str, specs: Any) -> dict[str, AssetSpec]:
    """The specs by the names of their outputs."""
    if isinstance(specs, AssetSpec) or not isinstance(specs, Iterable):
        raise fault(f"{what}: specs={shown(specs)} is no list", "Write specs=[AssetSpec(key='a'), AssetSpec(key='b')].")
    found: dict[str, AssetSpec] = {}
    for one in specs:
        if not isinstance(one, AssetSpec):
            raise fault(f"{what}: specs holds {shown(one)}, which is no AssetSpec", "Write AssetSpec(key='a').")
        found[free_name(node_name(one.asset_key), found)] = one
    return found


def _completed(
    declared: Mapping[str, AssetSpec], deps: Sequence[AssetDep], group: str, code_version: str | None
) -> dict[str, AssetSpec]:
    """The specs, with what they leave to the decorator. An input that none of them names is upstream of each."""
    named = {AssetDep.of(dep).key for spec in declared.values() for dep in spec.deps}
    made = {spec.asset_key for spec in declared.values()}
    unnamed = tuple(dep for dep in deps if dep.key not in named and dep.key not in made)
    return {
        output: replace(
            spec,
            deps=(*spec.deps, *unnamed) if spec.deps else tuple(deps),
            group_name=group if spec.group_name == DEFAULT_GROUP else spec.group_name,
            code_version=spec.code_version or code_version,
        )
        for output, spec in declared.items()
    }


def _check_distinct(what: str, declared: Mapping[str, AssetSpec]) -> None:
    if not declared:
        raise fault(f"{what} makes no asset", "Name at least one.")
    seen: set[AssetKey] = set()
    for spec in declared.values():
        if spec.asset_key in seen:
            raise fault(f"{what} makes {spec.asset_key} twice", "Give each a key of its own.")
        seen.add(spec.asset_key)


def _with_internal(
    what: str,
    by_key: dict[AssetKey, AssetSpec],
    outputs: Mapping[str, AssetKey],
    internal: Mapping[str, Iterable[AssetLike]],
) -> dict[AssetKey, AssetSpec]:
    if not isinstance(internal, Mapping):
        raise fault(f"{what}: internal_asset_deps={shown(internal)} is no mapping", "Write {'b': ['a']}.")
    found = dict(by_key)
    for output, deps in internal.items():
        if output not in outputs:
            raise fault(
                f"{what}: internal_asset_deps has {output!r}, which is no output",
                f"Its outputs are {', '.join(outputs)}.",
            )
        key = outputs[output]
        found[key] = replace(found[key], deps=deps_of(f"{what}: internal_asset_deps of {output!r}", deps))
    return found


def _out_of(output: str, spec: AssetSpec, out: AssetOut | None) -> Out:
    annotation = Nothing if out is None else out.annotation
    return Out(
        annotation,
        io_manager_key=spec.io_manager_key,
        is_required=not spec.skippable,
        code_version=spec.code_version,
        description=spec.description,
    )


def _one_partitions_def(what: str, specs: Sequence[AssetSpec]) -> PartitionsDefinition | None:
    found = {spec.partitions_def for spec in specs}
    if len(found) > 1:
        raise fault(f"{what}: its assets have different partitions", "Make those with other partitions elsewhere.")
    return next(iter(found))
