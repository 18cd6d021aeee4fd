"""A graph: nodes, and where each of their inputs comes from. A node is an op, or a graph again.

Promises: every source names a node, an output or an input that there is; all required inputs of the graph's own nodes
that stay open may be filled by the run config. Cycles are refused with their path (steps.py), when a job is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ..config.place import meant
from ..errors import fault
from .composition import PendingNode, compose, current
from .freezing import freeze
from .hook import HookDefinition
from .inout import In, Out
from .retry import RetryPolicy

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


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
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

    def __repr__(self) -> str:
        return f"<graph {self.name!r}>"

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
