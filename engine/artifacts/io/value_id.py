"""What a stored value is called: an output of a run, or an asset, or one partition of an asset."""

from __future__ import annotations

from dataclasses import dataclass

from ...events import AssetKey


@dataclass(frozen=True, kw_only=True)
class ValueId:
    """One value. Either the first four say which, or the last two."""

    run_id: str = ""
    step_key: str = ""
    output_name: str = ""
    mapping_key: str | None = None
    asset_key: AssetKey | None = None
    partition_key: str | None = None

    @property
    def path(self) -> list[str]:
        """Its names, from the outer to the inner one."""
        if self.asset_key is not None:
            return ["assets", *self.asset_key.parts, *_if_any(self.partition_key)]
        return [self.run_id, self.step_key, self.output_name, *_if_any(self.mapping_key)]

    @property
    def maker(self) -> str:
        """What has to run for it to be there, in words."""
        return f"materialize {self}" if self.asset_key is not None else f"run step {self.step_key!r} again"

    def __str__(self) -> str:
        if self.asset_key is not None:
            partition = "" if self.partition_key is None else f", partition {self.partition_key!r}"
            return f"asset {self.asset_key}{partition}"
        key = "" if self.mapping_key is None else f"[{self.mapping_key}]"
        return f"output {self.output_name + key!r} of step {self.step_key!r} of run {self.run_id}"


def _if_any(key: str | None) -> list[str]:
    return [] if key is None else [key]
