"""What happens inside the function of a @graph or @job: calls become nodes, what they give becomes handles.

Promises: nothing of a user's is executed; a call that cannot be is refused where it is written, with graph and node.
Not here: the graph that comes of it (graph.py).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, fault
from .handles import CollectedHandle, EachHandle, GraphInputHandle, MappedHandle, OutputHandle
from .hook import HookDefinition, check_hooks
from .names import check_name, check_tags
from .retry import RetryPolicy, check_retry_policy
from .shown import shown

if TYPE_CHECKING:
    from .graph import Definition, FromOutput, GraphInput, Node, Source


class Composition:
    """The graph under construction."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.nodes: dict[str, Node] = {}
        self._numbers: dict[str, int] = {}  #: of a definition that is used again
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
        return handles[0] if len(handles) == 1 else namedtuple(f"{name}_outputs", definition.outs)(*handles)

    def _name(self, pending: PendingNode) -> str:
        if pending.name is not None:
            if pending.name in self.nodes:
                raise fault(f"{self.what} has two nodes called {pending.name!r}", "Give one of them another alias.")
            return pending.name
        name = own = pending.definition.name
        while name in self.nodes:
            self._numbers[own] = self._numbers.get(own, 1) + 1
            name = f"{own}_{self._numbers[own]}"
        return name

    def _bound(
        self, what: str, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        names = list(definition.ins)
        if len(args) > len(names):
            raise fault(
                f"{what} is given {len(args)} input{'s' * (len(args) > 1)}, and takes {', '.join(names) or 'none'}",
                "Hand over inputs only: context, configuration and resources come by themselves.",
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
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: frozenset[HookDefinition] = frozenset()
    retry_policy: RetryPolicy | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is None:
            raise fault(
                f"{self.definition.name} with an alias, tags, hooks or a retry policy is called outside of a graph",
                "Call it inside the function of a @graph or @job.",
            )
        return composition.add(self, args, kwargs)

    def alias(self, name: str) -> PendingNode:
        return replace(self, name=check_name("alias", name, "Give it another alias."))

    def tag(self, tags: Mapping[str, str]) -> PendingNode:
        return replace(self, tags={**self.tags, **check_tags(self.definition.name, tags)})

    def with_hooks(self, hooks: Iterable[HookDefinition]) -> PendingNode:
        return replace(self, hooks=self.hooks | check_hooks(self.definition.name, hooks))

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        return replace(self, retry_policy=check_retry_policy(self.definition.name, "retry_policy", policy))


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
                "Write .map(...) behind it for a step each, or .collect() for the list of all.",
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
            return FanIn(tuple(_in_list(f"{what}[{number}]", one) for number, one in enumerate(given)))
    raise _no_source(what, given)


def _no_source(what: str, given: Any) -> UsageError:
    """The error that an input is given what no call gave."""
    from .assets import AssetsDefinition

    match given:
        case tuple() if given:  # a named one: the outputs of a node
            names = list(getattr(given, "_fields", ()))
            return fault(
                f"{what} is given all outputs of a node at once: {', '.join(names)}",
                f"Take one of them, as .{names[0]}.",
            )
        case list() | tuple():
            return fault(f"{what} is given an empty list", "Leave it out, and give the input a default of [].")
        case None:
            return fault(
                f"{what} is given None: nothing, or what a call gave that has no output",
                "Give that op an output; to only wait for it, declare ins={'start': In(Nothing)} and an output there.",
            )
        case AssetsDefinition():
            return fault(
                f"{what} is given {shown(given)}, and ops of a graph take no assets",
                "Make an asset of what takes it (@asset), or load it inside of the op.",
            )
        case _ if callable(given):
            return fault(
                f"{what} is given {shown(given)}, which is not called", "Call it there, and hand over what it gives."
            )
    return fault(
        f"{what} is given {shown(given)}, which is not what another call gave",
        "A plain value belongs into the run config (ops: NAME: inputs:), a default, or an op that returns it.",
    )


def _in_list(what: str, given: Any) -> FromOutput | GraphInput:
    from .graph import FromOutput, GraphInput

    found = source_of(what, given)
    if not isinstance(found, FromOutput | GraphInput):
        many = "a list" if isinstance(given, list | tuple | CollectedHandle) else "each of many values"
        raise fault(
            f"{what} is itself {many}; a list holds one output of a step each",
            "Hand it over as an input of its own, or return it from an op first.",
        )
    return found
