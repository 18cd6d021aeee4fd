"""What the past of a run counts for a job as it is now.

Promises: what is taken from an earlier run is what the job's steps give today. A step whose outputs have other names
than it recorded, or became dynamic or ceased to be, has left nothing; else what needs them would be skipped, as if
they had stayed away. An optional output that was added is not noticed: it may just have stayed away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from ..definitions.steps import Step
from ..events.key import AssetKey
from .history import Past
from .plan import OutputKey, template
from .returned import wants

Recorded = dict[str, bool]  #: output to whether it was dynamic


def fitted(steps: Mapping[str, Step], past: Past) -> tuple[Past, dict[str, str]]:
    """The past without the steps that have changed since; and why each of these does not count."""
    past = replace(past, outputs={**dict(_without_value(steps, past)), **past.outputs})
    recorded: dict[str, Recorded] = {}
    for key, name in past.outputs:
        recorded.setdefault(key, {})[name] = (key, name) in past.mapping_keys
    changed: dict[str, str] = {}
    for key in sorted(past.succeeded):
        step = steps.get(template(key))
        if step is not None and step.key not in changed and not _fits(step, recorded.get(key, {})):
            gave, gives = ", ".join(sorted(recorded.get(key, {}))), ", ".join(sorted(step.outs))
            kind = "" if gave != gives else ", and one is dynamic that was not, or the other way round"
            changed[step.key] = f"its outputs were {gave or 'none'}, and are {gives or 'none'}{kind}"
    return (_without(past, changed) if changed else past), changed


def makers_to_repeat(steps: Mapping[str, Step], past: Past) -> dict[str, str]:
    """The steps of the latest run whose assets a check found bad, where the check is a step of its own; and why each.

    Without that the check would look at the same value again, for ever. One that was interrupted says nothing.
    """
    failed = {
        check.asset_key: step.key
        for key in past.failed
        if (step := steps.get(template(key))) is not None and step.node.making is not None
        for check in step.node.making.check_keys
        if check.asset_key not in step.node.making.asset_keys
    }
    meant = past.meant_steps
    found: dict[str, str] = {}
    for key, step in steps.items():
        if step.node.making is None or (meant is not None and key not in meant):
            continue
        for asset in step.node.making.asset_keys:
            if asset in failed:
                found[key] = f"{failed[asset]}, which checks {asset}, failed"
    return found


def _without_value(steps: Mapping[str, Step], past: Past) -> Iterator[tuple[OutputKey, str]]:
    """Outputs of assets that were made, with no value handed over: only the materialization tells of them."""
    for (key, asset), run_id in past.made.items():
        step = steps.get(key)
        if key in past.succeeded and step is not None and (name := _output_of(step, asset)) is not None:
            yield (key, name), run_id


def _output_of(step: Step, asset: AssetKey) -> str | None:
    making = step.node.making
    return making.definition.output_of(asset) if making is not None and asset in making.asset_keys else None


def _fits(step: Step, recorded: Recorded) -> bool:
    for name, is_dynamic in recorded.items():
        if name not in step.outs or step.outs[name].is_dynamic is not is_dynamic:
            return False
    return all(
        name in recorded or out.is_dynamic or not wants(step.node.making, name, out) for name, out in step.outs.items()
    )


def _without(past: Past, changed: Collection[str]) -> Past:
    def counts(key: str) -> bool:
        return template(key) not in changed

    return replace(
        past,
        succeeded={key for key in past.succeeded if counts(key)},
        skipped={key for key in past.skipped if counts(key)},
        outputs={output: run_id for output, run_id in past.outputs.items() if counts(output[0])},
        mapping_keys={output: keys for output, keys in past.mapping_keys.items() if counts(output[0])},
    )
