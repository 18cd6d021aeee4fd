"""An op: one function, what it takes, what it gives. The unit that a step executes."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ..errors import fault
from .composition import compose
from .freezing import freeze
from .hook import HookDefinition, check_hooks
from .inout import RESULT, UNSTATED, In, Nothing, Out, Output
from .names import check_keys, check_metadata, check_name, check_output_name, check_tags, check_text, name_of
from .results import MaterializeResult, ObserveResult
from .retry import RetryPolicy, check_retry_policy
from .shown import shown
from .signature import Signature, read_signature
from .typed_config import Config

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class OpDefinition:
    """What `@op` makes. Called inside a graph or a job it becomes a node; elsewhere it calls its function."""

    name: str
    fn: Callable[..., Any] = field(repr=False)
    ins: Mapping[str, In]
    outs: Mapping[str, Out]
    config_type: type[Config] | None = None
    required_resource_keys: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    code_version: str | None = None
    retry_policy: RetryPolicy | None = None
    hooks: frozenset[HookDefinition] = frozenset()
    description: str | None = None
    pool: str | None = None  #: the concurrency pool whose slots its steps take
    signature: Signature = field(repr=False)

    def __post_init__(self) -> None:
        freeze(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a graph: a node, and a handle for each output. Elsewhere: what the function gives, for tests of it."""
        return compose(self, args, kwargs) if _composing() else self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<op {self.name!r}>"

    def alias(self, name: str) -> Any:
        """The same op under another name in a graph: `clean.alias("clean_orders")(orders)`."""
        return _pending(self).alias(name)

    def tag(self, tags: Mapping[str, str]) -> Any:
        """The same op with further tags in a graph."""
        return _pending(self).tag(tags)

    def with_hooks(self, hooks: Iterable[HookDefinition]) -> Any:
        """The same op with further hooks in a graph."""
        return _pending(self).with_hooks(hooks)

    def with_retry_policy(self, policy: RetryPolicy) -> Any:
        """The same op with this retry policy in a graph."""
        return _pending(self).with_retry_policy(policy)


def _composing() -> bool:
    from .composition import current

    return current() is not None


def _pending(definition: OpDefinition) -> Any:
    from .composition import PendingNode

    return PendingNode(definition)


@overload
def op(fn: Callable[..., Any], /) -> OpDefinition: ...


@overload
def op(
    *,
    name: str | None = None,
    ins: Mapping[str, In] | None = None,
    out: Out | Mapping[str, Out] | None = None,
    required_resource_keys: Iterable[str] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    code_version: str | None = None,
    retry_policy: RetryPolicy | None = None,
    hooks: Iterable[HookDefinition] | None = None,
    description: str | None = None,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], OpDefinition]: ...


def op(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    ins: Mapping[str, In] | None = None,
    out: Out | Mapping[str, Out] | None = None,
    required_resource_keys: Iterable[str] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    code_version: str | None = None,
    retry_policy: RetryPolicy | None = None,
    hooks: Iterable[HookDefinition] | None = None,
    description: str | None = None,
    pool: str | None = None,
) -> OpDefinition | Callable[[Callable[..., Any]], OpDefinition]:
    """Make an op of a function: `@op`, or `@op(retry_policy=..., out={"big": Out(), "small": Out(is_required=False)})`.

    The parameter `context` is given the step's context, `config` (annotated with a `Config` class) its configuration, a
    parameter called like a required resource that resource; all others are inputs. The return annotation is the type
    of the one output, `result`. With several outputs the function returns a tuple, or yields an `Output` for each.

    Raises UsageError for a name, input, output or option that cannot be.
    """

    def made(fn: Callable[..., Any]) -> OpDefinition:
        return make_op(
            fn,
            name=name,
            ins=ins,
            outs=out,
            required_resource_keys=required_resource_keys,
            tags=tags,
            metadata=metadata,
            code_version=code_version,
            retry_policy=retry_policy,
            hooks=hooks,
            description=description,
            pool=pool,
        )

    return made if fn is None else made(fn)


