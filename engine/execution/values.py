"""What a step reads, and what becomes of what it gives: types are checked, IO managers load and keep."""

from __future__ import annotations

from typing import Any

from ..artifacts.io import InputContext, IOManager, OutputContext
from ..definitions.inout import IO_MANAGER, NO_DEFAULT, UNSTATED, In, Out
from ..definitions.steps import AssetSource, CollectSource, ConfigSource, FanInSource, Step, StepInputDef
from ..errors import UserCodeError, fault
from ..events.key import AssetKey
from ..events.step import LoadedInput, StepInput
from .boundary import user_code_error_boundary
from .contexts import Resources, StepExecutionContext
from .frontier import Ref, StepInstance
from .run_context import RunContext
from .types import PASSED, check_type
from .versions import version_read


class Loader:
    """Loads the inputs of one attempt at a step, and records that it did."""

    def __init__(self, run: RunContext, instance: StepInstance, context: StepExecutionContext) -> None:
        self._run = run
        self._instance = instance
        self._context = context
        self.input_versions: dict[str, str] = {}  #: asset to the data version that was read
        self.input_positions: dict[str, int] = {}  #: asset to the position of the materialization that was read

    def load_all(self) -> dict[str, Any]:
        """The arguments of the op's function. Raises UserCodeError for what cannot be loaded, or has another type."""
        found = {}
        for given in self._instance.step.inputs:
            if given.definition.is_nothing:
                self._note_versions(given)
                continue
            found[given.name] = value = self._value(given)
            self._check(given, value)
            self._note_versions(given)
        return found

    def _value(self, given: StepInputDef) -> Any:
        source, key = given.source, (self._instance.step.path, given.name)
        if key in self._run.config.inputs:  # in place of steps that are not part of this run, or where none gives it
            return self._run.config.inputs[key]
        if not all(map(self._run.plan.gives, given.step_sources())):
            return given.definition.default  # the plan made sure that there is one
        match source:
            case ConfigSource():
                return self._configured(given, source)
            case AssetSource(asset):
                return self._asset(given, asset, None)
            case FanInSource(sources):
                found: list[Any] = []
                for one in sources:
                    if isinstance(one, ConfigSource):
                        found.append(self._configured(given, one))
                    else:
                        found += [self._load(given, ref) for ref in self._run.frontier.ref(self._instance, one)]
                return found
            case CollectSource():
                return [self._load(given, ref) for ref in self._run.frontier.refs(self._instance, given)]
        return self._load(given, self._run.frontier.refs(self._instance, given)[0])  # a step without it is not begun

    def _configured(self, given: StepInputDef, source: ConfigSource) -> Any:
        value = self._run.config.input(source)
        if value is NO_DEFAULT:  # the run config was checked before the run was created
            raise fault(f"step {self._instance.key}: nothing gives its input {given.name!r}", "Give it a default.")
        return value

    def _load(self, given: StepInputDef, ref: Ref) -> Any:
        producer = self._run.job.steps[ref.step_key.partition("[")[0]]
        out = producer.outs[ref.output]
        making = producer.node.making
        asset = making.definition.outputs.get(ref.output) if making is not None else None
        if not out.is_kept:
            return None
        if asset is not None:
            return self._asset(given, asset, (ref, producer, out))
        upstream = upstream_context(ref, out, None, None)
        return self._loaded(given, out.io_manager_key, upstream, ref, None, None)

    def _asset(self, given: StepInputDef, asset: AssetKey, made: tuple[Ref, Step, Out] | None) -> Any:
        making = self._instance.step.node.making
        if making is None:
            raise fault(f"step {self._instance.key} takes the asset {asset}, and makes none", "Use @asset.")
        partitions = self._run.upstream_partitions(making.definition, asset)
        assets = self._run.job.assets
        spec = assets.spec_of(asset) if assets is not None else None
        if partitions == ():
            return _of_no_partitions(given.definition)
        maker = assets.maker.get(asset) if assets is not None else None
        if maker is not None and not maker.op.outs[maker.output_of(asset)].is_kept:
            return None
        upstream = None
        if made is not None:
            ref, _, out = made
            own = self._run.partition_of(maker) if maker is not None else None
            upstream = upstream_context(ref, out, asset, own)
        key = spec.io_manager_key if spec is not None else IO_MANAGER
        return self._loaded(given, key, upstream, made[0] if made is not None else None, asset, partitions)

    def _loaded(
        self,
        given: StepInputDef,
        key: str,
        upstream: OutputContext | None,
        ref: Ref | None,
        asset: AssetKey | None,
        partitions: tuple[str, ...] | None,
    ) -> Any:
        key = given.definition.input_manager_key or key
        context = InputContext(
            name=given.name,
            run_id=self._run.run_id,
            step_key=self._instance.key,
            upstream_output=upstream,
            asset_key=asset,
            partition_keys=partitions,
            metadata=given.definition.metadata,
            type_hint=hint_of(given.definition.annotation),
            log=self._context.io_log,
            resources=resources_of(self._run, key),
        )
        manager = io_manager(self._run, key)
        with user_code_error_boundary(msg_fn=lambda: f"{context.shown} could not be loaded by {key}"):
            value = manager.load_input(context)
        self._run.recorder.hold(
            LoadedInput(
                input_name=given.name,
                manager_key=key,
                upstream_step_key=ref.step_key if ref is not None else None,
                upstream_output_name=ref.output if ref is not None else None,
                metadata=dict(context.added_metadata),
            ),
            self._instance.key,
            check=bool(context.added_metadata),
        )
        return value

    def _check(self, given: StepInputDef, value: Any) -> None:
        verdict = check_type(given.definition.annotation, value)
        if not verdict.success:
            self._run.recorder.hold(StepInput(input_name=given.name, type_check=verdict), self._instance.key)
            raise UserCodeError(f"step {self._instance.key}: its input {given.name!r}: {verdict.description}")
        self._run.recorder.hold(StepInput(input_name=given.name, type_check=PASSED), self._instance.key)

    def _note_versions(self, given: StepInputDef) -> None:
        """Of what assets were read: of which data version, for the materialization to tell."""
        making = self._instance.step.node.making
        if making is None or given.name not in making.definition.inputs or not making.asset_keys:
            return
        asset = making.definition.inputs[given.name]
        partitions = self._run.upstream_partitions(making.definition, asset)
        read = version_read(self._run, asset, partitions)
        if read.version is not None:
            self.input_versions[asset.to_text()] = read.version
        if read.position is not None:
            self.input_positions[asset.to_text()] = read.position


