"""`@asset`, `@multi_asset` and `@asset_check`: functions that make assets, or look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from ..events.key import AssetKey, AssetLike
from .assets import (
    DEFAULT_GROUP,
    AssetCheckSpec,
    AssetDep,
    AssetIn,
    AssetOut,
    AssetsDefinition,
    AssetSpec,
    in_of,
    key_of,
    key_with,
    node_name,
)
from .hook import HookDefinition
from .inout import IO_MANAGER, RESULT, In, Nothing, Out
from .names import check_keys, fault
from .op import make_op
from .partitions import PartitionMapping, PartitionsDefinition
from .retry import RetryPolicy
from .signature import Parameter, read_signature

Fn = Callable[..., Any]
Deps = Iterable["AssetDep | AssetsDefinition | AssetSpec | AssetLike"]


@overload
def asset(fn: Fn, /) -> AssetsDefinition: ...
@overload
def asset(
    *,
    name: str | None = None,
    key: AssetLike | None = None,
    key_prefix: str | Iterable[str] | None = None,
    deps: Deps = (),
    ins: Mapping[str, AssetIn] | None = None,
    partitions_def: PartitionsDefinition | None = None,
    code_version: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    group_name: str = DEFAULT_GROUP,
    retry_policy: RetryPolicy | None = None,
    io_manager_key: str = IO_MANAGER,
    required_resource_keys: Iterable[str] | None = None,
    check_specs: Sequence[AssetCheckSpec] = (),
    hooks: Iterable[HookDefinition] | None = None,
    description: str | None = None,
    output_required: bool = True,
    pool: str | None = None,
) -> Callable[[Fn], AssetsDefinition]: ...
def asset(
    fn: Fn | None = None,
    /,
    *,
    name: str | None = None,
    key: AssetLike | None = None,
    key_prefix: str | Iterable[str] | None = None,
    deps: Deps = (),
    ins: Mapping[str, AssetIn] | None = None,
    partitions_def: PartitionsDefinition | None = None,
    code_version: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    group_name: str = DEFAULT_GROUP,
    retry_policy: RetryPolicy | None = None,
    io_manager_key: str = IO_MANAGER,
    required_resource_keys: Iterable[str] | None = None,
    check_specs: Sequence[AssetCheckSpec] = (),
    hooks: Iterable[HookDefinition] | None = None,
    description: str | None = None,
    output_required: bool = True,
    pool: str | None = None,
) -> Any:
    """Make an asset of the function that makes it. Its parameters are the assets that it is made of, by name; `ins`
    says more of them, `deps` names those whose value it does not take.

    `key` or `name` and `key_prefix`: what it is called; by default like the function. `partitions_def`: it is made a
    partition at a time. `io_manager_key`: the resource that keeps its value; a function annotated `-> None` keeps it
    itself. `check_specs`: checks that the function evaluates too, and yields as `AssetCheckResult`.
    `output_required=False`: the function may return nothing; then what needs it is skipped.

    Raises UsageError for what cannot be.
    """

    def made(fn: Fn) -> AssetsDefinition:
        if key is not None and (name is not None or key_prefix is not None):
            raise fault(f"asset {key}: both key and name or key_prefix are given", "Give one.")
        own = key_of(key) if key is not None else key_with(key_prefix, AssetKey((name or fn.__name__,)))
        what = f"asset {own}"
        inputs = _Inputs(what, fn, ins or {}, deps, required_resource_keys, own.parts[:-1])
        op = make_op(
            fn,
            kind="asset",
            name=node_name(own),
            ins=inputs.ins,
            outs={RESULT: Out(io_manager_key=io_manager_key, is_required=output_required, code_version=code_version)},
            required_resource_keys=required_resource_keys,
            code_version=code_version,
            retry_policy=retry_policy,
            hooks=hooks,
            description=description,
            pool=pool,
        )
        spec = AssetSpec(
            key=own,
            deps=inputs.deps,
            description=op.description,
            metadata=metadata or {},
            tags=tags or {},
            group_name=group_name,
            code_version=code_version,
            partitions_def=partitions_def,
            skippable=not output_required,
            io_manager_key=io_manager_key,
        )
        return AssetsDefinition(
            op=op,
            specs={own: spec},
            outputs={RESULT: own},
            inputs=inputs.keys,
            checks=_checks(what, check_specs, (own,)),
            mappings=inputs.mappings,
            partitions_def=partitions_def,
        )

    return made if fn is None else made(fn)


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

    Each depends on all inputs; `internal_asset_deps` says otherwise, output by output. `can_subset`: a run may ask for
    some of them; the function looks at `context.selected_asset_keys`.
    """
    if (specs is None) == (outs is None):
        raise fault("multi_asset takes specs or outs, one of them", "Write outs={'a': AssetOut(), 'b': AssetOut()}.")

    def made(fn: Fn) -> AssetsDefinition:
        what = f"multi_asset {name or fn.__name__!r}"
        inputs = _Inputs(what, fn, ins or {}, deps, required_resource_keys, ())
        if outs is not None:
            declared = {one: _spec_of(one, out, inputs.deps, group_name, code_version) for one, out in outs.items()}
        else:
            declared = {node_name(one.asset_key): one for one in specs or ()}
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
            checks=_checks(what, check_specs, tuple(by_key)),
            mappings=inputs.mappings,
            partitions_def=partitions_def or _one_partitions_def(what, given),
            can_subset=can_subset,
        )

    return made


