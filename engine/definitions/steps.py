"""A step: one op at one place of a job, and what its inputs are made of. How a graph becomes steps: flatten.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from .freezing import freeze
from .graph import Node
from .hook import HookDefinition
from .inout import In, Out
from .op import OpDefinition
from .retry import RetryPolicy


@dataclass(frozen=True)
class StepOutputSource:
    """An output of another step; of a mapped step: that with the same key."""

    step_key: str
    output: str


@dataclass(frozen=True)
class MappedSource:
    """One value of a dynamic output: that of the step's own key."""

    step_key: str
    output: str


@dataclass(frozen=True)
class CollectSource:
    """All values, as a list in the order of the keys."""

    step_key: str
    output: str


@dataclass(frozen=True)
class FanInSource:
    """A list of several."""

    sources: tuple[StepOutputSource | ConfigSource, ...]


@dataclass(frozen=True)
class ConfigSource:
    """A value of the run config; `default` where it has none. `path`: the names below `ops`, or an input of the job."""

    path: tuple[str, ...]
    input_name: str
    default: Any


@dataclass(frozen=True)
class AssetSource:
    """What an earlier run made of an asset."""

    asset: Any  #: an `AssetKey`


InputSource: TypeAlias = StepOutputSource | MappedSource | CollectSource | FanInSource | ConfigSource | AssetSource


@dataclass(frozen=True)
class StepInputDef:
    """An input of a step, and where it comes from."""

    name: str
    source: InputSource
    definition: In

    def step_sources(self) -> Iterator[StepOutputSource | MappedSource | CollectSource]:
        """The outputs of other steps that it is made of."""
        for one in self.source.sources if isinstance(self.source, FanInSource) else (self.source,):
            if isinstance(one, StepOutputSource | MappedSource | CollectSource):
                yield one


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """One op at one place of a job. A mapped one stands for a step for each key of `mapped_over`."""

    key: str
    path: tuple[str, ...]  #: names of the nodes, from the job down
    op: OpDefinition
    node: Node
    inputs: tuple[StepInputDef, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[HookDefinition, ...] = ()
    retry_policy: RetryPolicy | None = None
    after: tuple[str, ...] = ()  #: keys of steps that must have succeeded before, though they give it nothing
    mapped_over: tuple[str, str] | None = None  #: step and dynamic output

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def outs(self) -> Mapping[str, Out]:
        return self.op.outs

    @cached_property
    def upstream(self) -> tuple[str, ...]:
        """Keys of the steps that it waits for."""
        given = (one.step_key for given in self.inputs for one in given.step_sources())
        return tuple(dict.fromkeys((*given, *self.after)))
