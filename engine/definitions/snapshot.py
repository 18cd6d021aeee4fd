"""A job as a plain document: what a snapshot keeps of it, so that people can see later what a run was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from .assets import AssetSpec, Making
from .freezing import copied
from .graph import Collected, Each, FanIn, FromOutput, GraphDefinition, GraphInput, Node
from .inout import NO_DEFAULT, UNSTATED, In, Out
from .job import JobDefinition
from .op import OpDefinition
from .partitions import PartitionsDefinition
from .typed_config import config_document

LISTED_KEYS: Final = 1_000  #: keys of static partitions that a snapshot spells


def job_document(job: JobDefinition) -> dict[str, Any]:
    """Nodes, dependencies, configuration schemas, resources, partitions. No code, no defaults that are secret."""
    partitions = _Partitions()
    document = {
        "graph": _graph(job.graph, partitions),
        "description": job.description,
        "tags": dict(job.tags),
        "metadata": _metadata(copied(job.metadata)),
        "resources": {
            key: {"description": one.description, "config": config_document(one.config_type) if one.config_type else {}}
            for key, one in job.resource_defs.items()
        },
        "hooks": sorted({hook.name for step in job.steps.values() for hook in step.hooks}),
        "partitions": partitions.ref(job.partitions_def),
        "partitions_definitions": partitions.documents,
    }
    return _sparse(document)


class _Partitions:
    """The partitions of a job and its assets: each distinct definition once, called by a number."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self._refs: dict[PartitionsDefinition, str] = {}
        self._seen: dict[int, tuple[PartitionsDefinition, str]] = {}  #: by identity: to hash many keys takes its time

    def ref(self, definition: PartitionsDefinition | None) -> str | None:
        if definition is None:
            return None
        if id(definition) not in self._seen:
            ref = self._refs.setdefault(definition, str(len(self._refs) + 1))
            if ref not in self.documents:
                self.documents[ref] = _shortened(definition.to_document())
            self._seen[id(definition)] = definition, ref
        return self._seen[id(definition)][1]


def _shortened(partitions: dict[str, Any]) -> dict[str, Any]:
    """The document of partitions; of a long list of keys how many they are, the ends, and a digest of all."""
    keys = partitions.get("keys")
    if isinstance(keys, list) and len(keys) > LISTED_KEYS:
        digest = blake2b(msgspec.json.encode(keys), digest_size=20).hexdigest()
        ends = {"count": len(keys), "first": keys[0], "last": keys[-1], "digest": digest}
        return {**{name: value for name, value in partitions.items() if name != "keys"}, **ends}
    return {name: _shortened(value) if isinstance(value, dict) else value for name, value in partitions.items()}


def within(document: dict[str, Any], limit: int) -> dict[str, Any]:
    """The document; of one that is longer than `limit` bytes, only its digest, and how much is in it."""
    text = msgspec.json.encode(document)
    if len(text) <= limit:
        return document
    counts = {name: len(value) for name, value in document.items() if isinstance(value, dict | list)}
    graph = document.get("graph")
    if isinstance(graph, dict):
        counts |= {name: len(value) for name, value in graph.items() if isinstance(value, dict)}
    return {"left_out": "too long", "bytes": len(text), "digest": blake2b(text, digest_size=20).hexdigest(), **counts}


def _graph(graph: GraphDefinition, partitions: _Partitions) -> dict[str, Any]:
    return {
        "nodes": {name: _node(node, partitions) for name, node in graph.nodes.items()},
        "dependencies": {f"{node}.{name}": _source(source) for (node, name), source in graph.dependencies.items()},
        "inputs": {name: _in(one) for name, one in graph.ins.items()},
        "outputs": {name: _source(source) for name, source in graph.results.items()},
    }


def _node(node: Node, partitions: _Partitions) -> dict[str, Any]:
    definition = node.definition
    own: dict[str, Any] = {"tags": dict(node.tags), "after": list(node.after)}
    if isinstance(definition, GraphDefinition):
        return _sparse({**own, "graph": definition.name, **_graph(definition, partitions)})
    return _sparse(
        {**own, **_op(definition), "makes": _making(node.making, partitions) if node.making is not None else None}
    )


def _op(op: OpDefinition) -> dict[str, Any]:
    return {
        "op": op.name,
        "description": op.description,
        "inputs": {name: _in(one) for name, one in op.ins.items()},
        "outputs": {name: _out(one) for name, one in op.outs.items()},
        "config": config_document(op.config_type) if op.config_type is not None else None,
        "resources": sorted(op.required_resource_keys),
        "op_tags": dict(op.tags),
        "metadata": _metadata(op.metadata),
        "code_version": op.code_version,
        "retry_policy": op.retry_policy.to_document() if op.retry_policy is not None else None,
        "pool": op.pool,
    }


def _making(making: Making, partitions: _Partitions) -> dict[str, Any]:
    return {
        "assets": [_spec(making.definition.specs[key], partitions) for key in making.asset_keys],
        "checks": [
            {"check": str(key), "blocking": making.definition.checks[key].blocking} for key in making.check_keys
        ],
    }


def _spec(spec: AssetSpec, partitions: _Partitions) -> dict[str, Any]:
    from .assets import AssetDep

    return _sparse(
        {
            "key": list(spec.asset_key.parts),
            "deps": [list(AssetDep.of(dep).key.parts) for dep in spec.deps],
            "group": spec.group_name,
            "description": spec.description,
            "code_version": spec.code_version,
            "tags": dict(spec.tags),
            "metadata": _metadata(spec.metadata),
            "kinds": list(spec.kinds),
            "partitions": partitions.ref(spec.partitions_def),
        }
    )


def _source(source: Any) -> Any:
    match source:
        case FromOutput(node, output):
            return f"{node}.{output}"
        case Each(node, output):
            return f"each {node}.{output}"
        case Collected(node, output):
            return f"all {node}.{output}"
        case GraphInput(name):
            return f"input {name}"
        case FanIn(sources):
            return [_source(one) for one in sources]
    raise TypeError(f"{source!r} is no source")


def _in(given: In) -> dict[str, Any]:
    return _sparse(
        {
            "type": _type(given.annotation),
            "optional": given.default is not NO_DEFAULT or None,
            "description": given.description,
        }
    )


def _out(out: Out) -> dict[str, Any]:
    return _sparse(
        {
            "type": _type(out.annotation),
            "dynamic": out.is_dynamic or None,
            "required": None if out.is_required else False,
            "io_manager": out.io_manager_key,
            "description": out.description,
        }
    )


def _type(annotation: Any) -> str | None:
    if annotation is UNSTATED:
        return None
    # What an object shows of itself may hold its address, another one in each process.
    return annotation.__name__ if isinstance(annotation, type) else re.sub(r" at 0x[0-9a-fA-F]+", "", str(annotation))


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """As plain values; structured ones as [tag, ...], as on disk."""
    return {key: msgspec.to_builtins(value) for key, value in metadata.items()}


def _sparse(document: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing: snapshots are many, and most of it is empty."""
    return {key: value for key, value in document.items() if value not in (None, {}, [], ())}
