"""What happens inside the function of a @graph or @job: calls become nodes, what they give becomes handles.

Promises: nothing of a user's is executed; a call that cannot be is refused where it is written, with graph and node.
Not here: the graph that comes of it (graph.py).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .hook import HookDefinition, check_hooks
from .names import check_name, check_tags, fault
from .retry import RetryPolicy

if TYPE_CHECKING:
    from .graph import Definition, Node, Source


@dataclass(frozen=True)
class OutputHandle:
    """An output of a node, as a graph's function sees it. Hand it to other calls."""

    node: str
    output: str
    is_dynamic: bool = False

    def map(self, fn: Callable[[Any], Any]) -> Any:
        """Of a dynamic output: `fn` is called once, with a handle that stands for each of its values; what it gives."""
        if not self.is_dynamic:
            raise fault(
                f"{self.node}.{self.output} is no dynamic output, so there is nothing to map over",
                "Declare it with out=DynamicOut(), and yield a DynamicOutput for each value.",
            )
        return _mapped(fn(MappedHandle(self.node, self.output)))

    def collect(self) -> CollectedHandle:
        """Of a dynamic output: a handle of the list of all its values."""
        if not self.is_dynamic:
            raise fault(
                f"{self.node}.{self.output} is no dynamic output, so there is nothing to collect",
                "Collect a dynamic output, or what .map() gave.",
            )
        return CollectedHandle(self.node, self.output)


@dataclass(frozen=True)
class MappedHandle:
    """Each of the values of a dynamic output, inside of `.map`."""

    node: str
    output: str


@dataclass(frozen=True)
class EachHandle:
    """What `.map` gave: an output of a node that there is one of for each value."""

    node: str
    output: str

    def map(self, fn: Callable[[Any], Any]) -> Any:
        """Go on with each: `fn` is called once, with this handle's value."""
        return _mapped(fn(OutputHandle(self.node, self.output)))

    def collect(self) -> CollectedHandle:
        """A handle of the list of all, in the order in which the keys were yielded."""
        return CollectedHandle(self.node, self.output)


@dataclass(frozen=True)
class CollectedHandle:
    """The list of all values."""

    node: str
    output: str


@dataclass(frozen=True)
class GraphInputHandle:
    """An input of the graph itself."""

    name: str


Handle = OutputHandle | MappedHandle | EachHandle | CollectedHandle | GraphInputHandle


def _mapped(given: Any) -> Any:
    if isinstance(given, OutputHandle):
        return EachHandle(given.node, given.output)
    if isinstance(given, tuple):
        each = [_mapped(one) for one in given]
        return type(given)(*each) if hasattr(given, "_fields") else tuple(each)
    return given


