"""What a function says of itself: whether it takes a context, its configuration, its inputs and their types."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..errors import fault
from .config_class import local_names
from .inout import NO_DEFAULT, UNSTATED
from .typed_config import Config, schema_of

CONTEXT, CONFIG = "context", "config"
_HERE: Final = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Parameter:
    """One parameter that is an input."""

    annotation: Any
    default: Any


@dataclass(frozen=True)
class Signature:
    """A function of a user's, as a definition sees it."""

    takes_context: bool
    config_type: type[Config] | None
    inputs: dict[str, Parameter]
    resources: tuple[str, ...]  #: parameters that are called like a resource the definition requires
    returns: Any  #: UNSTATED if it says nothing
    is_generator: bool


def read_signature(what: str, fn: Callable[..., Any], *, resources: Collection[str] = ()) -> Signature:
    """The signature of a function. Raises UsageError for what no op can have, such as `*args`."""
    if not callable(fn):
        raise fault(f"{what}: {fn!r:.80} is no function", f"Write @{what.split()[0]} above a def.")
    code = _code_of(fn)
    check_plain(what, code, "call asyncio.run() inside of it")
    hints = _hints(code)
    takes_context, config_type, inputs, injected = False, None, {}, []
    for position, (name, parameter) in enumerate(_parameters(what, fn)):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise fault(f"{what}: the parameter {parameter} has no name to bind to", "Name each input.")
        if name == "self":
            raise fault(
                f"{what}: it is a method of a class, for it has the parameter `self`",
                "Write a def outside of the class, or take the method of an object: op(Loader(...).load).",
            )
        if name in (CONTEXT, "_", "_context") and position == 0:
            takes_context = True
        elif name == CONFIG:
            stated = getattr(code, "__annotations__", {}).get(CONFIG, UNSTATED)
            config_type = _config_type(what, hints.get(name, UNSTATED), stated)
        elif name == CONTEXT:
            raise fault(f"{what}: its parameter `context` is not the first", "Write it first: def f(context, rows).")
        elif name in resources:
            injected.append(name)
        else:
            default = NO_DEFAULT if parameter.default is parameter.empty else parameter.default
            inputs[name] = Parameter(hints.get(name, UNSTATED), default)
    returns = hints.get("return", UNSTATED)
    generates = inspect.isgeneratorfunction(code)
    return Signature(takes_context, config_type, inputs, tuple(injected), returns, generates)


def check_plain(what: str, fn: Callable[..., Any], instead: str) -> None:
    """Raise UsageError for a function that is async."""
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise fault(f"{what} is async", f"Write a plain def; {instead}.")


def _code_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the code and the annotations, of one that is wrapped, a partial, or an object to be called."""
    code = inspect.unwrap(fn)
    while isinstance(code, functools.partial):
        code = inspect.unwrap(code.func)
    return code if hasattr(code, "__code__") or isinstance(code, type) else type(code).__call__


def _parameters(what: str, fn: Callable[..., Any]) -> list[tuple[str, inspect.Parameter]]:
    try:
        return list(inspect.signature(fn).parameters.items())
    except ValueError:  # some that are written in C
        raise fault(f"{what}: its function does not tell its parameters", "Write a def that calls it.") from None


def _config_type(what: str, annotation: Any, stated: Any) -> type[Config]:
    """`stated`: the annotation as it was written, which may be a text that names what is not known."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        schema_of(annotation)
        return annotation
    if annotation is UNSTATED and stated is not UNSTATED:
        raise fault(
            f"{what}: its parameter `config` is annotated with {stated!r:.80}, which is not known there",
            "Correct the name, or import it; not behind `if TYPE_CHECKING`.",
        )
    given = "nothing" if annotation is UNSTATED else f"{annotation!r:.80}"
    raise fault(
        f"{what}: its parameter `config` is annotated with {given}; wanted a class of its own keys",
        "Write `class LoadConfig(foldlog.Config): limit: int = 10`, and `config: LoadConfig`.",
    )


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations; of those that name what is not there when the program runs, nothing is known."""
    names = _names_around(fn)
    try:
        return typing.get_type_hints(fn, localns=names, include_extras=True)
    except Exception:  # one that is imported for type checkers only must not hide the others
        return {name: _one(fn, name, given, names) for name, given in getattr(fn, "__annotations__", {}).items()}


def _names_around(fn: Callable[..., Any]) -> dict[str, Any]:
    """The names, of those that the annotations are written with, that are local where the function is defined."""
    texts = [one for one in getattr(fn, "__annotations__", {}).values() if isinstance(one, str)]
    if not texts:
        return {}
    inside = _closed_over(fn)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_HERE):
        frame = frame.f_back
    return local_names(texts, frame) | inside


def _closed_over(fn: Callable[..., Any]) -> dict[str, Any]:
    """The variables that a function closes over, as far as they are assigned by now."""
    found: dict[str, Any] = {}
    code = getattr(fn, "__code__", None)
    for name, cell in zip(code.co_freevars if code else (), getattr(fn, "__closure__", None) or (), strict=False):
        with suppress(ValueError):  # an empty cell: it is assigned below the function
            found[name] = cell.cell_contents
    return found


def _one(fn: Callable[..., Any], name: str, given: Any, names: dict[str, Any]) -> Any:
    if not isinstance(given, str):
        return given
    scope = getattr(fn, "__globals__", {})
    try:
        return eval(given, scope, names)  # the text of an annotation in the user's own source
    except Exception:
        return UNSTATED
