"""A job, narrowed to some of the assets that it makes, with all that it has added to their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..definitions.job import JobDefinition
from ..definitions.job_text import job_text
from ..definitions.steps import Step
from ..errors import fault
from ..events.key import AssetKey

SHOWN: Final = 12  #: assets in a message


def selected(job: JobDefinition, selection: Any) -> JobDefinition:
    """The job, narrowed to some of its assets."""
    if selection is None:
        return job
    keys = assets_of(job, selection)
    if job.assets is None:  # assets_of has refused it
        return job
    chosen = set(keys)
    makings = [step.node.making for step in job.steps.values() if step.node.making is not None]
    checks = [one for making in makings for one in making.check_keys if one.asset_key in chosen]
    narrowed = job.assets.job(job.name, keys, checks=checks, tags=job.tags, partitions_def=job.partitions_def)
    return replace(
        narrowed,
        steps={key: _as_in(job.steps[key], step) for key, step in narrowed.steps.items()},
        config=_config_of(job, narrowed),
        resource_defs=job.resource_defs,
        metadata=job.metadata,
        description=job.description,
    )


def assets_of(job: JobDefinition, selection: Any) -> list[AssetKey]:
    """Those of the assets selected that the job makes or checks. Raises UsageError if there are none."""
    if job.assets is None:
        raise fault(f"{job_text(job.name)} makes no assets, so none can be selected", "Use op_selection.")
    makings = [step.node.making for step in job.steps.values() if step.node.making is not None]
    own = {*job.asset_keys, *(check.asset_key for making in makings for check in making.check_keys)}
    keys = [key for key in job.assets.select(selection) if key in own]
    if not keys:
        raise fault(f"{job_text(job.name)} makes none of the assets selected", f"It makes {_some(job.asset_keys)}.")
    return keys


def _as_in(whole: Step, part: Step) -> Step:
    """The step with what the job has added to it."""
    return replace(part, hooks=whole.hooks, retry_policy=whole.retry_policy)


def _config_of(job: JobDefinition, narrowed: JobDefinition) -> dict[str, Any]:
    """The job's own run config, without that of nodes that are not there."""
    ops = job.config.get("ops")
    if not isinstance(ops, Mapping):
        return dict(job.config)
    absent = job.graph.nodes.keys() - narrowed.graph.nodes.keys()
    return {**job.config, "ops": {name: part for name, part in ops.items() if name not in absent}}


def _some(keys: Sequence[AssetKey]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"{', '.join(map(str, keys[:SHOWN]))}{more}"
