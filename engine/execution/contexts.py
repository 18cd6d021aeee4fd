"""What code of users is told: contexts of steps, resources and hooks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..definitions.assets import Making
from ..definitions.freezing import copied
from ..definitions.inout import RESULT
from ..definitions.typed_config import Config
from ..errors import fault
from ..events.asset import AssetMaterialization, AssetObservation
from ..events.event import Fact
from ..events.key import AssetCheckKey, AssetKey, AssetLike
from ..events.log import EngineEvent
from ..events.metadata import MetadataValue, to_metadata
from ..reporting.lines import RunHandler

if TYPE_CHECKING:
    from ..definitions.hook import HookDefinition
    from ..definitions.op import OpDefinition
    from ..definitions.partitions import TimeWindow
    from .deployment import Deployment
    from .frontier import StepInstance
    from .run_context import RunContext


class Resources:
    """The resources that something requires, as attributes: `context.resources.warehouse`."""

    def __init__(self, what: str, values: Mapping[str, Any], allowed: Iterable[str]) -> None:
        self.__dict__.update({key: values[key] for key in allowed if key in values})
        self._what = what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise fault(f"{self._what} requires no resource {name!r}", f"Add it to required_resource_keys={{{name!r}}}.")


class _LazyLog(logging.Logger):
    """The step's logger, made when somebody logs: few IO managers do."""

    def __init__(self, context: StepExecutionContext) -> None:
        super().__init__("io", logging.DEBUG)  # lines of `foldlog.` are not recorded
        self._context = context

    def handle(self, record: logging.LogRecord) -> None:
        self._context.log.handle(record)


