"""Assets as they are declared: what they are called, what they are made of, and the op that makes them.

    AssetSpec          one asset: key, dependencies, partitions, versions, words for people
    AssetsDefinition   an op, and the assets that its outputs are
    Making             one use of that in a job: which of these assets, and which checks

Not here: the decorators (asset_decorators.py, multi_asset.py), all assets of a program together (asset_graph.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import UsageError, fault
from ..events.key import AssetCheckKey, AssetKey, AssetLike
from .asset_names import check_kinds
from .freezing import freeze
from .inout import IO_MANAGER, KEY_REMEDY, UNSTATED, In, Out, for_manager
from .names import check_flag, check_metadata, check_name, check_tags, check_text
from .op import OpDefinition
from .partitions import IdentityPartitionMapping, PartitionMapping, PartitionsDefinition, check_partitions
from .shown import shown
from .steps import AssetSource, ConfigSource, InputSource

DEFAULT_GROUP = "default"
KEYS = "Name an asset by its key, as 'raw/orders' or ['raw', 'orders'], or by its definition."


@dataclass(frozen=True, kw_only=True)
class AssetDep:
    """An asset that must be there before, whose value is not handed over."""

    key: AssetKey
    partition_mapping: PartitionMapping | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.key))
        _check_mapping(f"AssetDep of {self.key}", self.partition_mapping)

    @classmethod
    def of(cls, given: AssetDep | AssetsDefinition | AssetSpec | AssetLike) -> AssetDep:
        """From what a user may write: a key, `"raw/orders"`, an asset's definition."""
        return given if isinstance(given, AssetDep) else cls(key=key_of(given))


@dataclass(frozen=True, kw_only=True)
class AssetIn:
    """An asset whose value the function is given.

    With `key` it is that asset, whatever the asset that is made is called. Without, it is called like the parameter,
    and lies under `key_prefix`; where that is not given either, beside the asset that is made: under the same prefix.
    """

    key: AssetLike | None = None
    key_prefix: str | Iterable[str] | None = None  #: of the key, or of the parameter's name
    annotation: Any = UNSTATED
    metadata: Mapping[str, Any] = field(default_factory=dict)
    input_manager_key: str | None = None  #: the resource that loads it, if not the one that keeps it
    partition_mapping: PartitionMapping | None = None

    def __post_init__(self) -> None:
        what = f"AssetIn of {self.key}" if self.key is not None else "AssetIn"
        if self.key is not None:
            key_of(self.key)
        _check_mapping(what, self.partition_mapping)
        if self.input_manager_key is not None:
            check_name(f"{what}: input_manager_key", self.input_manager_key, KEY_REMEDY)
        object.__setattr__(self, "metadata", for_manager(what, self.metadata))


@dataclass(frozen=True, kw_only=True)
class AssetOut:
    """One of the assets of a multi-asset, with an output of its own."""

    key: AssetLike | None = None  #: None: it is called like the output
    key_prefix: str | Iterable[str] | None = None
    annotation: Any = UNSTATED
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    group_name: str | None = None
    code_version: str | None = None
    io_manager_key: str = IO_MANAGER
    is_required: bool = True  #: False: a run may leave it out, and what needs it is skipped
    kinds: Iterable[str] = ()

    def __post_init__(self) -> None:
        what = f"AssetOut of {self.key}" if self.key is not None else "AssetOut"
        check_flag(what, "is_required", self.is_required)
        check_text(what, "description", self.description)
        check_text(what, "code_version", self.code_version)
        check_name(f"{what}: io_manager_key", self.io_manager_key, KEY_REMEDY)
        if self.group_name is not None:
            check_name(f"{what}: group", self.group_name, "Give the group another name.")
        object.__setattr__(self, "metadata", check_metadata(what, self.metadata))
        object.__setattr__(self, "tags", check_tags(what, self.tags))
        object.__setattr__(self, "kinds", check_kinds(what, self.kinds))


@dataclass(frozen=True, kw_only=True)
class AssetCheckSpec:
    """A check of an asset that is evaluated by the function that makes it, or by one of its own."""

    name: str
    asset: AssetLike
    blocking: bool = False  #: if it does not pass with severity ERROR, nothing downstream is made in that run
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("asset check", self.name)
        object.__setattr__(self, "asset", key_of(self.asset))
        check_flag(f"asset check {self.key}", "blocking", self.blocking)
        check_text(f"asset check {self.key}", "description", self.description)
        object.__setattr__(self, "metadata", check_metadata(f"asset check {self.key}", self.metadata))

    @property
    def key(self) -> AssetCheckKey:
        return AssetCheckKey(key_of(self.asset), self.name)


