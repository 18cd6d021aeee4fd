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
from .graph import GraphDefinition, Node
from .inout import NO_DEFAULT
from .names import fault
from .op import OpDefinition
from .resource import ResourceDefinition, in_order, missing, used_by
from .steps import ConfigSource, FanInSource, Step
from .typed_config import Config, make_config

if TYPE_CHECKING:
    from .job import JobDefinition

SECTIONS = ("ops", "resources", "inputs", "execution")
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
        """The value of an input that no step gives."""
        return self.inputs.get((source.path, source.input_name), source.default)


def check_run_config(job: JobDefinition, steps: Mapping[str, Step], given: Mapping[str, Any] | None) -> RunConfig:
    """The run config, for these steps of the job. Raises UsageError for what does not fit, and for what is missing."""
    document = merged(job.config, {} if given is None else given)
    if not isinstance(document, Mapping):
        raise fault(f"the run config is {given!r:.80}, no mapping", "Write {'ops': {...}, 'resources': {...}}.")
    place = Place(source=given.source if isinstance(given, ReadConfig) else None, remedy=REMEDY)
    for section in document:
        if section not in SECTIONS:
            raise place.at(section).fault(
                f"there is no such section{meant(str(section), SECTIONS)}", f"Allowed here: {', '.join(SECTIONS)}."
            )
    nodes = _Nodes({step.path for step in steps.values()}, partial=len(steps) < len(job.steps))
    nodes.graph(job.graph, (), _section(document, "ops", place), place.at("ops"))
    for name, value in _section(document, "inputs", place).items():
        if name not in job.graph.ins:
            raise place.at("inputs", name).fault(
                f"the job has no such input{meant(name, job.graph.ins)}", known_keys(job.graph.ins)
            )
        nodes.inputs[(), name] = value
    config = RunConfig(nodes.ops, nodes.inputs, _resources(job, steps, document, place), document)
    _check_inputs(config, steps)
    return config


def _section(document: Mapping[str, Any], name: str, place: Place) -> Mapping[str, Any]:
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise place.at(name).fault(f"{found!r:.80} was given; wanted a mapping")
    return found


class _Nodes:
    """Takes in what is given of the nodes of a job; of those not chosen, it is checked and not required."""

    def __init__(self, chosen: set[tuple[str, ...]], *, partial: bool) -> None:
        self.ops: dict[tuple[str, ...], Config] = {}
        self.inputs: dict[tuple[tuple[str, ...], str], Any] = {}
        self._chosen = chosen
        self._partial = partial  #: some steps are not chosen, so what they would give may be given here

    def graph(self, graph: GraphDefinition, path: tuple[str, ...], given: Mapping[str, Any], place: Place) -> None:
        for name in given:
            if name not in graph.nodes:
                raise place.at(name).fault(
                    f"there is no op {name!r} here{meant(str(name), graph.nodes)}", known_keys(graph.nodes)
                )
        for name, node in graph.nodes.items():
            here, at, part = (*path, name), place.at(name), _section(given, name, place)
            if isinstance(node.definition, GraphDefinition):
                _allow(part, ("ops", "inputs"), at)
                self.graph(node.definition, here, _section(part, "ops", at), at.at("ops"))
            else:
                _allow(part, ("config", "inputs"), at)
                self._op(node.definition, here, part.get("config"), at.at("config"))
            for input_name, value in _section(part, "inputs", at).items():
                self._input(graph, node, here, input_name, value, at.at("inputs", input_name))

    def _input(
        self, graph: GraphDefinition, node: Node, path: tuple[str, ...], name: str, value: Any, place: Place
    ) -> None:
        if name not in (ins := node.definition.ins):
            raise place.fault(f"{node.name} has no such input{meant(name, ins)}", known_keys(ins))
        if (node.name, name) in graph.dependencies and not self._partial:
            raise place.fault("another step gives this input", "Take it away.")
        self.inputs[path, name] = value

    def _op(self, op: OpDefinition, path: tuple[str, ...], given: Any, place: Place) -> None:
        if op.config_type is None:
            if given:
                raise place.fault(
                    f"{op.name} takes no configuration", "Take it away, or give the op a parameter `config`."
                )
        elif path in self._chosen or given is not None:
            self.ops[path] = make_config(op.config_type, given, place, Context())


def _allow(part: Mapping[str, Any], allowed: tuple[str, ...], place: Place) -> None:
    for key in part:
        if key not in allowed:
            raise place.at(key).fault(
                f"there is no key {key!r} here{meant(str(key), allowed)}", f"Allowed here: {', '.join(allowed)}."
            )


def _resources(
    job: JobDefinition, steps: Mapping[str, Step], document: Mapping[str, Any], place: Place
) -> dict[str, Config | None]:
    given = _section(document, "resources", place)
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
    found: dict[str, Config | None] = {}
    for key in in_order(what, job.resource_defs, wanted):
        at = place.at("resources", key)
        part = _section(given, key, place.at("resources"))
        _allow(part, ("config",), at)
        found[key] = _resource_config(job.resource_defs[key], part.get("config"), at.at("config"))
    return found


def _resource_config(definition: ResourceDefinition, given: Any, place: Place) -> Config | None:
    if definition.config_type is None:
        if given:
            raise place.fault("the resource takes no configuration", "Take it away.")
        return None
    own = definition.config
    value = own if given is None else merged(own, given) if isinstance(own, Mapping) else given
    return make_config(definition.config_type, {} if value is None else value, place, Context())


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


def given_inputs(document: Mapping[str, Any]) -> set[tuple[tuple[str, ...], str]]:
    """(path, input) of every input that a run config gives; of one that is no mapping where it should be, none."""
    found: set[tuple[tuple[str, ...], str]] = set()

    def visit(ops: Any, path: tuple[str, ...]) -> None:
        for name, part in ops.items() if isinstance(ops, Mapping) else ():
            if isinstance(part, Mapping):
                inputs = part.get("inputs")
                found.update(((*path, name), one) for one in (inputs if isinstance(inputs, Mapping) else ()))
                visit(part.get("ops"), (*path, name))

    visit(document.get("ops") if isinstance(document, Mapping) else None, ())
    return found


def merged(under: Any, over: Any) -> Any:
    """`over`, with what only `under` has; mappings key by key."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: merged(under[key], value) if key in under else value for key, value in over.items()}}
