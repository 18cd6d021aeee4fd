"""`@graph`: from a function that calls ops and graphs to the graph that it wires."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

from ..errors import fault
from .composition import composing
from .graph import Collected, FromOutput, GraphDefinition, Node
from .handles import CollectedHandle, EachHandle, GraphInputHandle, OutputHandle
from .inout import NO_DEFAULT, RESULT, UNSTATED, In, Out
from .names import check_output_name, check_text, name_of
from .shown import shown
from .signature import CONFIG, CONTEXT, check_plain


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
