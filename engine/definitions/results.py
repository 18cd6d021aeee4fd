"""What functions that make or check assets may return or yield, beside `Output`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import fault
from ..events.key import AssetLike

Severity = Literal["ERROR", "WARN"]


@dataclass(frozen=True, kw_only=True)
class AssetCheckResult:
    """What a check found. `severity`: how bad it is not to pass."""

    passed: bool
    check_name: str | None = None  #: where one function does several
    asset_key: AssetLike | None = None  #: where it is of one of several assets
    severity: Severity = "ERROR"
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if type(self.passed).__name__ not in ("bool", "bool_"):  # numpy's, too; a text would be true
            raise fault(f"AssetCheckResult: passed={self.passed!r:.80} is not True or False", "Say which.")
        object.__setattr__(self, "passed", bool(self.passed))
        if self.severity not in ("ERROR", "WARN"):
            raise fault(f"AssetCheckResult: severity={self.severity!r} is not ERROR or WARN", "Write one of them.")


class _NoValue:
    def __repr__(self) -> str:
        return "NO_VALUE"


NO_VALUE = _NoValue()


@dataclass(frozen=True, kw_only=True)
class MaterializeResult:
    """That an asset was made, by a function that keeps it itself; or, with `value`, by its IO manager."""

    asset_key: AssetLike | None = None  #: may be left out where there is one asset
    value: Any = NO_VALUE
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data_version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    check_results: Sequence[AssetCheckResult] = ()


@dataclass(frozen=True, kw_only=True)
class ObserveResult:
    """What was seen of an asset without making it."""

    asset_key: AssetLike | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data_version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