def make_op(
    fn: Callable[..., Any],
    *,
    kind: str = "op",
    name: str | None = None,
    ins: Mapping[str, In] | None = None,
    outs: Out | Mapping[str, Out] | None = None,
    required_resource_keys: Iterable[str] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    code_version: str | None = None,
    retry_policy: RetryPolicy | None = None,
    hooks: Iterable[HookDefinition] | None = None,
    description: str | None = None,
    pool: str | None = None,
) -> OpDefinition:
    """The op of a function; `kind`: what the user calls it, for errors. `outs`: None: the one that is returned."""
    name = name_of(kind, name, fn)
    what = f"{kind} {name!r}"
    keys = check_keys(what, "required_resource_keys", required_resource_keys)
    signature = read_signature(what, fn, resources=keys)
    return OpDefinition(
        name=name,
        fn=fn,
        ins=_ins(what, signature, {} if ins is None else ins),
        outs=_outs(what, signature, outs, by_name=kind == "op"),
        config_type=signature.config_type,
        required_resource_keys=keys,
        tags=check_tags(what, tags),
        metadata=check_metadata(what, metadata),
        code_version=check_text(what, "code_version", code_version),
        retry_policy=check_retry_policy(what, "retry_policy", retry_policy),
        hooks=check_hooks(what, hooks),
        description=check_text(what, "description", description) or _first_line(fn),
        pool=check_text(what, "pool", pool),
        signature=signature,
    )


def _first_line(fn: Callable[..., Any]) -> str | None:
    text = (getattr(fn, "__doc__", None) or "").strip()
    return text.splitlines()[0] if text else None


def _ins(what: str, signature: Signature, stated: Mapping[str, In]) -> dict[str, In]:
    """The inputs: the function's parameters, in their order, then those that hand on no value."""
    if not isinstance(stated, Mapping):
        raise fault(f"{what}: ins={stated!r:.80} is no mapping", "Write ins={'rows': In(list)}.")
    for name, one in stated.items():
        check_name(f"{what}: input", name, "Give the input another name.")
        if not isinstance(one, In):
            raise fault(f"{what}: ins[{name!r}] is {shown(one)}, and no In", "Write ins={'rows': In(list)}.")
        if name not in signature.inputs and not one.is_nothing:
            has = ", ".join(signature.inputs) or "none"
            raise fault(
                f"{what}: ins has {name!r}, and the function has no such parameter (it has: {has})",
                "Add the parameter, or write In(Nothing) for an input without a value.",
            )
    found = {}
    for name, parameter in signature.inputs.items():
        given = stated.get(name, In())
        if given.is_nothing:
            raise fault(
                f"{what}: the input {name!r} is Nothing, and the function has a parameter of that name",
                "Take the parameter away: no value comes.",
            )
        found[name] = In(
            parameter.annotation if given.annotation is UNSTATED else given.annotation,
            default=given.default if given.has_default else parameter.default,
            description=given.description,
            metadata=given.metadata,
            input_manager_key=given.input_manager_key,
        )
    return found | {name: one for name, one in stated.items() if name not in found}


def _outs(what: str, signature: Signature, stated: Out | Mapping[str, Out] | None, *, by_name: bool) -> dict[str, Out]:
    """The outputs, with the types that the return annotation says. `by_name`: graphs call them by their names."""
    if stated is None or isinstance(stated, Out):
        stated = {RESULT: stated or Out()}
    if not isinstance(stated, Mapping):
        raise fault(
            f"{what}: out={shown(stated)} is no Out", "Write out=Out(int), or out={'big': Out(), 'small': Out()}."
        )
    for name, one in stated.items():
        if by_name:
            check_output_name(what, name)
        if not isinstance(one, Out):
            raise fault(f"{what}: the output {name!r} is {shown(one)}, and no Out", "Write out={'rows': Out(list)}.")
    returns = signature.returns
    types: tuple[Any, ...] = (UNSTATED,) * len(stated)
    if not signature.is_generator and returns is not UNSTATED:
        if len(stated) == 1:
            types = (returns,)
        elif typing.get_origin(returns) is tuple and Ellipsis not in typing.get_args(returns):
            types = typing.get_args(returns)
            if len(types) != len(stated):
                raise fault(
                    f"{what} has {len(stated)} outputs ({', '.join(stated)}), and is annotated to return {len(types)}",
                    "Return one value for each output, in their order.",
                )
    return {name: one.with_annotation(_of_value(kind)) for (name, one), kind in zip(stated.items(), types, strict=True)}


def _of_value(annotation: Any) -> Any:
    """What a return annotation says of the value: of `Output[int]` int, of `Output` or `MaterializeResult` nothing."""
    origin = typing.get_origin(annotation) or annotation
    if not isinstance(origin, type) or not issubclass(origin, Output | MaterializeResult | ObserveResult):
        return annotation
    return next(iter(typing.get_args(annotation)), UNSTATED)


__all__ = ["Nothing", "OpDefinition", "make_op", "op"]
