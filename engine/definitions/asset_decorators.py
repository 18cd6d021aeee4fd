"""`@asset` and `@asset_check`: functions that make an asset, or look at one. Several at once: multi_asset.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from ..errors import fault
from ..events.key import AssetLike
from .asset_inputs import AssetInputs, Deps, Fn, check_specs_of
from .asset_names import node_name
from .assets import DEFAULT_GROUP, AssetCheckSpec, AssetIn, AssetsDefinition, AssetSpec, key_of, key_with
from .hook import HookDefinition
from .inout import IO_MANAGER, KEY_REMEDY, RESULT, Out
from .names import check_flag, check_keys, check_name, check_text, function_name, name_of
from .op import make_op
from .partitions import PartitionsDefinition
from .retry import RetryPolicy
from .signature import read_signature


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
    kinds: Iterable[str] = (),
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
    kinds: Iterable[str] = (),
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
    itself. `kinds`: what it is or is made with, to select by. `check_specs`: checks that the function evaluates too,
    and yields as `AssetCheckResult`.
    `output_required=False`: the function may return nothing; then what needs it is skipped.

    Raises UsageError for what cannot be.
    """

    def made(fn: Fn) -> AssetsDefinition:
        if key is not None and (name is not None or key_prefix is not None):
            raise fault(f"asset {key}: both key and name or key_prefix are given", "Give the key, or the others.")
        named = function_name("asset", fn) if name is None and key is None else name
        own = key_of(key) if key is not None else key_with(key_prefix, key_of([named]))
        what = f"asset {own}"
        check_name(f"{what}: io_manager_key", io_manager_key, KEY_REMEDY)
        check_text(what, "code_version", code_version)
        check_flag(what, "output_required", output_required)
        inputs = AssetInputs(what, fn, ins or {}, deps, required_resource_keys, own.parts[:-1])
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
            kinds=kinds,
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
            checks=check_specs_of(what, check_specs, (own,)),
            mappings=inputs.mappings,
            partitions_def=partitions_def,
        )

    return made if fn is None else made(fn)


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
            name=name_of("asset_check", name, fn),
            asset=target,
            blocking=blocking,
            description=description,
            metadata=metadata or {},
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
        inputs = AssetInputs(what, fn, ins, deps, keys, ())
        op = make_op(
            fn,
            kind="asset_check",
            name=node_name(target, spec.name),
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