def asset_check(
    *,
    asset: AssetLike | AssetsDefinition,
    name: str | None = None,
    blocking: bool = False,
    additional_ins: Mapping[str, AssetIn] | None = None,
    additional_deps: Deps = (),
    required_resource_keys: Iterable[str] | None = None,
    retry_policy: RetryPolicy | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Callable[[Fn], AssetsDefinition]:
    """A check of an asset: the function returns an `AssetCheckResult`, or True or False. A parameter called like the
    asset is given its value; without one the check only comes after it.

    `blocking`: if it does not pass, with severity ERROR, what lies downstream is not made in that run.
    """
    target = key_of(asset)

    def made(fn: Fn) -> AssetsDefinition:
        spec = AssetCheckSpec(
            name=name or fn.__name__, asset=target, blocking=blocking, description=description, metadata=metadata or {}
        )
        what = f"asset_check {spec.key}"
        keys = check_keys(what, "required_resource_keys", required_resource_keys)
        parameters = read_signature(what, fn, resources=keys).inputs
        ins = dict(additional_ins or {})
        own = [one for one in parameters if one not in ins]
        if len(own) > 1:
            raise fault(
                f"{what}: its function takes {', '.join(own)}; one of them is {target}",
                "Say which assets the others are, with additional_ins={'rows': AssetIn(key='raw/rows')}.",
            )
        deps: list[Any] = list(additional_deps)
        if own:
            ins[own[0]] = AssetIn(key=target)
        else:
            deps.append(target)
        inputs = _Inputs(what, fn, ins, deps, keys, ())
        op = make_op(
            fn,
            kind="asset_check",
            name=f"{node_name(target)}__{spec.name}"[:100],
            ins=inputs.ins,
            outs={},
            required_resource_keys=keys,
            retry_policy=retry_policy,
            description=description,
        )
        return AssetsDefinition(
            op=op, specs={}, outputs={}, inputs=inputs.keys, checks={spec.key: spec}, mappings=inputs.mappings
        )

    return made


class _Inputs:
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
        parameters = read_signature(what, fn, resources=check_keys(what, "resources", resources)).inputs
        if unknown := set(stated) - set(parameters):
            raise fault(
                f"{what}: ins has {sorted(unknown)[0]!r}, and the function has no such parameter",
                "Correct the name, or name the asset in deps.",
            )
        self.ins: dict[str, In] = {}
        self.keys: dict[str, AssetKey] = {}
        self.mappings: dict[AssetKey, PartitionMapping] = {}
        self.deps: list[AssetDep] = []
        for name, parameter in parameters.items():
            self._add_parameter(name, parameter, stated.get(name), prefix)
        if isinstance(deps, str | AssetKey):
            raise fault(f"{what}: deps={deps!r} is one asset", f"Write deps=[{str(deps)!r}].")
        self.add_deps([AssetDep.of(one) for one in deps])

    def _add_parameter(self, name: str, parameter: Parameter, given: AssetIn | None, prefix: tuple[str, ...]) -> None:
        given = given or AssetIn(key_prefix=prefix or None)
        key = (
            key_with(given.key_prefix, AssetKey((name,)))
            if given.key is None
            else key_with(given.key_prefix, given.key)
        )
        self.ins[name] = in_of(given, parameter.annotation)
        self._note(name, AssetDep(key=key, partition_mapping=given.partition_mapping))

    def add_deps(self, deps: Iterable[AssetDep]) -> None:
        """Those that are no input yet become inputs without a value."""
        for dep in map(AssetDep.of, deps):
            if dep.key in self.keys.values():
                continue
            name = f"after_{node_name(dep.key)}"
            self.ins[name] = In(Nothing)
            self._note(name, dep)

    def _note(self, name: str, dep: AssetDep) -> None:
        self.keys[name] = dep.key
        self.deps.append(dep)
        if dep.partition_mapping is not None:
            self.mappings[dep.key] = dep.partition_mapping


def _checks(what: str, specs: Sequence[AssetCheckSpec], own: tuple[AssetKey, ...]) -> dict[Any, AssetCheckSpec]:
    found = {}
    for spec in specs:
        if key_of(spec.asset) not in own:
            raise fault(
                f"{what}: the check {spec.name!r} is of {spec.asset}, which it does not make", "Use @asset_check."
            )
        if spec.key in found:
            raise fault(f"{what} has two checks called {spec.name!r}", "Give one another name.")
        found[spec.key] = spec
    return found


def _spec_of(output: str, out: AssetOut, deps: list[AssetDep], group: str, code_version: str | None) -> AssetSpec:
    if not isinstance(out, AssetOut):
        raise fault(f"multi_asset: outs[{output!r}]={out!r:.80} is no AssetOut", "Write outs={'a': AssetOut()}.")
    return AssetSpec(
        key=key_with(out.key_prefix, out.key if out.key is not None else AssetKey((output,))),
        deps=tuple(deps),
        description=out.description,
        metadata=out.metadata,
        tags=out.tags,
        group_name=out.group_name or group,
        code_version=out.code_version or code_version,
        skippable=not out.is_required,
        io_manager_key=out.io_manager_key,
    )


def _check_distinct(what: str, declared: Mapping[str, AssetSpec]) -> None:
    if not declared:
        raise fault(f"{what} makes no asset", "Name at least one.")
    if len({spec.asset_key for spec in declared.values()}) != len(declared):
        raise fault(f"{what} makes one asset twice", "Give each a key of its own.")


def _with_internal(
    what: str,
    by_key: dict[AssetKey, AssetSpec],
    outputs: Mapping[str, AssetKey],
    internal: Mapping[str, Iterable[AssetLike]],
) -> dict[AssetKey, AssetSpec]:
    found = dict(by_key)
    for output, deps in internal.items():
        if output not in outputs:
            raise fault(
                f"{what}: internal_asset_deps has {output!r}, which is no output", f"There are {', '.join(outputs)}."
            )
        key = outputs[output]
        found[key] = replace(found[key], deps=tuple(AssetDep.of(one) for one in deps))
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
