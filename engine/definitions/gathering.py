"""What a module offers to whoever executes: its one `Definitions`, or all jobs, assets, checks and resources in it."""

from __future__ import annotations

from typing import Any

from ..errors import fault
from .assets import AssetsDefinition, AssetSpec
from .definitions import Definitions, UnresolvedAssetJob
from .graph import GraphDefinition
from .job import JobDefinition
from .loading import LoadedCode, members
from .op import OpDefinition
from .resource import ResourceDefinition

OFFERED = (JobDefinition, UnresolvedAssetJob, AssetsDefinition, AssetSpec, ResourceDefinition)
REMEDY = "Define a @job or an @asset in it, or foldlog.Definitions(jobs=[...], assets=[...])."


def definitions_of(code: LoadedCode) -> Definitions:
    """The definitions that a module offers.

    The object that was asked for by name, if one was: a `Definitions`, a job, assets. Else the one `Definitions` of the
    module. Else all jobs, assets, checks and resources that the module has names for, a resource under its name there.

    Raises UsageError if there are several `Definitions`, nothing at all, or what is there does not fit together.
    """
    if code.attribute_name is not None:
        return _named(code)
    found = members(code.module, Definitions)
    if len(found) > 1:
        raise fault(
            f"the module {code.name} has several Definitions: {', '.join(found)}",
            f"Say which: --attribute {next(iter(found))}.",
        )
    if found:
        (one,) = found.values()
        definitions: Definitions = one
        return definitions
    return gathered(members(code.module, OFFERED), f"the module {code.name} ({code.module.__file__})")


def gathered(found: dict[str, Any], what: str) -> Definitions:
    """Definitions of what has a name somewhere. Raises UsageError for nothing."""
    resources = {name: one for name, one in found.items() if isinstance(one, ResourceDefinition)}
    if len(resources) == len(found):
        raise fault(f"{what} defines no job and no asset", REMEDY)
    made = [one for one in found.values() if isinstance(one, AssetsDefinition)]
    return Definitions(
        assets=[
            *(one for one in made if one.specs or not one.checks),
            *(one for one in found.values() if isinstance(one, AssetSpec)),
        ],
        asset_checks=[one for one in made if one.checks and not one.specs],
        jobs=[one for one in found.values() if isinstance(one, JobDefinition | UnresolvedAssetJob)],
        resources=resources,
    )


def _named(code: LoadedCode) -> Definitions:
    one, name = code.attribute, code.attribute_name
    resources = members(code.module, ResourceDefinition)
    if isinstance(one, Definitions):
        return one
    if isinstance(one, JobDefinition):
        return Definitions(jobs=[one], resources=resources)
    if isinstance(one, UnresolvedAssetJob):
        others = members(code.module, (AssetsDefinition, AssetSpec, ResourceDefinition))
        return gathered({**others, str(name): one}, f"the module {code.name}")
    if _is_assets(one):
        return _of_assets(list(one) if isinstance(one, list | tuple) else [one], code, resources)
    if isinstance(one, OpDefinition | GraphDefinition):
        kind = "an op" if isinstance(one, OpDefinition) else "a graph"
        raise fault(f"{name!r} of {code.name} is {kind}, no job", "Call it in a function with @job, or use .to_job().")
    kind = type(one).__name__
    article = "an" if kind[0] in "AEIOUaeio" else "a"
    raise fault(
        f"{name!r} of {code.name} is {article} {kind}; wanted Definitions, a job or assets",
        "Name another with --attribute, or leave it out.",
    )


def _is_assets(given: Any) -> bool:
    one = (AssetsDefinition, AssetSpec)
    many = isinstance(given, list | tuple) and bool(given) and all(isinstance(item, one) for item in given)
    return many or isinstance(given, one)


def _of_assets(chosen: list[AssetsDefinition | AssetSpec], code: LoadedCode, resources: dict[str, Any]) -> Definitions:
    """These, with their checks; what they are made of and the module makes too is taken as made elsewhere."""
    there = {key: spec for one in members(code.module, AssetsDefinition).values() for key, spec in one.specs.items()}
    there |= {one.asset_key: one for one in members(code.module, AssetSpec).values()}
    made = {key for one in chosen for key in (one.specs if isinstance(one, AssetsDefinition) else [one.asset_key])}
    checks = [
        one
        for one in members(code.module, AssetsDefinition).values()
        if not one.specs and one not in chosen and all(key.asset_key in made for key in one.checks)
    ]
    taken = dict.fromkeys(
        key for one in (*chosen, *checks) if isinstance(one, AssetsDefinition) for key in one.inputs.values()
    )
    elsewhere = [there[key] for key in taken if key in there and key not in made]
    return Definitions(assets=[*chosen, *elsewhere], asset_checks=checks, resources=resources)
