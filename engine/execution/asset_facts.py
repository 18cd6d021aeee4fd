"""What a step makes of assets, and what its checks found: recorded as facts of the asset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..definitions.results import AssetCheckResult
from ..events.asset import AssetMaterialization
from ..events.check import AssetCheckEvaluation
from ..events.key import AssetCheckKey, AssetKey
from ..events.metadata import MetadataValue, to_metadata
from .boundary import output_fault
from .frontier import StepInstance
from .run_context import RunContext, partition_of_check
from .values import Loader
from .versions import version_made

CHECK_REMEDY: Final = "Return AssetCheckResult(passed=...), or True or False, on every way through the function."
BLOCKED_REMEDY: Final = "Correct what the check looked at; without blocking=True what lies downstream goes on."


class AssetFacts:
    """Facts of the assets of one attempt at a step."""

    def __init__(self, run: RunContext, instance: StepInstance, loader: Loader) -> None:
        self._run = run
        self._key = instance.key
        self._making = instance.step.node.making
        self._loader = loader
        self._checked: dict[AssetCheckKey, AssetCheckResult] = {}

    def asset(self, given: Any) -> AssetKey:
        """The asset that a result is of. Raises UserCodeError for one that the step is not to make."""
        keys = self._making.asset_keys if self._making is not None else ()
        if given is None:
            if len(keys) != 1:
                raise output_fault(f"step {self._key} makes {len(keys)} assets: say which, with asset_key=")
            return keys[0]
        key = AssetKey.of(given)
        if key not in keys:
            raise output_fault(
                f"step {self._key} is not to make {key}; it makes: {', '.join(map(str, keys)) or 'none'}"
            )
        return key

    def partition(self) -> str | None:
        """The partition that the step makes."""
        return self._run.partition_of(self._making.definition) if self._making is not None else None

    def made(
        self, asset: AssetKey, metadata: dict[str, MetadataValue], *, data_version: str | None, tags: Mapping[str, str]
    ) -> AssetMaterialization:
        """The fact that an asset was made: of which code, of which data."""
        spec = self._making.definition.specs[asset] if self._making is not None else None
        code_version = spec.code_version if spec is not None else None
        versions = self._loader.input_versions
        return AssetMaterialization(
            asset_key=asset,
            partition=self.partition(),
            metadata=metadata,
            tags={**(dict(spec.tags) if spec is not None else {}), **tags},
            code_version=code_version,
            data_version=data_version or version_made(self._run.run_id, code_version, versions),
            description=spec.description if spec is not None else None,
            input_data_versions=dict(versions),
            input_positions=dict(self._loader.input_positions),
        )

    def take_in(self, fact: AssetMaterialization) -> None:
        """Note that the fact was recorded: what lies behind it is made of that version."""
        self._run.data_versions[fact.asset_key, fact.partition] = fact.data_version or ""
        self._run.planned.take_in([fact])

    def checked(self, one: AssetCheckResult, asset: AssetKey | None) -> AssetCheckEvaluation:
        """The fact that a check was evaluated. Raises UserCodeError for one that the step does not declare."""
        known = self._making.definition.checks if self._making is not None else {}
        key = _check_key(self._key, one, asset, list(known))
        if key in self._checked:
            raise output_fault(f"step {self._key} said twice how the check {key} came out")
        partition = partition_of_check(self._run.job, key.asset_key, self._run.partition_key)
        position, run_id = self._run.target(key.asset_key, partition)
        self._checked[key] = one
        return AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=one.passed,
            severity=one.severity,
            blocking=known[key].blocking,
            partition=partition,
            description=one.description,
            metadata=to_metadata(one.metadata),
            target_position=position,
            target_run_id=run_id,
        )

    def check_complete(self) -> None:
        """Raise UserCodeError for a check that should have been evaluated, and for one that blocks."""
        if self._making is None:
            return
        for key in self._making.check_keys:
            if key not in self._checked:
                raise output_fault(f"step {self._key} did not say how the check {key} came out", CHECK_REMEDY)
        for key, result in self._checked.items():
            blocking = self._making.definition.checks[key].blocking and result.severity == "ERROR"
            if blocking and not result.passed:
                raise output_fault(f"the check {key} did not pass, and blocks what lies downstream", BLOCKED_REMEDY)


def _check_key(step: str, one: AssetCheckResult, asset: AssetKey | None, known: list[AssetCheckKey]) -> AssetCheckKey:
    """The check that a result is of."""
    named = AssetKey.of(one.asset_key) if one.asset_key is not None else asset
    found = [key for key in known if one.check_name in (None, key.name) and named in (None, key.asset_key)]
    if len(found) != 1:
        names = ", ".join(map(str, known)) or "none"
        problem = "is of no check that it declares" if not found else "may be of several checks"
        raise output_fault(
            f"step {step}: AssetCheckResult(check_name={one.check_name!r}) {problem}; there are: {names}"
        )
    return found[0]
