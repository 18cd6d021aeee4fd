"""From a graph to steps: nested graphs are taken apart, each op becomes a step with the sources of its inputs.

Promises: steps come in an order in which each follows what it waits for, the same in every process; a cycle is an error
that shows its path. Dynamic outputs: a step that takes one value of a dynamic output, and whatever follows it up to a
`collect`, is *mapped*: it stands for one step for each key.
Not here: selecting steps, executing them (engine/execution).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

from .graph import Collected, Each, FanIn, FromOutput, GraphDefinition, GraphInput, Node, Source
from .hook import HookDefinition
from .inout import In, Out
from .names import fault
from .op import OpDefinition
from .retry import RetryPolicy


@dataclass(frozen=True)
class StepOutputSource:
    """An output of another step; of a mapped step: that with the same key."""

    step_key: str
    output: str


@dataclass(frozen=True)
class MappedSource:
    """One value of a dynamic output: that of the step's own key."""

    step_key: str
    output: str


@dataclass(frozen=True)
class CollectSource:
    """All values, as a list in the order of the keys."""

    step_key: str
    output: str


@dataclass(frozen=True)
class FanInSource:
    """A list of several."""

    sources: tuple[StepOutputSource | ConfigSource, ...]


@dataclass(frozen=True)
class ConfigSource:
    """A value of the run config; `default` where it has none. `path`: the names below `ops`, or an input of the job."""

    path: tuple[str, ...]
    input_name: str
    default: Any


@dataclass(frozen=True)
class AssetSource:
    """What an earlier run made of an asset."""

    asset: Any  #: an `AssetKey`


InputSource: TypeAlias = StepOutputSource | MappedSource | CollectSource | FanInSource | ConfigSource | AssetSource


@dataclass(frozen=True)
class StepInputDef:
    """An input of a step, and where it comes from."""

    name: str
    source: InputSource
    definition: In

    def step_sources(self) -> Iterator[StepOutputSource | MappedSource | CollectSource]:
        """The outputs of other steps that it is made of."""
        for one in self.source.sources if isinstance(self.source, FanInSource) else (self.source,):
            if isinstance(one, StepOutputSource | MappedSource | CollectSource):
                yield one


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """One op at one place of a job. A mapped one stands for a step for each key of `mapped_over`."""

    key: str
    path: tuple[str, ...]  #: names of the nodes, from the job down
    op: OpDefinition
    node: Node
    inputs: tuple[StepInputDef, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[HookDefinition, ...] = ()
    retry_policy: RetryPolicy | None = None
    after: tuple[str, ...] = ()  #: keys of steps that must have succeeded before, though they give it nothing
    mapped_over: tuple[str, str] | None = None  #: step and dynamic output

    @property
    def outs(self) -> Mapping[str, Out]:
        return self.op.outs

    @cached_property
    def upstream(self) -> tuple[str, ...]:
        """Keys of the steps that it waits for."""
        given = (one.step_key for given in self.inputs for one in given.step_sources())
        return tuple(dict.fromkeys((*given, *self.after)))


def flatten(
    graph: GraphDefinition,
    *,
    hooks: frozenset[HookDefinition] = frozenset(),
    retry_policy: RetryPolicy | None = None,
) -> dict[str, Step]:
    """The steps of a job by key. `hooks` and `retry_policy`: what the job adds to each; a step's own policy wins."""
    top = {name: ConfigSource((), name, definition.default) for name, definition in graph.ins.items()}
    found = list(_Flattener().steps(graph, (), top, _Outer({}, hooks, retry_policy)))
    ordered = _in_order(graph.name, {step.key: step for step in found})
    return _with_mapping(ordered)


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
                            f"{'.'.join(here)}.{name}: a list holds what is itself made of many values",
                            "Hand it over by itself, or return it from an op first.",
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
                    raise fault(f"{'.'.join(path)}.{output} is a list, not a dynamic output", "Take it as it is.")
                kind = CollectSource
            node, output, path = node.definition.nodes[inner.node], inner.output, (*path, inner.node)
        return kind(".".join(path), output)


def _has_default(source: ConfigSource) -> bool:
    from .inout import NO_DEFAULT

    return source.default is not NO_DEFAULT


def _step(
    node: Node, op: OpDefinition, path: tuple[str, ...], inputs: Mapping[str, InputSource], outer: _Outer
) -> Step:
    around = outer.inside(node)
    making = node.making
    if making is not None:
        inputs = {**inputs, **dict(making.loaded(inputs))}
    hooks = sorted(around.hooks | op.hooks, key=lambda hook: hook.name)
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


def _in_order(job: str, steps: Mapping[str, Step]) -> dict[str, Step]:
    """Each behind what it waits for; of those that could come next, the one that was written first."""
    ordered: dict[str, Step] = {}
    under: dict[str, None] = {}  #: being visited, from the outermost in
    for root in steps:
        stack: list[tuple[str, Iterator[str]]] = [] if root in ordered else [(root, iter(steps[root].upstream))]
        under = dict.fromkeys([root]) if stack else {}
        while stack:  # not by recursion: a chain may be longer than Python's stack
            key, rest = stack[-1]
            before = next((one for one in rest if one not in ordered), None)
            if before is None:
                ordered[key] = steps[key]
                under.pop(key, None)
                stack.pop()
            elif before in under:
                path = list(under)
                circle = [*path[path.index(before) :], before]
                raise fault(
                    f"job {job!r}: steps wait for each other in a circle: {' -> '.join(reversed(circle))}",
                    "Take one of these dependencies away.",
                )
            else:
                under[before] = None
                stack.append((before, iter(steps[before].upstream)))
    return ordered


def _with_mapping(steps: Mapping[str, Step]) -> dict[str, Step]:
    """The steps, each knowing which dynamic output there is one of it for."""
    found: dict[str, Step] = {}
    for key, step in steps.items():
        over: dict[tuple[str, str], None] = {}
        for given in step.inputs:
            for one in given.step_sources():
                before = found[one.step_key]
                match one:
                    case MappedSource():
                        _check_dynamic(key, before, one.output)
                        over[one.step_key, one.output] = None
                    case StepOutputSource() if before.mapped_over is not None:
                        if isinstance(given.source, FanInSource):
                            raise fault(f"{key}.{given.name}: a list holds an output of a mapped step", "Collect it.")
                        over[before.mapped_over] = None
                    case CollectSource() if before.mapped_over is None:
                        _check_dynamic(key, before, one.output)
        if len(over) > 1:
            names = " and ".join(f"{step_key}.{output}" for step_key, output in over)
            raise fault(f"{key} takes values of two dynamic outputs, {names}", "Collect one of them.")
        mapped_over = next(iter(over), None)
        if mapped_over is not None and any(out.is_dynamic for out in step.outs.values()):
            raise fault(
                f"{key} has a dynamic output, and is itself mapped over {'.'.join(mapped_over)}",
                "Collect before it; a map within a map is not there.",
            )
        found[key] = replace(step, mapped_over=mapped_over)
    return found


def _check_dynamic(key: str, before: Step, output: str) -> None:
    if not before.outs[output].is_dynamic:
        raise fault(f"{key}: {before.key}.{output} is no dynamic output", "Declare it with DynamicOut().")