class Composition:
    """The graph under construction."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.nodes: dict[str, Node] = {}
        self.dependencies: dict[tuple[str, str], Source] = {}

    def add(self, pending: PendingNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from .graph import Node

        definition = pending.definition
        name = self._name(pending)
        inputs = self._bound(f"{self.what}: {name}", definition, args, kwargs)
        self.nodes[name] = Node(
            name=name,
            definition=definition,
            tags=pending.tags,
            hooks=pending.hooks,
            retry_policy=pending.retry_policy,
        )
        for input_name, given in inputs.items():
            self.dependencies[name, input_name] = source_of(f"{self.what}: {name}.{input_name}", given)
        handles = [OutputHandle(name, output, out.is_dynamic) for output, out in definition.outs.items()]
        if not handles:
            return None
        return handles[0] if len(handles) == 1 else namedtuple(f"{name}_outputs", definition.outs)(*handles)  # type: ignore[arg-type]

    def _name(self, pending: PendingNode) -> str:
        if pending.name is not None:
            if pending.name in self.nodes:
                raise fault(f"{self.what} has two nodes called {pending.name!r}", "Give one of them another alias.")
            return pending.name
        name, number = pending.definition.name, 2
        while name in self.nodes:
            name, number = f"{pending.definition.name}_{number}", number + 1
        return name

    def _bound(
        self, what: str, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        names = list(definition.ins)
        if len(args) > len(names):
            raise fault(
                f"{what} is given {len(args)} values, and takes {len(names)} ({', '.join(names) or 'none'})",
                "Context, configuration and resources are not handed over in a graph; only inputs are.",
            )
        bound = dict(zip(names, args, strict=False))
        for name, given in kwargs.items():
            if name not in definition.ins:
                from ..config.place import meant

                raise fault(
                    f"{what} has no input {name!r}{meant(name, names)} (it has: {', '.join(names) or 'none'})",
                    "Correct the name.",
                )
            if name in bound:
                raise fault(f"{what}: the input {name!r} is given twice", "Give it once.")
            bound[name] = given
        return bound


@dataclass(frozen=True)
class PendingNode:
    """A definition with what is particular to one of its nodes; call it in a graph."""

    definition: Definition
    name: str | None = None
    tags: Mapping[str, str] = ()  # type: ignore[assignment]
    hooks: frozenset[HookDefinition] = frozenset()
    retry_policy: RetryPolicy | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", dict(self.tags))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is None:
            raise fault(
                f"{self.definition.name} with an alias, tags, hooks or a retry policy is called outside of a graph",
                "Call it inside the function of a @graph or @job.",
            )
        return composition.add(self, args, kwargs)

    def alias(self, name: str) -> PendingNode:
        return replace(self, name=check_name("alias", name))

    def tag(self, tags: Mapping[str, str]) -> PendingNode:
        return replace(self, tags={**self.tags, **check_tags(self.definition.name, tags)})

    def with_hooks(self, hooks: Iterable[HookDefinition]) -> PendingNode:
        return replace(self, hooks=self.hooks | check_hooks(self.definition.name, hooks))

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        if not isinstance(policy, RetryPolicy):
            raise fault(
                f"{self.definition.name}: {policy!r:.80} is no RetryPolicy", "Write RetryPolicy(max_retries=3)."
            )
        return replace(self, retry_policy=policy)


_current: ContextVar[Composition | None] = ContextVar("foldlog_composition", default=None)


def current() -> Composition | None:
    """The graph under construction in this thread, if any."""
    return _current.get()


@contextmanager
def composing(what: str) -> Iterator[Composition]:
    """Inside, calls of ops and graphs add nodes to what this gives."""
    composition = Composition(what)
    token = _current.set(composition)
    try:
        yield composition
    finally:
        _current.reset(token)


def compose(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A node of `definition` in the graph under construction."""
    return PendingNode(definition)(*args, **kwargs)


def source_of(what: str, given: Any) -> Source:
    """Where an input comes from. Raises UsageError for what is no handle."""
    from .graph import Collected, Each, FanIn, FromOutput, GraphInput

    match given:
        case OutputHandle(node, output, False):
            return FromOutput(node, output)
        case OutputHandle(node, output):
            raise fault(
                f"{what} is given the dynamic output {node}.{output} as it is",
                f"Write {node}().map(...) for a step each, or .collect() for the list of all.",
            )
        case MappedHandle(node, output):
            return Each(node, output)
        case EachHandle(node, output):
            raise fault(
                f"{what} is given what .map() gave as it is: {node}.{output}, of which there are many",
                "Go on inside of .map(), or write .collect() for the list of all.",
            )
        case CollectedHandle(node, output):
            return Collected(node, output)
        case GraphInputHandle(name):
            return GraphInput(name)
        case list() | tuple() if given and not hasattr(given, "_fields"):
            sources = tuple(source_of(f"{what}[{number}]", one) for number, one in enumerate(given))
            return FanIn(sources)  # type: ignore[arg-type]  # a list within a list is refused by FanIn
    problem = f"{what} is given {given!r:.80}, which is not what another call gave"
    if hasattr(given, "_fields"):
        problem = f"{what} is given all outputs of a node at once: {', '.join(given._fields)}"
        raise fault(problem, f"Take one of them, as .{given._fields[0]}.")
    raise fault(
        problem, "A plain value belongs into the run config (ops: NAME: inputs:), a default, or an op that returns it."
    )