@dataclass(frozen=True, kw_only=True)
class AssetSpec:
    """One asset, as it is declared."""

    key: AssetLike
    deps: Iterable[AssetDep | AssetLike] = ()
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    group_name: str = DEFAULT_GROUP
    code_version: str | None = None
    partitions_def: PartitionsDefinition | None = None
    skippable: bool = False  #: a run may leave it out
    io_manager_key: str = IO_MANAGER
    kinds: Iterable[str] = ()  #: what it is, or is made with: `{"sql", "table"}`; to list and to select by

    def __post_init__(self) -> None:
        what = f"asset {key_of(self.key)}"
        check_flag(what, "skippable", self.skippable)
        check_text(what, "description", self.description)
        check_text(what, "code_version", self.code_version)
        check_partitions(what, self.partitions_def)
        check_name(f"{what}: io_manager_key", self.io_manager_key, KEY_REMEDY)
        set_ = object.__setattr__
        set_(self, "key", key_of(self.key))
        set_(self, "deps", deps_of(what, self.deps))
        set_(self, "metadata", check_metadata(what, self.metadata))
        set_(self, "tags", check_tags(what, self.tags))
        set_(self, "kinds", check_kinds(what, self.kinds))
        freeze(self)
        set_(self, "group_name", check_name(f"{what}: group", self.group_name, "Give the group another name."))

    @property
    def asset_key(self) -> AssetKey:
        return key_of(self.key)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AssetsDefinition:
    """What `@asset`, `@multi_asset` and `@asset_check` make: an op, the assets it makes, the checks it does."""

    op: OpDefinition
    specs: Mapping[AssetKey, AssetSpec]
    outputs: Mapping[str, AssetKey]  #: output of the op to the asset
    inputs: Mapping[str, AssetKey]  #: input of the op to the asset
    checks: Mapping[AssetCheckKey, AssetCheckSpec] = field(default_factory=dict)
    mappings: Mapping[AssetKey, PartitionMapping] = field(default_factory=dict)  #: of upstream assets, where stated
    partitions_def: PartitionsDefinition | None = None
    can_subset: bool = False

    def __post_init__(self) -> None:
        freeze(self)
        for key, spec in self.specs.items():
            for dep in spec.deps:
                if AssetDep.of(dep).key == key:
                    _check_own(key, AssetDep.of(dep), self.partitions_def)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function gives, for tests of it. Assets are put together by their keys, not by calls."""
        from .composition import current

        if current() is not None:
            raise fault(
                f"asset {self.node_name} is called inside of a graph",
                "Assets are wired by their keys: define_asset_job makes a job of them.",
            )
        return self.op.fn(*args, **kwargs)

    @property
    def node_name(self) -> str:
        """The name of its node in a job, and in the run config."""
        return self.op.name

    @property
    def key(self) -> AssetKey:
        """The key of its only asset. Raises UsageError if there are several, or none."""
        if len(self.specs) != 1:
            made = ", ".join(map(str, self.specs)) or "no asset"
            raise fault(f"{self.node_name} makes {made}, and one was meant", "Name it by its key, as 'raw/orders'.")
        return next(iter(self.specs))

    @property
    def keys(self) -> tuple[AssetKey, ...]:
        return tuple(self.specs)

    @property
    def what(self) -> str:
        """What it is called in errors."""
        return f"asset {self.key}" if len(self.specs) == 1 else f"{self.node_name}"

    @property
    def made_by(self) -> str:
        """Where its function is, for errors."""
        name = getattr(self.op.fn, "__name__", self.node_name)
        return f"{getattr(self.op.fn, '__module__', None) or '?'}.{name}"

    def upstream_of(self, key: AssetKey) -> list[AssetKey]:
        """What an asset of its own is made of: its declared dependencies; without any, every input."""
        spec = self.specs[key]
        return list(dict.fromkeys(AssetDep.of(dep).key for dep in spec.deps))

    def output_of(self, key: AssetKey) -> str:
        """The output that an asset is."""
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> dict[AssetKey, str]:
        return {key: output for output, key in self.outputs.items()}

    def __repr__(self) -> str:
        if self.specs:
            return f"<{'asset' if len(self.specs) == 1 else 'assets'} {', '.join(map(repr, map(str, self.specs)))}>"
        return f"<asset check {', '.join(map(repr, map(str, self.checks)))}>"


@dataclass(frozen=True, eq=False, kw_only=True)
class Making:
    """What one node of a job makes of assets: all that its definition can, or a part."""

    definition: AssetsDefinition
    asset_keys: tuple[AssetKey, ...]
    check_keys: tuple[AssetCheckKey, ...] = ()

    @property
    def is_subset(self) -> bool:
        return len(self.asset_keys) < len(self.definition.specs)

    def key_of_output(self, output: str) -> AssetKey | None:
        """The asset that an output is; None if this node is not to make it."""
        key = self.definition.outputs.get(output)
        return key if key in self.asset_keys else None

    def loaded(self, inputs: Mapping[str, InputSource]) -> Iterator[tuple[str, InputSource]]:
        """The inputs that no node of the job gives: they come from what an earlier run has made."""
        for name, source in inputs.items():
            if isinstance(source, ConfigSource) and name in self.definition.inputs:
                yield name, AssetSource(self.definition.inputs[name])

    def wanted(self, output: str, out: Out) -> bool:
        """Whether the output has to come."""
        return out.is_required and (output not in self.definition.outputs or self.key_of_output(output) is not None)


def key_of(given: Any) -> AssetKey:
    """An asset's key, of whatever a user may write for it."""
    if isinstance(given, AssetsDefinition):
        return given.key
    if isinstance(given, AssetSpec):
        return given.asset_key
    if given is None or (callable(given) and not isinstance(given, AssetKey)):
        raise fault(f"{shown(given)} is no asset", KEYS)
    try:
        return AssetKey.of(given)
    except UsageError as error:
        raise fault(str(error), KEYS) from None


