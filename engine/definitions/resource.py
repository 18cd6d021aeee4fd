"""Resources: what steps use and did not make, such as connections and IO managers. Made once a process and run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, overload

from ..errors import fault
from . import ordering
from .inout import UNSTATED
from .names import check_keys, check_name, check_text, name_of
from .shown import shown
from .signature import read_signature
from .typed_config import Config, schema_of

IO_METHODS = ("handle_output", "load_input")  #: of an IO manager; what it is beyond that, execution knows


@dataclass(frozen=True, eq=False, kw_only=True)
class ResourceDefinition:
    """How a resource is made. `fn` is called with an `InitResourceContext`; a generator yields it once, and what
    follows the `yield` is its tear-down, which is done also after a failure."""

    fn: Callable[..., Any] = field(repr=False)
    name: str | None = None
    config_type: type[Config] | None = None
    config: Any = None  #: what it is configured with unless the run config says otherwise: a mapping, or a `Config`
    required_resource_keys: frozenset[str] = frozenset()
    description: str | None = None
    takes_context: bool = True
    is_generator: bool = False
    resources: tuple[str, ...] = ()  #: parameters of `fn` that are given resources
    value: Any = field(default=UNSTATED, repr=False)  #: what is there already, if it is

    @classmethod
    def of_value(cls, value: Any) -> ResourceDefinition:
        """A resource that is there already: an IO manager, a client, a number."""
        return cls(fn=lambda: value, takes_context=False, description=type(value).__name__, value=value)

    def configured(self, config: Any) -> ResourceDefinition:
        """The same resource with this configuration; that of a run goes over it, key by key."""
        if self.config_type is None:
            raise fault(f"resource {self.name!r} takes no configuration", "Give its function a parameter `config`.")
        if not isinstance(config, Mapping | self.config_type):
            keys = ", ".join(f"{key!r}: ..." for key in schema_of(self.config_type))
            raise fault(
                f"resource {self.name!r}: {config!r:.80} is no configuration",
                f"Give a {self.config_type.__name__}, or a mapping as {{{keys}}}.",
            )
        return replace(self, config=deepcopy(config) if isinstance(config, Mapping) else config)


@overload
def resource(fn: Callable[..., Any], /) -> ResourceDefinition: ...
@overload
def resource(
    *, required_resource_keys: Iterable[str] | None = None, description: str | None = None
) -> Callable[[Callable[..., Any]], ResourceDefinition]: ...
def resource(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    required_resource_keys: Iterable[str] | None = None,
    description: str | None = None,
) -> Any:
    """Make a resource of a function. It may take `context`, `config` (annotated with a `Config` class), and parameters
    called like the resources that it requires. It returns the resource, or yields it once and tears it down after.

    Raises UsageError for a function with other parameters.
    """

    def made(fn: Callable[..., Any]) -> ResourceDefinition:
        name = name_of("resource", None, fn, remedy="Write a def.")
        what = f"resource {name!r}"
        keys = check_keys(what, "required_resource_keys", required_resource_keys)
        signature = read_signature(what, fn, resources=keys)
        if signature.inputs:
            raise fault(
                f"{what}: its function has the parameter {next(iter(signature.inputs))!r}",
                "It may take `context`, `config`, and what is in required_resource_keys.",
            )
        return ResourceDefinition(
            fn=fn,
            name=name,
            config_type=signature.config_type,
            required_resource_keys=keys,
            description=check_text(what, "description", description) or inspect.getdoc(fn),
            takes_context=signature.takes_context,
            is_generator=signature.is_generator,
            resources=signature.resources,
        )

    return made if fn is None else made(fn)


def check_resources(what: str, resources: Mapping[str, Any] | None) -> dict[str, ResourceDefinition]:
    """Resources by key; what is no definition is the resource itself. Raises UsageError for a key that cannot be."""
    if resources is not None and not isinstance(resources, Mapping):
        raise fault(f"{what}: resources={resources!r:.80} is no mapping", "Write {'warehouse': warehouse}.")
    return {
        check_name(f"{what}: resource", key, "Give the resource another key."): given
        if isinstance(given, ResourceDefinition)
        else ResourceDefinition.of_value(given)
        for key, given in (resources or {}).items()
    }


def in_order(what: str, resources: Mapping[str, ResourceDefinition], wanted: Iterable[str]) -> list[str]:
    """The keys that are needed for those wanted, each behind what it requires. Raises UsageError, with the path, for
    one that is missing and for a circle."""
    needed: dict[str, list[str]] = {}
    found: list[tuple[str, str | None]] = [(key, None) for key in wanted]
    for key, by in found:  # it grows as it is gone through
        if key not in resources:
            raise missing(what, key, resources, by=by)
        if key not in needed:
            needed[key] = sorted(resources[key].required_resource_keys)
            found += [(before, key) for before in needed[key]]
    return ordering.in_order(needed, f"{what}: resources require each other", "Take one requirement away.", flows=False)


def check_io_managers(what: str, resources: Mapping[str, ResourceDefinition], keys: Iterable[tuple[str, str]]) -> None:
    """Raise UsageError for a resource that is to keep or load values, is there already, and cannot.

    `keys`: key, and what needs it. What a function makes is looked at when it is made.
    """
    for key, by in keys:
        value = resources[key].value if key in resources else UNSTATED
        if value is not UNSTATED and not all(callable(getattr(value, name, None)) for name in IO_METHODS):
            raise fault(
                f"{what}: the resource {key!r}, which keeps values of {by}, is {shown(value)}, no IOManager",
                "Give an object of a class that derives from foldlog.IOManager.",
            )


def missing(what: str, key: str, resources: Mapping[str, Any], *, by: str | None) -> Exception:
    """The error that a resource is required and not there."""
    from ..config.place import meant

    there = ", ".join(sorted(resources)) or "none"
    needed = f", which {by} requires" if by else ""
    return fault(
        f"{what}: there is no resource {key!r}{needed}{meant(key, resources)} (there are: {there})",
        f"Give it, as resources={{{key!r}: ...}} of the Definitions, the job, or the call.",
    )


def io_managers_of(op: Any, by: str) -> Iterator[tuple[str, str]]:
    """(key, who needs it) of the resources that keep what an op gives, and load what it takes by one of its own."""
    for out in op.outs.values():
        if out.is_kept:
            yield out.io_manager_key, by
    for one in op.ins.values():
        if one.input_manager_key is not None:
            yield one.input_manager_key, by


def used_by(job: Any, steps: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, who requires it) of all that these steps of a job use: IO managers too, also those that keep what earlier
    runs have made."""
    for step in steps.values():
        by = f"step {step.key}"
        yield from used_by_op(step.op, step.hooks, by)
        for given in step.inputs:
            for key in _loaded_by(job, steps, given):
                yield key, by


def used_by_op(op: Any, hooks: Iterable[Any], by: str) -> Iterator[tuple[str, str]]:
    """The same of one op, `by` whom; not what loads its inputs."""
    for key in sorted(op.required_resource_keys):
        yield key, by
    for out in op.outs.values():
        if out.is_kept:
            yield out.io_manager_key, by
    for hook in hooks:
        for key in sorted(hook.required_resource_keys):
            yield key, f"hook {hook.name} of {by}"


def _loaded_by(job: Any, steps: Mapping[str, Any], given: Any) -> Iterator[str]:
    """The IO managers that load an input, and keep no output of these steps."""
    if given.definition.input_manager_key is not None:
        yield given.definition.input_manager_key
        return
    if given.definition.is_nothing:
        return
    for source in given.step_sources():
        if source.step_key not in steps and (out := job.steps[source.step_key].outs[source.output]).is_kept:
            yield out.io_manager_key
    asset = getattr(given.source, "asset", None)
    if asset is not None and job.assets is not None and (spec := job.assets.spec_of(asset)) is not None:
        maker = job.assets.maker.get(asset)
        if maker is None or maker.op.outs[maker.output_of(asset)].is_kept:
            yield spec.io_manager_key
