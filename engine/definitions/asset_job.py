"""The graph of a job that makes assets: a node for each definition that makes some, wired by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import fault
from ..events.key import AssetKey
from .assets import AssetsDefinition, Making
from .graph import FromOutput, GraphDefinition, Node
from .partitions import PartitionsDefinition


def partitions_of(
    name: str, makings: Sequence[Making], stated: PartitionsDefinition | None
) -> PartitionsDefinition | None:
    """The partitions of a job, by which all that it makes must be partitioned that is. Raises UsageError otherwise."""
    found: dict[PartitionsDefinition, str] = {} if stated is None else {stated: "the job"}
    for one in makings:
        if one.definition.partitions_def is not None and one.asset_keys:
            found.setdefault(one.definition.partitions_def, str(one.asset_keys[0]))
    if len(found) > 1:
        (first, a), (second, b), *_ = found.items()
        raise fault(
            f"job {name!r}: {a} is partitioned by {first.describe()}, {b} by {second.describe()}",
            "A run is of one partition: make them by jobs of their own.",
        )
    return next(iter(found), None)


def graph_of(name: str, makings: Sequence[Making], names: Mapping[AssetsDefinition, str]) -> GraphDefinition:
    """The nodes, called by `names`, wired by keys; behind a blocking check comes all that is made of its asset."""
    outputs = {
        key: FromOutput(names[one.definition], one.definition.output_of(key))
        for one in makings
        for key in one.asset_keys
    }
    dependencies = {
        (names[one.definition], name): outputs[key]
        for one in makings
        for name, key in one.definition.inputs.items()
        if key in outputs and key not in one.asset_keys
    }
    blocking: dict[AssetKey, list[str]] = {}
    for one in makings:
        for check in one.check_keys:
            if one.definition.checks[check].blocking and not one.asset_keys:
                blocking.setdefault(check.asset_key, []).append(names[one.definition])
    nodes = {}
    for one in makings:
        own = names[one.definition]
        after = [check for key in one.definition.inputs.values() for check in blocking.get(key, ()) if check != own]
        nodes[own] = Node(
            name=own,
            definition=one.definition.op,
            making=one,
            after=tuple(dict.fromkeys(after)) if one.asset_keys else (),
        )
    return GraphDefinition(name=name, nodes=nodes, dependencies=dependencies)
