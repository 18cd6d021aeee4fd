"""What a function says of itself: whether it takes a context, its configuration, its inputs and their types."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from .inout import NO_DEFAULT, UNSTATED
from .names import fault
from .typed_config import Config

CONTEXT, CONFIG = "context", "config"


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
    plain = inspect.unwrap(fn)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise fault(f"{what} is async", "Write a plain def; call asyncio.run() inside of it.")
    hints = _hints(plain)
    takes_context, config_type, inputs, injected = False, None, {}, []
    for position, (name, parameter) in enumerate(inspect.signature(plain).parameters.items()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise fault(f"{what}: the parameter {parameter} has no name to bind to", "Name each input.")
        if name in (CONTEXT, "_", "_context") and position == 0:
            takes_context = True
        elif name == CONFIG:
            config_type = _config_type(what, hints.get(name, UNSTATED), parameter.annotation)
        elif name in resources:
            injected.append(name)
        else:
            default = NO_DEFAULT if parameter.default is parameter.empty else parameter.default
            inputs[name] = Parameter(hints.get(name, UNSTATED), default)
    returns = hints.get("return", UNSTATED)
    generates = inspect.isgeneratorfunction(plain)
    return Signature(takes_context, config_type, inputs, tuple(injected), returns, generates)


def _config_type(what: str, annotation: Any, written: Any) -> type[Config]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    if annotation is UNSTATED and isinstance(written, str):
        raise fault(
            f"{what}: its parameter `config` is annotated with {written!r}, and there is no such name at its place",
            "Define the class at the top level of the module, above the function.",
        )
    given = "nothing" if annotation is UNSTATED else f"{annotation!r:.80}"
    raise fault(
        f"{what}: its parameter `config` is annotated with {given}; wanted a class of its own keys",
        "Write `class LoadConfig(foldlog.Config): limit: int = 10`, and `config: LoadConfig`.",
    )


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations; of those that name what is not there when the program runs, nothing is known."""
    if isinstance(fn, functools.partial):
        fn = fn.func
    names = dict(inspect.getclosurevars(fn).nonlocals) if hasattr(fn, "__code__") else {}
    try:
        return typing.get_type_hints(fn, localns=names, include_extras=True)
    except Exception:  # one that is imported for type checkers only must not hide the others
        return {name: _one(fn, name, given, names) for name, given in getattr(fn, "__annotations__", {}).items()}


def _one(fn: Callable[..., Any], name: str, given: Any, names: dict[str, Any]) -> Any:
    if not isinstance(given, str):
        return given
    scope = getattr(fn, "__globals__", {})
    try:
        return eval(given, scope, names)  # the text of an annotation in the user's own source
    except Exception:
        return UNSTATED
