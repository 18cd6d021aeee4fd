"""All definitions of a program together: what a code location offers to whoever executes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, wraps
from types import MappingProxyType
from typing import Any, TypeVar, cast

from ..config.place import meant
from ..errors import fault
from .asset_graph import AssetGraph, Selection
from .assets import AssetsDefinition, AssetSpec
from .hook import HookDefinition, check_hooks
from .inout import IO_MANAGER
from .job import JobDefinition
from .job_text import ALL_ASSETS as ALL_ASSETS
from .names import check_metadata, check_name, check_tags, check_text
from .partitions import PartitionsDefinition, check_partitions
from .resource import (
    ResourceDefinition,
    check_io_managers,
    check_resources,
    in_order,
    io_managers_of,
    missing,
    used_by,
    used_by_op,
)
from .retry import check_retry_policy
from .shown import shown

Init = TypeVar("Init", bound=Callable[..., None])


@dataclass(frozen=True, kw_only=True)
class UnresolvedAssetJob:
    """What `define_asset_job` gives: a job of assets that are not known yet."""

    name: str
    selection: Any = "*"
    options: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, assets: AssetGraph, resources: Mapping[str, Any] | None = None) -> JobDefinition:
        """The job. Raises UsageError for a selection that selects nothing."""
        return assets.job(self.name, self.selection, **self.options).with_resources(resources or {})


def define_asset_job(
    name: str,
    selection: Selection = "*",
    *,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    hooks: Iterable[HookDefinition] | None = None,
    op_retry_policy: Any = None,
    partitions_def: PartitionsDefinition | None = None,
    description: str | None = None,
) -> UnresolvedAssetJob:
    """A job that makes the assets selected; `Definitions` knows them. `selection`: `"*"`, `"raw/orders+"`,
    `"group:reports"`, assets, or a list; see docs/definitions.md."""
    what = f"job {check_name('job', name)!r}"
    if config is not None and not isinstance(config, Mapping):
        raise fault(
            f"{what}: config={config!r:.80} is no mapping", "Write config={'ops': {'load': {'config': {...}}}}."
        )
    check_tags(what, tags)
    check_metadata(what, metadata)
    check_text(what, "description", description)
    options = {
        "config": config,
        "tags": tags,
        "metadata": metadata,
        "hooks": check_hooks(what, hooks) or None,
        "op_retry_policy": check_retry_policy(what, "op_retry_policy", op_retry_policy),
        "partitions_def": check_partitions(what, partitions_def),
        "description": description,
    }
    # The job is made later, by Definitions: what the caller does to these mappings until then must not matter.
    given = {
        key: deepcopy(value) if isinstance(value, dict) else value
        for key, value in options.items()
        if value is not None
    }
    return UnresolvedAssetJob(name=name, selection=selection, options=given)


def _by_keyword(init: Init) -> Init:
    """The same; a list that is given without its keyword is refused in words that say how to write it."""

    @wraps(init)
    def checked(self: Any, *given: Any, **named: Any) -> None:
        if given:
            raise fault(
                f"Definitions: {shown(given[0])} is given without saying what it is",
                "Write Definitions(assets=[...], asset_checks=[...], jobs=[...], resources={...}).",
            )
        init(self, **named)

    return cast(Init, checked)


class Definitions:
    """Assets, checks, jobs and resources of a program, checked together when it is made.

    `resources`: by key, for every job and asset that requires them; a job's own go before. What is no resource
    definition is the resource itself. Raises UsageError for what does not fit together, naming it.
    """

    @_by_keyword
    def __init__(
        self,
        *,
        assets: Iterable[AssetsDefinition | AssetSpec] = (),
        asset_checks: Iterable[AssetsDefinition] = (),
        jobs: Iterable[JobDefinition | UnresolvedAssetJob] = (),
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        self.resources: Mapping[str, ResourceDefinition] = check_resources("Definitions", resources)
        self.asset_graph = AssetGraph.of(_several("assets", assets), _several("asset_checks", asset_checks))
        self._jobs: dict[str, JobDefinition] = {}
        for one in _several("jobs", jobs):
            self._add(one)
        for job in self._jobs.values():
            self._check_resources(job)
        self._check_own_resources()

    @property
    def jobs(self) -> Mapping[str, JobDefinition]:
        """The jobs by name."""
        return MappingProxyType(self._jobs)

    def get_job(self, name: str) -> JobDefinition:
        """The job of a name. Raises UsageError if there is none."""
        if name not in self._jobs:
            there = ", ".join(self._jobs) or "none"
            raise fault(
                f"there is no job {name!r}{meant(name, self._jobs)} (there are: {there})",
                "`foldlog job list` lists them.",
            )
        return self._jobs[name]

    def asset_job(self, selection: Selection = "*", *, name: str = ALL_ASSETS, **options: Any) -> JobDefinition:
        """A job that makes the assets selected."""
        return self.asset_graph.job(name, selection, **options).with_resources(self.resources)

    def _add(self, one: Any) -> None:
        if isinstance(one, UnresolvedAssetJob):
            job = one.resolve(self.asset_graph, self.resources)
        elif isinstance(one, JobDefinition):
            job = one.with_resources(self.resources)
        else:
            raise fault(
                f"Definitions: jobs holds {shown(one)}, which is no job",
                "Make it with @job, graph.to_job() or define_asset_job().",
            )
        if job.name in self._jobs:
            raise fault(f"Definitions: two jobs are called {job.name!r}", "Give one another name.")
        self._jobs[job.name] = job

    def _check_resources(self, job: JobDefinition) -> None:
        given = {**dict.fromkeys(DEFAULTS, DEFAULT), **job.resource_defs}
        for key, by in used_by(job, job.steps):
            if key not in given:
                raise missing(f"job {job.name!r}", key, given, by=by)
        in_order(f"job {job.name!r}", given, given)
        keep = (one for step in job.steps.values() for one in io_managers_of(step.op, f"step {step.key}"))
        check_io_managers(f"job {job.name!r}", given, keep)

    def _check_own_resources(self) -> None:
        given = {**dict.fromkeys(DEFAULTS, DEFAULT), **self.resources}
        for one in self.asset_graph.definitions:
            for key, by in used_by_op(one.op, sorted(one.op.hooks, key=lambda hook: hook.place), one.what):
                if key not in given:
                    raise missing("Definitions", key, given, by=by)
            for name, one_in in one.op.ins.items():
                if one_in.input_manager_key not in (None, *given):
                    raise missing("Definitions", str(one_in.input_manager_key), given, by=f"{one.what}.{name}")
            check_io_managers("Definitions", given, io_managers_of(one.op, one.what))
        in_order("Definitions", given, self.resources)

    @cached_property
    def is_empty(self) -> bool:
        """Whether there is nothing to execute."""
        return not self._jobs and not self.asset_graph.specs and not self.asset_graph.checks

    def __repr__(self) -> str:
        return f"<Definitions {len(self._jobs)} jobs, {len(self.asset_graph.specs)} assets>"


def _several(argument: str, given: Any) -> Iterable[Any]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise fault(f"Definitions: {argument}={shown(given)} is no list", f"Write {argument}=[...].")
    return given


FILE_MANAGER = "file_manager"
DEFAULTS = (IO_MANAGER, FILE_MANAGER)  #: resources that execution provides where nobody does
DEFAULT = ResourceDefinition(fn=lambda: None, takes_context=False)