class StepExecutionContext:
    """What an op's or asset's function is given as `context`. Valid while it runs."""

    def __init__(self, run: RunContext, instance: StepInstance, attempt: int) -> None:
        self._run = run
        self._instance = instance
        self._output_metadata: dict[tuple[str, str | None], dict[str, MetadataValue]] = {}
        self._came: set[tuple[str, str | None]] = set()
        self.attempt = attempt  #: 1 for the first try

    # -- where it is --------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def job_name(self) -> str:
        return self._run.job.name

    @property
    def step_key(self) -> str:
        """The key of the step, with the mapping key in brackets if it has one."""
        return self._instance.key

    @property
    def op_name(self) -> str:
        """The name of the node in its graph."""
        return self._instance.step.path[-1]

    @property
    def op_def(self) -> OpDefinition:
        return self._instance.step.op

    @property
    def retry_number(self) -> int:
        """How often it was tried before."""
        return self.attempt - 1

    @property
    def instance(self) -> Deployment:
        """The instance that the run is recorded in."""
        return self._run.instance

    @property
    def run_tags(self) -> Mapping[str, str]:
        return self._run.tags

    @cached_property
    def run_config(self) -> Mapping[str, Any]:
        """The whole run config, as it was written; a copy of the step's own."""
        found: Mapping[str, Any] = copied(self._run.config.document)
        return found

    @property
    def op_tags(self) -> Mapping[str, str]:
        return self._instance.step.tags

    def has_tag(self, key: str) -> bool:
        return key in self._run.tags

    def get_tag(self, key: str) -> str | None:
        """The value of a tag of the run, or None."""
        return self._run.tags.get(key)

    def get_mapping_key(self) -> str | None:
        """Of a step mapped over a dynamic output: the key of its value."""
        return self._instance.mapping_key

    # -- what it has --------------------------------------------------------------------------------------------

    @property
    def op_config(self) -> Config | None:
        """The configuration of the op; the parameter `config` is the same, with its type."""
        return self._run.config.ops.get(self._instance.step.path)

    @cached_property
    def resources(self) -> Any:
        """The resources that it requires, as attributes."""
        what = f"step {self._instance.step.key}"
        return Resources(what, self._run.resources, self.op_def.required_resource_keys)

    @cached_property
    def log(self) -> logging.Logger:
        """A logger whose lines are recorded in the run as the step's, from DEBUG on."""
        return _logger(f"step {self.step_key}", RunHandler(self._run.recorder, logging.DEBUG, step_key=self.step_key))

    @cached_property
    def io_log(self) -> logging.Logger:
        """What IO managers are given to log with: the same, made when one of them logs."""
        return _LazyLog(self)

    # -- partitions and assets ----------------------------------------------------------------------------------

    @property
    def has_partition_key(self) -> bool:
        """Whether the run is of one partition."""
        return self._run.partition_key is not None

    @property
    def partition_key(self) -> str:
        """The partition that the run is of. Raises UsageError if it is of none."""
        if self._run.partition_key is None:
            raise fault(f"run {self.run_id} is of no partition", "Execute it with partition_key='...'.")
        return self._run.partition_key

    @property
    def partition_time_window(self) -> TimeWindow:
        """Start and end of the time that the partition is of; of two dimensions, in the one by time. Raises UsageError
        if there is none."""
        return self._run.time_window(self.partition_key)

    @property
    def asset_key(self) -> AssetKey:
        """The asset that the step makes. Raises UsageError if it makes none, or several."""
        keys = self.selected_asset_keys
        if len(keys) != 1:
            raise fault(f"step {self.step_key} makes {len(keys)} assets", "Use context.selected_asset_keys.")
        return next(iter(keys))

    @property
    def selected_asset_keys(self) -> frozenset[AssetKey]:
        """The assets that the step is to make in this run."""
        return frozenset(self._making.asset_keys) if self._making else frozenset()

    @property
    def selected_asset_check_keys(self) -> frozenset[AssetCheckKey]:
        """The checks that it is to evaluate."""
        return frozenset(self._making.check_keys) if self._making else frozenset()

    @property
    def selected_output_names(self) -> frozenset[str]:
        """The outputs that are to come."""
        making = self._making
        outs = self.op_def.outs
        return frozenset(name for name in outs if making is None or making.key_of_output(name) is not None)

    def asset_partition_keys_for_input(self, input_name: str) -> tuple[str, ...]:
        """The partitions of the asset upstream that an input is loaded from. Raises UsageError if it has none."""
        making = self._making
        if making is None or input_name not in making.definition.inputs:
            raise fault(f"step {self.step_key} has no input {input_name!r} that is an asset", "Correct the name.")
        keys = self._run.upstream_partitions(making.definition, making.definition.inputs[input_name])
        if keys is None:
            raise fault(f"{making.definition.inputs[input_name]} has no partitions", "Load it as it is.")
        return keys

    @property
    def _making(self) -> Making | None:
        return self._instance.step.node.making

    # -- what it can record -------------------------------------------------------------------------------------

    def add_output_metadata(
        self, metadata: Mapping[str, Any], output_name: str | None = None, mapping_key: str | None = None
    ) -> None:
        """Metadata for an output that is still to come; of an asset, for its materialization.

        Raises UsageError for an output that there is not or that was given before, EncodingError for a value that
        cannot be stored.
        """
        outs = self.op_def.outs
        name = output_name or (next(iter(outs)) if len(outs) == 1 else RESULT)
        if name not in outs:
            raise fault(f"step {self.step_key} has no output {name!r}", f"There are: {', '.join(outs) or 'none'}.")
        if (name, mapping_key) in self._came:
            raise fault(f"step {self.step_key} has given its output {name!r} before", "Add the metadata first.")
        self._output_metadata.setdefault((name, mapping_key), {}).update(to_metadata(metadata))

    def output_came(self, name: str, mapping_key: str | None) -> None:
        """Note that an output was given: what is added now would be lost."""
        self._came.add((name, mapping_key))

    def output_metadata(self, output_name: str, mapping_key: str | None = None) -> dict[str, MetadataValue]:
        """What was added for an output."""
        return self._output_metadata.get((output_name, mapping_key), {})

    def log_event(self, fact: Fact) -> None:
        """Record a fact now: an AssetMaterialization, AssetObservation, a kind of your own.

        Raises UsageError for a fact of runs or steps, which only the engine records, and EncodingError.
        """
        if isinstance(fact, AssetMaterialization | AssetObservation | EngineEvent) or _is_users(fact):
            self._run.recorder.hold(fact, self.step_key, check=True)
            self._run.recorder.release()
            self._run.planned.take_in([fact])
            return
        raise fault(f"{type(fact).__name__} is no fact that a step may record", "Record what happened to assets.")

    def observe(
        self, asset_key: AssetLike, *, partition: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Record what was seen of an asset without making it."""
        self.log_event(
            AssetObservation(
                asset_key=AssetKey.of(asset_key), partition=partition, metadata=to_metadata(metadata or {})
            )
        )

    def __repr__(self) -> str:
        return f"<StepExecutionContext {self.step_key} attempt {self.attempt} of run {self.run_id}>"


def _logger(name: str, handler: logging.Handler) -> logging.Logger:
    """A logger of nobody else's, whose lines go there only."""
    logger = logging.Logger(name, logging.DEBUG)
    logger.addHandler(handler)
    return logger


def _is_users(fact: object) -> bool:
    return isinstance(fact, Fact) and not type(fact).__module__.startswith("foldlog.")


class InitResourceContext:
    """What the function of a resource is given as `context`."""

    def __init__(self, run: RunContext, key: str, required: Iterable[str], config: Config | None) -> None:
        self._run = run
        self.resource_key = key
        self.config = config
        self.resources = Resources(f"resource {key!r}", run.resources, required)
        self.log = _logger(f"resource {key}", RunHandler(run.recorder, logging.DEBUG))

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def job_name(self) -> str:
        return self._run.job.name

    @property
    def run_tags(self) -> Mapping[str, str]:
        return self._run.tags

    @property
    def instance(self) -> Deployment:
        """The instance that the run is recorded in."""
        return self._run.instance


class HookContext:
    """What a hook is given: the step, how it ended, and resources."""

    def __init__(self, step: StepExecutionContext, hook: HookDefinition, error: BaseException | None) -> None:
        self._step = step
        self.hook_name = hook.name
        self.op_exception = error  #: what the step failed with; None if it succeeded
        what = f"hook {hook.name!r}"
        self.resources = Resources(what, step._run.resources, hook.required_resource_keys)

    @property
    def run_id(self) -> str:
        return self._step.run_id

    @property
    def job_name(self) -> str:
        return self._step.job_name

    @property
    def step_key(self) -> str:
        return self._step.step_key

    @property
    def op_name(self) -> str:
        return self._step.op_name

    @property
    def op_config(self) -> Config | None:
        return self._step.op_config

    @property
    def run_tags(self) -> Mapping[str, str]:
        return self._step.run_tags

    @property
    def instance(self) -> Deployment:
        return self._step.instance

    @property
    def log(self) -> logging.Logger:
        return self._step.log
