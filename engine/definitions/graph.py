"""A graph: nodes, and where each of their inputs comes from. A node is an op, or a graph again.

Promises: every source names a node, an output or an input that there is; all required inputs of the graph's own nodes
that stay open may be filled by the run config. Cycles are refused with their path (steps.py), when a job is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from ..config.place import meant
from .composition import PendingNode, compose, composing, current
from .handles import CollectedHandle, EachHandle, GraphInputHandle, OutputHandle
from .hook import HookDefinition
from .inout import NO_DEFAULT, RESULT, UNSTATED, In, Out
from .names import check_output_name, check_text, fault, freeze, name_of
from .retry import RetryPolicy
from .shown import shown
from .signature import CONFIG, CONTEXT, check_plain

if TYPE_CHECKING:
    from .assets import Making
    from .op import OpDefinition

    Definition: TypeAlias = OpDefinition | "GraphDefinition"


@dataclass(frozen=True)
class FromOutput:
    """What a node before gives."""

    node: str
    output: str


@dataclass(frozen=True)
class Each:
    """One of the values of a dynamic output: there is a step for each."""

    node: str
    output: str


@dataclass(frozen=True)
class Collected:
    """The list of all values of a dynamic output, or of what was made of each."""

    node: str
    output: str


@dataclass(frozen=True)
class GraphInput:
    """An input of the graph that the node is in."""

    name: str


@dataclass(frozen=True)
class FanIn:
    """A list, of what several nodes give."""

    sources: tuple[FromOutput | GraphInput, ...]


Source: TypeAlias = FromOutput | Each | Collected | GraphInput | FanIn


@dataclass(frozen=True, kw_only=True)
class Node:
    """One use of a definition in a graph."""

    name: str
    definition: Definition
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: frozenset[HookDefinition] = frozenset()
    retry_policy: RetryPolicy | None = None
    making: Making | None = None  #: the assets and checks that it makes, if it does
    after: tuple[str, ...] = ()  #: nodes that must have succeeded before, though they give it nothing

    def __post_init__(self) -> None:
        freeze(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class GraphDefinition:
    """What `@graph` makes. Called inside another graph it becomes a node; `to_job` makes a job of it."""

    name: str
    nodes: Mapping[str, Node]
    dependencies: Mapping[tuple[str, str], Source]  #: (node, input) to where it comes from
    ins: Mapping[str, In] = field(default_factory=dict)
    outs: Mapping[str, Out] = field(default_factory=dict)
    results: Mapping[str, FromOutput | Collected] = field(default_factory=dict)  #: output to what it is
    description: str | None = None

    def __post_init__(self) -> None:
        freeze(self)
        for (name, input_name), source in self.dependencies.items():
            self._check(name, input_name, source)
        for output, source in self.results.items():
            self._check_output(f"graph {self.name!r}: its output {output!r}", source)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current() is None:
            raise fault(
                f"graph {self.name!r} is called outside of a graph",
                f"Make a job of it with {self.name}.to_job(), and execute that.",
            )
        return compose(self, args, kwargs)

    def alias(self, name: str) -> PendingNode:
        """The same graph under another name in a graph."""
        return PendingNode(self).alias(name)

    def tag(self, tags: Mapping[str, str]) -> PendingNode:
        """The same graph with further tags, on each of its steps."""
        return PendingNode(self).tag(tags)

    def with_hooks(self, hooks: Iterable[HookDefinition]) -> PendingNode:
        """The same graph with further hooks, on each of its steps."""
        return PendingNode(self).with_hooks(hooks)

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        """The same graph with this retry policy, for each of its steps that has none of its own."""
        return PendingNode(self).with_retry_policy(policy)

    def to_job(self, name: str | None = None, **options: Any) -> Any:
        """A job of this graph; the options are those of `@job`."""
        from .job import JobDefinition

        return JobDefinition.of_graph(self, name=name or self.name, **options)

    def _check(self, name: str, input_name: str, source: Source) -> None:
        what = f"graph {self.name!r}: {name}.{input_name}"
        if name not in self.nodes:
            raise fault(f"{what}: there is no node {name!r}{meant(name, self.nodes)}", "Correct the name.")
        if input_name not in (ins := self.nodes[name].definition.ins):
            raise fault(f"{what}: {name} has no such input{meant(input_name, ins)}", "Correct the name.")
        for one in source.sources if isinstance(source, FanIn) else (source,):
            if isinstance(one, GraphInput):
                if one.name not in self.ins:
                    raise fault(f"{what}: the graph has no input {one.name!r}", "Correct the name.")
            else:
                self._check_output(what, one)

    def _check_output(self, what: str, source: FromOutput | Each | Collected) -> None:
        if source.node not in self.nodes:
            raise fault(
                f"{what} comes from {source.node}.{source.output}, and there is no node "
                f"{source.node!r}{meant(source.node, self.nodes)}",
                "Call it inside of this graph; what a call in another graph gave cannot be taken.",
            )
        if source.output not in (outs := self.nodes[source.node].definition.outs):
            raise fault(
                f"{what}: {source.node} has no output {source.output!r}{meant(source.output, outs)}", "Correct it."
            )


@overload
def graph(fn: Callable[..., Any], /) -> GraphDefinition: ...
@overload
def graph(
    *, name: str | None = None, out: Out | Mapping[str, Out] | None = None, description: str | None = None
) -> Callable[[Callable[..., Any]], GraphDefinition]: ...
def graph(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    out: Out | Mapping[str, Out] | None = None,
    description: str | None = None,
) -> Any:
    """Make a graph of a function that calls ops and graphs. Its parameters are the graph's inputs; what it returns (one
    handle, or a dict of handles by name) are its outputs.

    The function is called once, now, with handles: it wires, it does not work. Raises UsageError for what cannot be.
    """

    def made(fn: Callable[..., Any]) -> GraphDefinition:
        return make_graph("graph", fn, name=name, out=out, description=description)

    return made if fn is None else made(fn)


def make_graph(
    kind: str,
    fn: Callable[..., Any],
    *,
    name: str | None = None,
    out: Out | Mapping[str, Out] | None = None,
    description: str | None = None,
) -> GraphDefinition:
    """The graph that a function wires; `kind`: what the user calls it, for errors."""
    name = name_of(kind, name, fn)
    what = f"{kind} {name!r}"
    check_plain(what, fn, "it only wires ops, which do the work")
    if inspect.isgeneratorfunction(fn):
        raise fault(f"{what} has a yield", "Return one handle, or a dict of handles by name.")
    ins = {one: _graph_in(what, parameter) for one, parameter in inspect.signature(fn).parameters.items()}
    with composing(what) as composition:
        returned = fn(**{one: GraphInputHandle(one) for one in ins})
    results = dict(_results(what, returned))
    stated = _stated(what, out)
    if unknown := set(stated) - set(results):
        raise fault(
            f"{what}: out has {sorted(unknown)[0]!r}, which it does not return (it returns: {', '.join(results)})",
            "Return a dict by those names.",
        )
    if not composition.nodes:
        raise fault(f"{what} calls no op", "Call at least one op or graph inside of it.")
    return GraphDefinition(
        name=name,
        nodes=composition.nodes,
        dependencies=composition.dependencies,
        ins=ins,
        outs={one: stated.get(one) or _out_of(composition.nodes, source) for one, source in results.items()},
        results=results,
        description=check_text(what, "description", description) or ((fn.__doc__ or "").strip().split("\n")[0] or None),
    )


def _stated(what: str, out: Any) -> dict[str, Out]:
    given = {RESULT: out} if isinstance(out, Out) else {} if out is None else out
    if not isinstance(given, Mapping) or not all(isinstance(one, Out) for one in given.values()):
        raise fault(f"{what}: out={shown(out)} is no Out", "Write out=Out(int), or out={'rows': Out()}.")
    return dict(given)


def _graph_in(what: str, parameter: inspect.Parameter) -> In:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise fault(f"{what}: the parameter {parameter} has no name to bind to", "Name each input.")
    if parameter.name in (CONTEXT, CONFIG):
        raise fault(
            f"{what}: it has a parameter `{parameter.name}`, and its function is called once, when it is defined",
            f"Write `{parameter.name}` as a parameter of an op; those of a graph are its inputs.",
        )
    default = NO_DEFAULT if parameter.default is parameter.empty else parameter.default
    return In(UNSTATED, default=default)


def _results(what: str, returned: Any) -> Iterator[tuple[str, FromOutput | Collected]]:
    if returned is None:
        return
    for name, handle in returned.items() if isinstance(returned, dict) else [(RESULT, returned)]:
        match handle:
            case OutputHandle(node, output):
                yield check_output_name(what, name), FromOutput(node, output)
            case CollectedHandle(node, output):
                yield check_output_name(what, name), Collected(node, output)
            case EachHandle(node, output):
                raise fault(
                    f"{what} returns what .map() gave as it is: {node}.{output}",
                    "Return its .collect(), the list of all.",
                )
            case GraphInputHandle(one):
                raise fault(
                    f"{what} returns its input {one!r} as it is", "Whoever calls it has that; return what a call gave."
                )
            case tuple() if hasattr(handle, "_fields"):
                raise fault(
                    f"{what} returns all outputs of a node at once: {', '.join(handle._fields)}",
                    "Return a dict of handles by name; ._asdict() makes one.",
                )
            case _:
                raise fault(
                    f"{what} returns {shown(handle)}, which is not what a call in it gave",
                    "Return one handle, or a dict of handles by name.",
                )


def _out_of(nodes: Mapping[str, Node], source: FromOutput | Collected) -> Out:
    """What is declared of the output that a graph's own output is."""
    inner = nodes[source.node].definition.outs[source.output]
    return inner if isinstance(source, FromOutput) else Out(list)
