"""What the function of a graph handles in place of values: outputs of calls, and inputs of the graph itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import fault
from .shown import shown


class _Handle:
    """What stands for a value that is not there yet: it is handed on, and nothing else is done with it."""

    def __bool__(self) -> bool:
        raise fault(
            f"{self} is asked whether it is true, and has no value yet: the graph is only wired here",
            "Decide inside of an op; an output with is_required=False may stay away, and what needs it is skipped.",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python, and those who look into objects, ask of anything
            raise AttributeError(name)
        raise fault(
            f"{self}.{name} is asked for, and {self} has no value yet: the graph is only wired here",
            "Take it in an op; or declare several outputs, out={'a': Out(), 'b': Out()}, which a call gives by name.",
        )

    def _refused(self, *_: Any) -> Any:
        raise fault(
            f"{self} is reckoned with, compared or looked into, and has no value yet: the graph is only wired here",
            "Do it in an op, which is given the value.",
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refused
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _refused
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __lshift__ = __rshift__ = _refused
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __pos__ = __abs__ = __invert__ = _refused
    __getitem__ = __contains__ = __len__ = __int__ = __float__ = _refused

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Handle):
            self._refused()
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __iter__(self) -> Iterator[Any]:
        raise fault(
            f"{self} is gone through or taken apart, and has no value yet: the graph is only wired here",
            "Declare several outputs with out={'a': Out(), 'b': Out()}, or a dynamic one and .map().",
        )


@dataclass(frozen=True, repr=False, eq=False)
class _OfNode(_Handle):
    node: str
    output: str

    def __repr__(self) -> str:
        return f"{self.node}.{self.output}"


@dataclass(frozen=True, repr=False, eq=False)
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


@dataclass(frozen=True, repr=False, eq=False)
class GraphInputHandle(_Handle):
    """An input of the graph itself."""

    name: str

    def __repr__(self) -> str:
        return f"the input {self.name!r} of the graph"


Handle = OutputHandle | MappedHandle | EachHandle | CollectedHandle | GraphInputHandle


def _mapped(what: str, fn: Callable[[Any], Any], given: Handle) -> Any:
    """What `fn` gives for the handle, each output of a node in it as one of many."""
    if not callable(fn):
        raise fault(
            f"{what} is given {shown(fn)}, which is no function", "Give an op, a graph or a lambda of one parameter."
        )

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