def deps_of(what: str, deps: Any) -> tuple[AssetDep, ...]:
    """Dependencies, of whatever a user may write. Raises UsageError for one in place of a list."""
    one = isinstance(deps, str | AssetKey | AssetDep | AssetsDefinition | AssetSpec)
    if one or not isinstance(deps, Iterable):
        name = str(AssetDep.of(deps).key) if one else "raw/orders"
        raise fault(f"{what}: deps={shown(deps)} is no list of assets", f"Write deps=[{name!r}].")
    return tuple(AssetDep.of(dep) for dep in deps)


def _check_mapping(what: str, given: object) -> None:
    if given is not None and not isinstance(given, PartitionMapping):
        raise fault(
            f"{what}: partition_mapping={given!r:.80} is no partition mapping",
            "Write AllPartitionMapping(), TimeWindowPartitionMapping(start_offset=-1, end_offset=-1) or another.",
        )


def _check_own(key: AssetKey, dep: AssetDep, partitions: PartitionsDefinition | None) -> None:
    """Raise UsageError for an asset that is made of itself, unless it is of other partitions."""
    if partitions is None:
        raise fault(f"asset {key} depends on itself: {key} -> {key}", "Take the dependency away.")
    if dep.partition_mapping is None or isinstance(dep.partition_mapping, IdentityPartitionMapping):
        raise fault(
            f"asset {key} depends on itself: {key} -> {key}, the same partition of it",
            "State the other partition: partition_mapping=TimeWindowPartitionMapping(start_offset=-1, end_offset=-1).",
        )


def key_with(prefix: str | Iterable[str] | None, given: AssetLike) -> AssetKey:
    """A key below a prefix."""
    key = key_of(given)
    if prefix is None:
        return key
    if not isinstance(prefix, Iterable):
        raise fault(f"{key}: key_prefix={prefix!r:.80} is no text", "Write key_prefix='raw', or ['raw', 'eu'].")
    before = (prefix,) if isinstance(prefix, str) else tuple(prefix)
    return key_of((*before, *key.parts))


def in_of(asset: AssetIn, parameter_annotation: Any) -> In:
    """The op's input for an asset's."""
    annotation = parameter_annotation if asset.annotation is UNSTATED else asset.annotation
    return In(annotation, metadata=dict(asset.metadata), input_manager_key=asset.input_manager_key)
