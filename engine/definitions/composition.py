"""What happens inside the function of a @graph or @job: calls become nodes, what they give becomes handles.

Promises: nothing of a user's is executed; a call that cannot be is refused where it is written, with graph and node.
Not here: the graph that comes of it (graph.py).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .hook import HookDefinition, check_hooks
from .names import check_name, check_tags, fault
from .retry import RetryPolicy, check_retry_policy

if TYPE_CHECKING:
    from .graph import Definition, FromOutput, GraphInput, Node, Source


class _Handle:
    """What stands for a value that is not there yet: it is handed on, and nothing else is done with it."""

    def __bool__(self) -> bool:
        raise fault(
            f"{self} is asked whether it is true, and has no value yet: the graph is only wired here",
            "Decide inside of an op; an output with is_required=False may stay away, and what needs it is skipped.",
        )

    def __iter__(self) -> Iterator[Any]:
        raise fault(
            f"{self} is gone through or taken apart, and has no value yet: the graph is only wired here",
            "Declare several outputs with out={'a': Out(), 'b': Out()}, or a dynamic one and .map().",
        )


@dataclass(frozen=True, repr=False)
class _OfNode(_Handle):
    node: str
    output: str

    def __repr__(self) -> str:
        return f"{self.node}.{self.output}"


@dataclass(frozen=True, repr=False)
class OutputHandle(_OfNode):
    """An output of a node, as a graph's function sees it. Hand it to other calls."""

    is_dynamic: bool = False

    def map(self, fn: Callable[[Any], Any]) -> Any:
        """Of a dynamic output: `fn` is called once, with a handle that stands for each of its values; what it gives."""
        if not self.is_dynamic:
            raise fault(
                f"{self.node}.{self.output} is no dynamic output, so there is nothing to map over",
                "Declare it with out=DynamicOut(), and yield a DynamicOutput for each value.",
            )
        return _mapped(f"{self}.map", fn, MappedHandle(self.node, self.output))

    def collect(self) -> CollectedHandle:
        """Of a dynamic output: a handle of the list of all its values."""
        if not self.is_dynamic:
            raise fault(
                f"{self.node}.{self.output} is no dynamic output, so there is nothing to collect",
                "Collect a dynamic output, or what .map() gave.",
            )
        return CollectedHandle(self.node, self.output)


class MappedHandle(_OfNode):
    """Each of the values of a dynamic output, inside of `.map`."""


class EachHandle(_OfNode):
    """What `.map` gave: an output of a node that there is one of for each value."""

    def map(self, fn: Callable[[Any], Any]) -> Any:
        """Go on with each: `fn` is called once, with this handle's value."""
        return _mapped(f"{self}.map", fn, OutputHandle(self.node, self.output))

    def collect(self) -> CollectedHandle:
        """A handle of the list of all, in the order in which the keys were yielded."""
        return CollectedHandle(self.node, self.output)


class CollectedHandle(_OfNode):
    """The list of all values."""


@dataclass(frozen=True, repr=False)
class GraphInputHandle(_Handle):
    """An input of the graph itself."""

    name: str

    def __repr__(self) -> str:
        return f"the input {self.name!r} of the graph"


Handle = OutputHandle | MappedHandle | EachHandle | CollectedHandle | GraphInputHandle


def _mapped(what: str, fn: Callable[[Any], Any], given: Handle) -> Any:
    """What `fn` gives for the handle, each output of a node in it as one of many."""
    if not callable(fn):
        raise fault(f"{what}({fn!r:.80}): that is no function", "Give an op, a graph or a lambda of one parameter.")

    def each(gave: Any) -> Any:
        match gave:
            case OutputHandle() if gave != given:
                return EachHandle(gave.node, gave.output)
            case None | EachHandle() | CollectedHandle():
                return gave
            case tuple() if hasattr(gave, "_fields"):
                return type(gave)(*map(each, gave))
            case tuple() | list():
                return type(gave)(map(each, gave))
            case dict():
                return {key: each(one) for key, one in gave.items()}
        raise fault(
            f"{what}: what it calls gives {shown(gave)}, which no call in it gave",
            "Call an op or a graph with the value, and return what that gives.",
        )

    return each(fn(given))


def shown(given: Any) -> str:
    """What a user handed over, for a message: short, and without an address in memory."""
    from .graph import GraphDefinition
    from .op import OpDefinition

    match given:
        case OpDefinition() | GraphDefinition():
            return f"{given.name} itself, which is not called"
        case PendingNode():
            return f"{given.definition.name} itself, which is not called"
        case _ if callable(given):
            return f"the function {getattr(given, '__name__', type(given).__name__)}"
    return f"{given!r:.80}"


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
        case tuple() if given:
            raise fault(
                f"{what} is given all outputs of a node at once: {', '.join(getattr(given, '_fields', ()))}",
                f"Take one of them, as .{getattr(given, '_fields', ('result',))[0]}.",
            )
        case list() | tuple():
            raise fault(f"{what} is given an empty list", "Leave it out, and give the input a default of [].")
        case None:
            raise fault(
                f"{what} is given None: nothing, or what a call gave that has no output",
                "Give that op an output; to only wait for it, declare ins={'start': In(Nothing)} and an output there.",
            )
        case _ if callable(given):
            raise fault(f"{what} is given {shown(given)}", "Call it there, and hand over what it gives.")
    raise fault(
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
