"""The run config of a job: a plain mapping, held against what its ops and resources take.

    {ops: {load: {config: {limit: 10}, inputs: {rows: [1, 2]}}, etl: {ops: {clean: {config: {...}}}}},
     resources: {warehouse: {config: {...}}}, inputs: {source: "a.csv"}}

Promises: an error says the path, what was given and what is allowed, before a run is created; defaults are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.checking import Context, known_keys
from ..config.place import Place, Source, meant
from ..errors import fault
from .freezing import copied
from .inout import NO_DEFAULT
from .node_config import NodeConfigs, check_inputs_of, check_keys_of, check_sections, nested, section_of
from .resource import ResourceDefinition, in_order, missing, used_by
from .steps import ConfigSource, FanInSource, Step
from .typed_config import Config, make_config, values_of

if TYPE_CHECKING:
    from .job import JobDefinition

REMEDY = "Correct the run config there."


class ReadConfig(dict[str, Any]):
    """A run config that was read from files: what is wrong in it is told with file and line."""

    def __init__(self, document: Mapping[str, Any], source: Source) -> None:
        super().__init__(document)
        self.source = source


@dataclass(frozen=True)
class RunConfig:
    """The run config of one run, checked."""

    ops: Mapping[tuple[str, ...], Config]  #: path of a node to the configuration of its op
    inputs: Mapping[tuple[tuple[str, ...], str], Any]  #: (path, input) to a value; path () is the job itself
    resources: Mapping[str, Config | None]  #: those that are needed, each behind what it requires
    document: Mapping[str, Any] = field(repr=False, default_factory=dict)  #: as it was written

    def input(self, source: ConfigSource) -> Any:
        """The value of an input that no step gives; a copy, for whoever is given it may change it."""
        return copied(self.inputs.get((source.path, source.input_name), source.default))


def check_run_config(job: JobDefinition, steps: Mapping[str, Step], given: Mapping[str, Any] | None) -> RunConfig:
    """The run config, for these steps of the job. Raises UsageError for what does not fit, and for what is missing."""
    if given is not None and not isinstance(given, Mapping):
        raise fault(f"the run config is {given!r:.80}, no mapping", "Write {'ops': {...}, 'resources': {...}}.")
    document = _document(job, given)
    place = Place(source=given.source if isinstance(given, ReadConfig) else None, remedy=REMEDY)
    check_sections(document, job.graph, place)
    nodes = NodeConfigs(steps.values())
    nodes.graph(job.graph, (), section_of(document, "ops", place), place.at("ops"))
    check_inputs_of(job.graph, section_of(document, "inputs", place), place.at("inputs"))
    nodes.inputs |= {((), name): value for name, value in section_of(document, "inputs", place).items()}
    config = RunConfig(nodes.ops, nodes.inputs, _resources(job, steps, document, place), copied(document))
    _check_inputs(config, steps)
    return config


def _document(job: JobDefinition, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The run config over the job's own; nothing in it is shared with either."""
    found: dict[str, Any] = copied(merged(nested(job.config, job.graph), nested(given or {}, job.graph)))
    return found


def _resources(
    job: JobDefinition, steps: Mapping[str, Step], document: Mapping[str, Any], place: Place
) -> dict[str, Config | None]:
    given = section_of(document, "resources", place)
    what = f"job {job.name!r}"
    for key in given:
        if key not in job.resource_defs:
            raise place.at("resources", key).fault(
                f"the job has no such resource{meant(str(key), job.resource_defs)}", known_keys(job.resource_defs)
            )
    wanted: dict[str, None] = {}
    for key, by in used_by(job, steps):
        if key not in job.resource_defs:
            raise missing(what, key, job.resource_defs, by=by)
        wanted[key] = None
    needed = in_order(what, job.resource_defs, wanted)
    found: dict[str, Config | None] = {}
    for key in (*needed, *(key for key in given if key not in needed)):  # what is not needed is checked too
        at = place.at("resources", key)
        part, definition = section_of(given, key, place.at("resources")), job.resource_defs[key]
        check_keys_of(part, ("config",), at, definition.config_type)
        found[key] = _resource_config(definition, part.get("config"), at.at("config"))
    return {key: found[key] for key in needed}


def _resource_config(definition: ResourceDefinition, given: Any, place: Place) -> Config | None:
    if definition.config_type is None:
        if given:
            raise place.fault("the resource takes no configuration", "Take it away.")
        return None
    value = merged(definition.config, given)
    return make_config(definition.config_type, {} if value is None else copied(value), place, Context())


def _check_inputs(config: RunConfig, steps: Mapping[str, Step]) -> None:
    """Raise UsageError for an input that nothing gives."""
    for step in steps.values():
        for one in step.inputs:
            parts = one.source.sources if isinstance(one.source, FanInSource) else (one.source,)
            for source in parts:
                if (
                    isinstance(source, ConfigSource)
                    and not one.definition.is_nothing
                    and config.input(source) is NO_DEFAULT
                ):
                    raise _open_input(step, one.name, source)


def _open_input(step: Step, name: str, source: ConfigSource) -> Exception:
    where = (
        f"ops.{'.ops.'.join(source.path)}.inputs.{source.input_name}" if source.path else f"inputs.{source.input_name}"
    )
    what = f"its input {name!r}" if source.path else f"its input {name!r}, the job's input {source.input_name!r}"
    return fault(
        f"step {step.key}: nothing gives {what}",
        f"Connect it to another op, give it a default, or write it into the run config: {where}.",
    )


def given_inputs(job: JobDefinition, given: Any) -> set[tuple[tuple[str, ...], str]]:
    """(path, input) of every input that the config of a job or a run of it gives; of what is no mapping where it should
    be, none."""
    found: set[tuple[tuple[str, ...], str]] = set()
    if given is not None and not isinstance(given, Mapping):
        return found

    def visit(ops: Any, path: tuple[str, ...]) -> None:
        for name, part in ops.items() if isinstance(ops, Mapping) else ():
            if isinstance(part, Mapping):
                inputs = part.get("inputs")
                found.update(((*path, name), one) for one in (inputs if isinstance(inputs, Mapping) else ()))
                visit(part.get("ops"), (*path, name))

    visit(_document(job, given).get("ops"), ())
    return found


def merged(under: Any, over: Any) -> Any:
    """`over`, with what only `under` has; mappings key by key, also over a `Config`. None over a mapping says nothing:
    in YAML it is a section whose lines are all commented out."""
    if over is None and isinstance(under, Mapping | Config):
        return under
    if isinstance(under, Config) and isinstance(over, Mapping):
        under = values_of(under)
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: merged(under[key], value) if key in under else value for key, value in over.items()}}
