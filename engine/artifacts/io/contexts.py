"""What an IO manager is told: which value it is to keep, and which one somebody wants.

Whoever runs the step fills these in. Nothing in them changes but what the IO manager adds to the metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...errors import UsageError
from ...events import AssetKey
from ...events.metadata import MetadataValue, to_metadata
from .value_id import ValueId

_logger = logging.getLogger("foldlog.io")


@dataclass(frozen=True, kw_only=True)
class OutputContext:
    """A value that is to be kept: which output of which step made it, and of which asset it is."""

    run_id: str
    step_key: str
    name: str = "result"  #: of the output
    mapping_key: str | None = None  #: of a dynamic output: which of its values
    asset_key: AssetKey | None = None
    partition_key: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: what the definition of the output says
    type_hint: Any = Any  #: the annotation of the output, if it has one
    version: str | None = None  #: of the code that made it, if the definition says one
    log: logging.Logger = field(default=_logger, repr=False, compare=False)
    resources: Any = field(default=None, repr=False, compare=False)
    _added: dict[str, MetadataValue] = field(default_factory=dict, init=False, repr=False, compare=False)

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Record facts about the stored value: with the event that it was stored, and with the asset.

        Raises UsageError for a key that was added before, EncodingError for what is no metadata value.
        """
        _add(self._added, metadata, self.shown)

    @property
    def added_metadata(self) -> Mapping[str, MetadataValue]:
        """What was added, as events have it. Read-only."""
        return MappingProxyType(self._added)

    @property
    def has_asset_key(self) -> bool:
        """Whether the value is one of an asset, so that runs to come overwrite it."""
        return self.asset_key is not None

    @property
    def value_id(self) -> ValueId:
        """What the value is called; no two values share one."""
        if self.asset_key is not None:
            return ValueId(asset_key=self.asset_key, partition_key=self.partition_key)
        return ValueId(run_id=self.run_id, step_key=self.step_key, output_name=self.name, mapping_key=self.mapping_key)

    @property
    def identifier(self) -> list[str]:
        """Names that make a path: ["assets", *key(, partition)], or [run_id, step_key, name(, mapping_key)].

        Any text may stand in it, slashes and dots too. The partition b of asset a and the asset a/b have the same
        path; where that may happen, tell them apart by `value_id`.
        """
        return self.value_id.path

    @property
    def shown(self) -> str:
        """The output, in words, for messages: `output 'result' of step 'clean' (asset raw/orders)`."""
        asset = f" ({self.value_id})" if self.has_asset_key else ""
        key = "" if self.mapping_key is None else f"[{self.mapping_key}]"
        return f"output {self.name + key!r} of step {self.step_key!r}{asset}"


@dataclass(frozen=True, kw_only=True)
class InputContext:
    """A value that a step wants: by the output that made it, by its asset, or by both."""

    name: str  #: of the input
    run_id: str  #: of the step that wants it
    step_key: str  #: of the step that wants it
    upstream_output: OutputContext | None = None  #: what made it; None for an asset that no step of this run makes
    asset_key: AssetKey | None = None
    partition_keys: tuple[str, ...] | None = None  #: which partitions are wanted; None: the asset has none
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: what the definition of the input says
    type_hint: Any = Any  #: the annotation of the input, if it has one
    log: logging.Logger = field(default=_logger, repr=False, compare=False)
    resources: Any = field(default=None, repr=False, compare=False)
    _added: dict[str, MetadataValue] = field(default_factory=dict, init=False, repr=False, compare=False)

    def add_input_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Record facts about what was loaded. Raises UsageError and EncodingError as `add_output_metadata` does."""
        _add(self._added, metadata, self.shown)

    @property
    def added_metadata(self) -> Mapping[str, MetadataValue]:
        """What was added, as events have it. Read-only."""
        return MappingProxyType(self._added)

    @property
    def has_asset_key(self) -> bool:
        """Whether what is wanted is an asset, or partitions of one."""
        return self._asset_key is not None

    @property
    def value_ids(self) -> tuple[ValueId, ...]:
        """What the wanted values are called: one for each of the partitions, in their order, or just one.

        Raises UsageError if the context says of no value what it is.
        """
        asset_key, upstream = self._asset_key, self.upstream_output
        if asset_key is not None and self.partition_keys is not None:
            return tuple(ValueId(asset_key=asset_key, partition_key=key) for key in self.partition_keys)
        if upstream is not None:
            return (upstream.value_id,)
        if asset_key is not None:
            return (ValueId(asset_key=asset_key),)
        raise UsageError(f"{self.shown} names nothing to load: it has neither an upstream output nor an asset key")

    @property
    def shown(self) -> str:
        """The input, in words, for messages: `input 'orders' of step 'clean'`."""
        return f"input {self.name!r} of step {self.step_key!r}"

    @property
    def _asset_key(self) -> AssetKey | None:
        if self.asset_key is None and self.upstream_output is not None:
            return self.upstream_output.asset_key
        return self.asset_key


def _add(added: dict[str, MetadataValue], metadata: Mapping[str, Any], shown: str) -> None:
    values = to_metadata(metadata)  # all or nothing: what is wrong with one of them leaves the rest out as well
    if twice := sorted(added.keys() & values.keys()):
        error = UsageError(f"{shown}: metadata {', '.join(map(repr, twice))} was added before")
        error.remedy = "Add each key once; what is stored is not changed afterwards."
        raise error
    added.update(values)
