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
    if isinstance(one, Definitions):
        return one
    if isinstance(one, JobDefinition):
        return Definitions(jobs=[one], resources=members(code.module, ResourceDefinition))
    if isinstance(one, OpDefinition | GraphDefinition):
        kind = "an op" if isinstance(one, OpDefinition) else "a graph"
        raise fault(f"{name!r} of {code.name} is {kind}, no job", "Call it in a function with @job, or use .to_job().")
    raise fault(
        f"{name!r} of {code.name} is a {type(one).__name__}; wanted Definitions or a job",
        "Name another with --attribute, or leave it out.",
    )
