"""From a graph to steps: nested graphs are taken apart, each op becomes a step with the sources of its inputs.

Promises: steps come in an order in which each follows what it waits for, the same in every process; a cycle is an error
that shows its path. Dynamic outputs: a step that takes one value of a dynamic output, and whatever follows it up to a
`collect`, is *mapped*: it stands for one step for each key.
Not here: selecting steps, executing them (engine/execution).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..errors import fault
from .graph import Collected, Each, FanIn, FromOutput, GraphDefinition, GraphInput, Node, Source
from .hook import HookDefinition
from .inout import NO_DEFAULT, In
from .op import OpDefinition
from .ordering import in_order
from .retry import RetryPolicy
from .steps import (
    CollectSource,
    ConfigSource,
    FanInSource,
    InputSource,
    MappedSource,
    Step,
    StepInputDef,
    StepOutputSource,
)


def flatten(
    graph: GraphDefinition,
    what: str,
    *,
    hooks: frozenset[HookDefinition] = frozenset(),
    retry_policy: RetryPolicy | None = None,
) -> dict[str, Step]:
    """The steps of a job by key. `hooks` and `retry_policy`: what the job adds to each; a step's own policy wins.

    `what`: the job, for errors.
    """
    top = {name: ConfigSource((), name, definition.default) for name, definition in graph.ins.items()}
    found = list(_Flattener(what).steps(graph, (), top, _Outer({}, hooks, retry_policy)))
    steps = {step.key: step for step in found}
    order = in_order({key: step.upstream for key, step in steps.items()}, f"{what}: steps wait for each other")
    return _with_mapping(what, {key: steps[key] for key in order})


@dataclass(frozen=True)
class _Outer:
    """What the nodes around a step hand down to it."""

    tags: Mapping[str, str]
    hooks: frozenset[HookDefinition]
    retry_policy: RetryPolicy | None

    def inside(self, node: Node) -> _Outer:
        return _Outer({**self.tags, **node.tags}, self.hooks | node.hooks, node.retry_policy or self.retry_policy)


class _Flattener:
    """Takes nested graphs apart."""

    def __init__(self, what: str) -> None:
        self._what = what

    def steps(
        self, graph: GraphDefinition, path: tuple[str, ...], given: Mapping[str, InputSource], outer: _Outer
    ) -> Iterator[Step]:
        """`given`: what the inputs of the graph come from."""
        for node in graph.nodes.values():
            here = (*path, node.name)
            inputs = {
                name: self._source(
                    graph, path, given, graph.dependencies.get((node.name, name)), here, name, definition
                )
                for name, definition in node.definition.ins.items()
            }
            if isinstance(node.definition, GraphDefinition):
                yield from self.steps(node.definition, here, inputs, outer.inside(node))
            else:
                yield _step(node, node.definition, here, inputs, outer)

    def _source(
        self,
        graph: GraphDefinition,
        path: tuple[str, ...],
        given: Mapping[str, InputSource],
        source: Source | None,
        here: tuple[str, ...],
        name: str,
        definition: In,
    ) -> InputSource:
        match source:
            case None:
                return ConfigSource(here, name, definition.default)
            case GraphInput(outer):
                found = given[outer]
                # Nobody gives the graph that input: the default of the inner one stands in for that of the graph.
                if isinstance(found, ConfigSource) and not _has_default(found) and definition.has_default:
                    return replace(found, default=definition.default)
                return found
            case FanIn(sources):
                parts = [self._source(graph, path, given, one, here, name, definition) for one in sources]
                for one in parts:
                    if not isinstance(one, StepOutputSource | ConfigSource):
                        raise fault(
                            f"{self._what}: {'.'.join(here)}.{name}: the list holds what is itself many values",
                            "Hand it over as an input of its own, or return it from an op first.",
                        )
                return FanInSource(tuple(parts))  # type: ignore[arg-type]
            case FromOutput(node, output):
                return self._output(graph, (*path, node), graph.nodes[node], output, StepOutputSource)
            case Each(node, output):
                return self._output(graph, (*path, node), graph.nodes[node], output, MappedSource)
            case Collected(node, output):
                return self._output(graph, (*path, node), graph.nodes[node], output, CollectSource)

    def _output(
        self,
        graph: GraphDefinition,
        path: tuple[str, ...],
        node: Node,
        output: str,
        kind: type[StepOutputSource] | type[MappedSource] | type[CollectSource],
    ) -> InputSource:
        """The output of a step that an output of a node is."""
        while isinstance(node.definition, GraphDefinition):
            inner = node.definition.results[output]
            if isinstance(inner, Collected):
                if kind is not StepOutputSource:
                    raise fault(
                        f"{self._what}: {'.'.join(path)}.{output} is a list that is collected inside, and what .map() "
                        "called does not take its value",
                        "Call it outside of .map(), and hand the list over as it is.",
                    )
                kind = CollectSource
            node, output, path = node.definition.nodes[inner.node], inner.output, (*path, inner.node)
        return kind(".".join(path), output)


def _has_default(source: ConfigSource) -> bool:
    return source.default is not NO_DEFAULT


def _step(
    node: Node, op: OpDefinition, path: tuple[str, ...], inputs: Mapping[str, InputSource], outer: _Outer
) -> Step:
    around = outer.inside(node)
    making = node.making
    if making is not None:
        inputs = {**inputs, **dict(making.loaded(inputs))}
    hooks = sorted(around.hooks | op.hooks, key=lambda hook: hook.place)
    return Step(
        key=".".join(path),
        path=path,
        op=op,
        node=node,
        inputs=tuple(StepInputDef(name, source, op.ins[name]) for name, source in inputs.items()),
        tags={**op.tags, **around.tags},
        after=tuple(".".join((*path[:-1], one)) for one in node.after),
        hooks=tuple(hooks),
        retry_policy=node.retry_policy or op.retry_policy or outer.retry_policy,
    )


def _with_mapping(what: str, steps: Mapping[str, Step]) -> dict[str, Step]:
    """The steps, each knowing which dynamic output there is one of it for."""
    found: dict[str, Step] = {}
    for key, step in steps.items():
        over: dict[tuple[str, str], None] = {}
        for given in step.inputs:
            for one in given.step_sources():
                before = found[one.step_key]
                match one:
                    case MappedSource():
                        over[one.step_key, one.output] = None
                    case StepOutputSource() if before.mapped_over is not None:
                        if isinstance(given.source, FanInSource):
                            raise fault(
                                f"{what}: {key}.{given.name}: the list holds {before.key}.{one.output}, of which there "
                                f"is one for each value of {'.'.join(before.mapped_over)}",
                                "Hand it over as an input of its own, or return it from an op first.",
                            )
                        over[before.mapped_over] = None
                    case CollectSource() if before.mapped_over is None and not before.outs[one.output].is_dynamic:
                        raise fault(
                            f"{what}: {key}.{given.name} collects {before.key}.{one.output}, of which there is only "
                            "one: what .map() called does not take its value",
                            "Hand the value on to it, or call it outside of .map() and leave .collect() away.",
                        )
        if len(over) > 1:
            names = " and ".join(f"{step_key}.{output}" for step_key, output in over)
            raise fault(f"{what}: {key} takes values of two dynamic outputs, {names}", "Collect one of them.")
        mapped_over = next(iter(over), None)
        if mapped_over is not None and any(out.is_dynamic for out in step.outs.values()):
            raise fault(
                f"{what}: {key} has a dynamic output, and is itself mapped over {'.'.join(mapped_over)}",
                "There is no map within a map: collect before it, or yield all values from one op.",
            )
        found[key] = replace(step, mapped_over=mapped_over)
    return found
