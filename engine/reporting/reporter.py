"""What a run and a step can report alike: what became of assets, and lines of text."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ..errors import UsageError
from ..events.asset import AssetMaterialization, AssetObservation
from ..events.check import AssetCheckEvaluation
from ..events.errorinfo import clean
from ..events.event import Fact
from ..events.key import AssetKey, AssetLike
from ..events.log import LogMessage
from ..events.metadata import to_metadata
from ..log.port import Receipt


class Reporter:
    """What a run and a step have in common: both can report on assets and say something."""

    run_id: str
    step_key: str | None

    def _record(self, facts: Iterable[Fact]) -> Receipt:
        raise NotImplementedError

    def say(self, line: LogMessage, step_key: str | None = None) -> None:
        """Record a line; `step_key`: of a step, where a run is told."""
        raise NotImplementedError

    def materialize(
        self,
        asset_key: AssetLike,
        *,
        partition: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        code_version: str | None = None,
        data_version: str | None = None,
        description: str | None = None,
    ) -> Receipt:
        """Record that an asset, or one partition of it, was made. `asset_key`: a key, `"raw/orders"`, or its parts.

        `metadata`: plain values, times with a zone, paths, lists and dicts; see `events.to_metadata`.
        Raises EncodingError, with the path, for a value that cannot be stored; nothing is recorded then.
        """
        return self._record(
            [
                AssetMaterialization(
                    asset_key=AssetKey.of(asset_key),
                    partition=partition,
                    metadata=to_metadata(metadata or {}),
                    tags=dict(tags or {}),
                    code_version=code_version,
                    data_version=data_version,
                    description=description,
                )
            ]
        )

    def observe(
        self,
        asset_key: AssetLike,
        *,
        partition: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        data_version: str | None = None,
        description: str | None = None,
    ) -> Receipt:
        """Record what was seen of an asset without making it. Parameters and errors as of `materialize`."""
        return self._record(
            [
                AssetObservation(
                    asset_key=AssetKey.of(asset_key),
                    partition=partition,
                    metadata=to_metadata(metadata or {}),
                    tags=dict(tags or {}),
                    data_version=data_version,
                    description=description,
                )
            ]
        )

    def check(
        self,
        asset_key: AssetLike,
        name: str,
        passed: bool,
        *,
        severity: Literal["ERROR", "WARN"] = "ERROR",
        partition: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> Receipt:
        """Record the outcome of a check of an asset. A check that did not pass fails nothing by itself."""
        return self._record(
            [
                AssetCheckEvaluation(
                    asset_key=AssetKey.of(asset_key),
                    check_name=name,
                    passed=_truth(passed),
                    severity=severity,
                    partition=partition,
                    metadata=to_metadata(metadata or {}),
                    description=description,
                )
            ]
        )

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Record a line. Returns at once; the line is durable before the end of the run is. Never raises.

        `level`: as in the standard logging module, 10 debug to 50 critical.
        """
        self.say(LogMessage(text=clean(str(text)), level=level))


def _truth(passed: object) -> bool:
    """True or False, also numpy's; never the truth of a text: "no" would be a passed check."""
    if type(passed).__name__ not in ("bool", "bool_"):
        raise UsageError(f"passed={passed!r}: say True or False")
    return bool(passed)
