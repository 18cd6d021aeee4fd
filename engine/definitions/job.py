"""A job: a graph with all it needs to be executed but the run config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, overload

from ..errors import fault
from ..events.key import AssetKey
from .flatten import flatten
from .freezing import freeze, frozen
from .graph import GraphDefinition
from .graph_decorator import make_graph
from .hook import HookDefinition, check_hooks
from .names import check_metadata, check_name, check_tags, check_text
from .node_config import check_own_config
from .resource import ResourceDefinition, check_resources
from .retry import RetryPolicy, check_retry_policy
from .steps import Step

if TYPE_CHECKING:
    from .asset_graph import AssetGraph
    from .partitions import PartitionsDefinition


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class JobDefinition:
    """What `@job` makes; execute it with `foldlog.execute_job`. Its steps are worked out when it is made."""

    name: str
    graph: GraphDefinition = field(repr=False)
    steps: Mapping[str, Step] = field(repr=False)  #: by key, each behind what it waits for
    resource_defs: Mapping[str, ResourceDefinition] = field(default_factory=dict, repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)  #: run config, under that of a run
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    partitions_def: PartitionsDefinition | None = None
    description: str | None = None
    assets: AssetGraph | None = field(default=None, repr=False)  #: all assets that are known, if it makes some

    def __post_init__(self) -> None:
        for name in ("config", "tags", "metadata"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        freeze(self)

    @classmethod
    def of_graph(
        cls,
        graph: GraphDefinition,
        *,
        name: str,
        resource_defs: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        hooks: Iterable[HookDefinition] | None = None,
        op_retry_policy: RetryPolicy | None = None,
        partitions_def: PartitionsDefinition | None = None,
        description: str | None = None,
        assets: AssetGraph | None = None,
    ) -> JobDefinition:
        """A job of a graph; the options are those of `@job`. Raises UsageError for steps that wait in a circle."""
        what = f"job {check_name('job', name)!r}"
        if config is not None and not isinstance(config, Mapping):
            raise fault(
                f"{what}: config={config!r:.80} is no mapping", "Write config={'ops': {'load': {'config': {...}}}}."
            )
        check_own_config(what, graph, config or {})
        return cls(
            name=name,
            graph=graph,
            steps=flatten(
                graph,
                what,
                hooks=check_hooks(what, hooks),
                retry_policy=check_retry_policy(what, "op_retry_policy", op_retry_policy),
            ),
            resource_defs=check_resources(what, resource_defs),
            config=dict(config or {}),
            tags=check_tags(what, tags),
            metadata=check_metadata(what, metadata),
            partitions_def=_partitions(what, partitions_def),
            description=check_text(what, "description", description) or graph.description,
            assets=assets,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Not possible, as for an op or a graph. Raises UsageError."""
        raise fault(
            f"job {self.name!r} is called",
            f"Execute it with foldlog.execute_job({self.name}); make a @graph of what is part of several jobs.",
        )

    def with_resources(self, resources: Mapping[str, Any]) -> Self:
        """The same job; of a key that it has, its own resource stays."""
        return replace(self, resource_defs={**check_resources(f"job {self.name!r}", resources), **self.resource_defs})

    def __repr__(self) -> str:
        return f"<job {self.name!r}>"

    @cached_property
    def asset_keys(self) -> tuple[AssetKey, ...]:
        """The assets that it makes, in the order of its steps."""
        return tuple(key for step in self.steps.values() if step.node.making for key in step.node.making.asset_keys)

    @property
    def makes_assets(self) -> bool:
        return self.assets is not None


def _partitions(what: str, given: PartitionsDefinition | None) -> PartitionsDefinition | None:
    if given is None:  # most jobs need none of that package
        return None
    from .partitions import check_partitions

    return check_partitions(what, given)


@overload
def job(fn: Callable[..., Any], /) -> JobDefinition: ...
@overload
def job(
    *,
    name: str | None = None,
    resource_defs: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    hooks: Iterable[HookDefinition] | None = None,
    op_retry_policy: RetryPolicy | None = None,
    partitions_def: PartitionsDefinition | None = None,
    description: str | None = None,
) -> Callable[[Callable[..., Any]], JobDefinition]: ...
def job(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    resource_defs: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    hooks: Iterable[HookDefinition] | None = None,
    op_retry_policy: RetryPolicy | None = None,
    partitions_def: PartitionsDefinition | None = None,
    description: str | None = None,
) -> Any:
    """Make a job of a function that calls ops and graphs, as `@graph` does; its parameters are inputs of the job.

    `resource_defs`: resources by key, or the objects themselves. `config`: run config, or part of it, as a mapping;
    that of a run goes over it. `hooks`, `op_retry_policy`: for each step; what an op says for itself wins.
    Raises UsageError for what cannot be, such as steps that wait for each other in a circle.
    """

    def made(fn: Callable[..., Any]) -> JobDefinition:
        graph = make_graph("job", fn, name=name)
        return JobDefinition.of_graph(
            graph,
            name=graph.name,
            resource_defs=resource_defs,
            config=config,
            tags=tags,
            metadata=metadata,
            hooks=hooks,
            op_retry_policy=op_retry_policy,
            partitions_def=partitions_def,
            description=description,
        )

    return made if fn is None else made(fn)
