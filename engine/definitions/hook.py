"""Hooks: functions that are called when a step has succeeded or failed for good."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from ..errors import fault
from .names import check_keys, name_of
from .shown import shown
from .signature import check_plain

When = Literal["success", "failure"]


@dataclass(frozen=True, eq=False, kw_only=True)
class HookDefinition:
    """What `@success_hook` and `@failure_hook` make. `fn` is called with a `HookContext`."""

    name: str
    when: When
    fn: Callable[..., Any] = field(repr=False)
    required_resource_keys: frozenset[str] = frozenset()

    @property
    def place(self) -> tuple[str, ...]:
        """What hooks are ordered by, the same in each process."""
        return self.name, self.when, str(self.fn.__module__), getattr(self.fn, "__qualname__", "")


@overload
def success_hook(fn: Callable[..., Any], /) -> HookDefinition: ...
@overload
def success_hook(
    *, name: str | None = None, required_resource_keys: Iterable[str] | None = None
) -> Callable[[Callable[..., Any]], HookDefinition]: ...
def success_hook(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
) -> Any:
    """Make a hook of a function of one parameter, a `HookContext`: called when a step has succeeded.

    What it raises is recorded (HOOK_ERRORED) and changes nothing about the step. Give it to a job (`hooks={...}`: it
    applies to every step) or to one op in a graph (`clean.with_hooks({...})`).
    """
    return _hook("success", fn, name, required_resource_keys)


@overload
def failure_hook(fn: Callable[..., Any], /) -> HookDefinition: ...
@overload
def failure_hook(
    *, name: str | None = None, required_resource_keys: Iterable[str] | None = None
) -> Callable[[Callable[..., Any]], HookDefinition]: ...
def failure_hook(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
) -> Any:
    """As `success_hook`: called when a step has failed and will not be tried again."""
    return _hook("failure", fn, name, required_resource_keys)


def _hook(when: When, fn: Callable[..., Any] | None, name: str | None, keys: Iterable[str] | None) -> Any:
    def made(fn: Callable[..., Any]) -> HookDefinition:
        called = name_of(f"{when}_hook", name, fn)
        _check_function(f"hook {called!r}", fn)
        required = check_keys(f"hook {called!r}", "required_resource_keys", keys)
        return HookDefinition(name=called, when=when, fn=fn, required_resource_keys=required)

    return made if fn is None else made(fn)


def _check_function(what: str, fn: Callable[..., Any]) -> None:
    """Raise UsageError for a function that is async, which nobody would wait for, and for one of other parameters."""
    check_plain(what, fn, "call asyncio.run() inside of it")
    try:
        inspect.signature(fn).bind(None)
    except TypeError:
        raise fault(
            f"{what}: its function takes {inspect.signature(fn)}; it is called with one argument, the context",
            "Write def tell(context).",
        ) from None
    except ValueError:  # written in C, and does not tell
        return


def check_hooks(what: str, hooks: Iterable[HookDefinition] | None) -> frozenset[HookDefinition]:
    """The hooks as a set. Raises UsageError for what is none, and for two of one name."""
    if hooks is not None and (isinstance(hooks, str) or not isinstance(hooks, Iterable)):
        name = hooks.name if isinstance(hooks, HookDefinition) else "tell"
        raise fault(f"{what}: hooks={shown(hooks)} is no set of hooks", f"Write hooks={{{name}}}.")
    given = list(hooks or ())
    for one in given:
        if not isinstance(one, HookDefinition):
            raise fault(
                f"{what}: hooks holds {shown(one)}, which is no hook", "Make it with @success_hook or @failure_hook."
            )
    found = frozenset(given)
    if len({one.name for one in found}) != len(found):
        raise fault(f"{what}: two of its hooks have one name", "Give each a name of its own.")
    return found