def upstream_context(ref: Ref, out: Out, asset: AssetKey | None, partition: str | None) -> OutputContext:
    """What made a value, as the IO manager that loads it is told."""
    return OutputContext(
        run_id=ref.run_id,
        step_key=ref.step_key,
        name=ref.output,
        mapping_key=ref.mapping_key,
        asset_key=asset,
        partition_key=partition,
        metadata=out.metadata,
        type_hint=hint_of(out.annotation),
        version=out.code_version,
    )


def io_manager(run: RunContext, key: str) -> IOManager:
    """The resource of that key. Raises UsageError for one that is no IO manager."""
    found = run.resources.get(key)
    if not isinstance(found, IOManager):
        raise fault(
            f"the resource {key!r} is {found!r:.80}, no IOManager",
            "Give an object of a class that derives from foldlog.IOManager.",
        )
    return found


def output_context(
    run: RunContext, instance: StepInstance, context: StepExecutionContext, name: str, mapping_key: str | None
) -> OutputContext:
    """What the IO manager is told of an output."""
    out = instance.step.outs[name]
    making = instance.step.node.making
    asset = making.key_of_output(name) if making is not None else None
    return OutputContext(
        run_id=run.run_id,
        step_key=instance.key,
        name=name,
        mapping_key=mapping_key,
        asset_key=asset,
        partition_key=run.partition_of(making.definition) if making is not None and asset is not None else None,
        metadata=out.metadata,
        type_hint=hint_of(out.annotation),
        version=out.code_version or instance.step.op.code_version,
        log=context.io_log,
        resources=resources_of(run, out.io_manager_key),
    )


def _of_no_partitions(definition: In) -> Any:
    """The value of an asset of which no partition is wanted, as the day before the first: the input's default; without
    one an empty dict, as of many partitions; or None, where its type takes that and no dict."""
    if definition.has_default:
        return definition.default
    none_fits = check_type(definition.annotation, None).success
    return None if none_fits and not check_type(definition.annotation, {}).success else {}


def hint_of(annotation: Any) -> Any:
    """The annotation, as contexts of IO managers have it."""
    return Any if annotation is UNSTATED else annotation


def resources_of(run: RunContext, key: str) -> Resources:
    """The resources that an IO manager requires."""
    found = run.io_resources.get(key)
    if found is None:
        definition = run.job.resource_defs.get(key)
        required = definition.required_resource_keys if definition else ()
        found = run.io_resources[key] = Resources(f"IO manager {key!r}", run.resources, required)
    return found
