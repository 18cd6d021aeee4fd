"""What a run config gives to the nodes of a job: the configuration of ops, and values of inputs that no step gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..config.checking import Context, known_keys
from ..config.place import Place, meant
from ..errors import UsageError, fault
from .graph import GraphDefinition, GraphInput, Node
from .op import OpDefinition
from .steps import Step
from .typed_config import Config, make_config, schema_of

SECTIONS = ("ops", "resources", "inputs")


def section_of(document: Mapping[str, Any], name: str, place: Place) -> Mapping[str, Any]:
    """The mapping below a key; empty if there is none. Raises UsageError for what is no mapping."""
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise place.at(name).fault(f"{found!r:.80} was given; wanted a mapping")
    return found


def check_keys_of(
    part: Mapping[str, Any], allowed: tuple[str, ...], place: Place, config_type: type[Config] | None = None
) -> None:
    """Raise UsageError for another key. `config_type`: of what stands below `config`, where a key was perhaps meant."""
    for key in part:
        if key not in allowed:
            inside = config_type is not None and key in schema_of(config_type)
            close = f"; did you mean config.{key}?" if inside else meant(str(key), allowed)
            raise place.at(key).fault(f"there is no key {key!r} here{close}", f"Allowed here: {', '.join(allowed)}.")


def check_sections(document: Mapping[Any, Any], graph: GraphDefinition, place: Place) -> None:
    """Raise UsageError for a section that there is not."""
    for section in document:
        if section not in SECTIONS:
            inside = f"; did you mean ops.{section}?" if section in graph.nodes else meant(str(section), SECTIONS)
            raise place.at(section).fault(f"there is no such section{inside}", f"Allowed here: {', '.join(SECTIONS)}.")


def check_own_config(what: str, graph: GraphDefinition, config: Mapping[str, Any]) -> None:
    """Raise UsageError for a section, op or input of a job's own config that there is not. What is written there may be
    completed by a run: it is checked with that."""
    place = Place(remedy="Correct the config of the job there.")
    try:
        check_sections(config, graph, place)
        _check_nodes(graph, section_of(nested(config, graph), "ops", place), place.at("ops"))
        check_inputs_of(graph, section_of(config, "inputs", place), place.at("inputs"))
    except UsageError as error:
        raise fault(f"{what}: its config: {error}", error.remedy) from None


def _check_nodes(graph: GraphDefinition, given: Mapping[str, Any], place: Place) -> None:
    check_names_of(graph, given, place)
    for name in given:
        node, at = graph.nodes[name], place.at(name)
        part = section_of(given, name, place)
        if isinstance(node.definition, GraphDefinition):
            check_keys_of(part, ("ops", "inputs"), at)
            _check_nodes(node.definition, section_of(part, "ops", at), at.at("ops"))
        else:
            check_keys_of(part, ("config", "inputs"), at, node.definition.config_type)
        for one in section_of(part, "inputs", at):
            check_input(node, one, at.at("inputs", one))


def check_names_of(graph: GraphDefinition, given: Mapping[str, Any], place: Place) -> None:
    """Raise UsageError for an op that a graph has not."""
    for name in given:
        if name not in graph.nodes:
            inside = next(_inside(graph, str(name)), None)
            close = f"; did you mean {place.at(*inside).name}?" if inside else meant(str(name), graph.nodes)
            raise place.at(name).fault(f"there is no op {name!r} here{close}", known_keys(graph.nodes))


def check_input(node: Node, name: str, place: Place) -> None:
    """Raise UsageError for an input that a node has not."""
    if name not in (ins := node.definition.ins):
        raise place.fault(
            f"{node.name} has no such input{meant(str(name), ins)}",
            known_keys(ins) if ins else f"{node.name} has no inputs: take it away.",
        )


def check_inputs_of(graph: GraphDefinition, given: Mapping[str, Any], place: Place) -> None:
    """Raise UsageError for an input that a job of the graph has not."""
    for name in given:
        if name not in graph.ins:
            owners = [one for one, node in graph.nodes.items() if name in node.definition.ins]
            close = f"; did you mean ops.{owners[0]}.inputs.{name}?" if owners else meant(str(name), graph.ins)
            raise place.at(name).fault(
                f"the job has no such input{close}",
                known_keys(graph.ins)
                if graph.ins
                else "The job has no inputs; those of its ops stand below ops.NAME.inputs.",
            )


def nested(document: Mapping[str, Any], graph: GraphDefinition) -> Mapping[str, Any]:
    """The document with `ops: {outer.flaky: ...}`, the name of a step, as `ops: {outer: {ops: {flaky: ...}}}`.

    Names of nodes hold no dots, so it is clear what is meant. Left as it is where both ways say something of one node.
    """
    ops = document.get("ops")
    if not isinstance(ops, Mapping) or not any(isinstance(name, str) and "." in name for name in ops):
        return document
    found: dict[str, Any] = {name: part for name, part in ops.items() if not (isinstance(name, str) and "." in name)}
    for name, part in ops.items():
        if isinstance(name, str) and "." in name and not _put(found, name.split("."), part, graph):
            found[name] = part
    return {**document, "ops": found}


def _put(ops: dict[str, Any], path: list[str], part: Any, graph: GraphDefinition) -> bool:
    """Whether the part now stands at the path; not where the graph has no such node, or something stands there."""
    name, *rest = path
    node = graph.nodes.get(name)
    if node is None or not (rest or name not in ops):
        return False
    if not rest:
        ops[name] = part
        return True
    if not isinstance(node.definition, GraphDefinition):
        return False
    outer = ops.get(name) or {}
    inner = outer.get("ops") or {} if isinstance(outer, Mapping) else None
    if not isinstance(inner, Mapping):
        return False
    inner = dict(inner)
    if not _put(inner, rest, part, node.definition):
        return False
    ops[name] = {**outer, "ops": inner}
    return True


class NodeConfigs:
    """Takes in what is given of the nodes of a job; of those not chosen, it is checked and not required."""

    def __init__(self, steps: Iterable[Step]) -> None:
        """`steps`: those that are chosen. What others would give them may be given here."""
        self.ops: dict[tuple[str, ...], Config] = {}
        self.inputs: dict[tuple[tuple[str, ...], str], Any] = {}
        chosen = {step.key: step for step in steps}
        self._chosen = {step.path for step in chosen.values()}
        self._open = {  #: inputs of chosen steps that steps give which are not chosen
            (step.path, one.name)
            for step in chosen.values()
            for one in step.inputs
            if any(source.step_key not in chosen for source in one.step_sources())
        }

    def graph(self, graph: GraphDefinition, path: tuple[str, ...], given: Mapping[str, Any], place: Place) -> None:
        check_names_of(graph, given, place)
        for name, node in graph.nodes.items():
            here, at, part = (*path, name), place.at(name), section_of(given, name, place)
            if isinstance(node.definition, GraphDefinition):
                check_keys_of(part, ("ops", "inputs"), at)
                self.graph(node.definition, here, section_of(part, "ops", at), at.at("ops"))
            else:
                check_keys_of(part, ("config", "inputs"), at, node.definition.config_type)
                self._op(node.definition, here, part.get("config"), at.at("config"))
            for input_name, value in section_of(part, "inputs", at).items():
                self._input(graph, node, here, input_name, value, at.at("inputs", input_name))

    def _input(
        self, graph: GraphDefinition, node: Node, path: tuple[str, ...], name: str, value: Any, place: Place
    ) -> None:
        check_input(node, name, place)
        stands_in = isinstance(node.definition, OpDefinition) and (
            (path, name) in self._open or path not in self._chosen
        )
        if (source := graph.dependencies.get((node.name, name))) is not None and not stands_in:
            if isinstance(source, GraphInput):
                by = f"the input {source.name!r} of {'.'.join(path[:-1]) or 'the job'}"
                raise place.fault(f"{by} gives this input", "Give that, or nothing.")
            raise place.fault("another step gives this input", "Take it away.")
        if node.making is not None and (asset := node.making.definition.inputs.get(name)) is not None:
            raise place.fault(
                f"the asset {asset} gives this input", "Take it away; what an earlier run made is loaded."
            )
        self.inputs[path, name] = value

    def _op(self, op: OpDefinition, path: tuple[str, ...], given: Any, place: Place) -> None:
        if op.config_type is None:
            if given:
                raise place.fault(
                    f"{op.name} takes no configuration", "Take it away, or give the op a parameter `config`."
                )
        elif path in self._chosen or given is not None:
            self.ops[path] = make_config(op.config_type, given, place, Context())


def _inside(graph: GraphDefinition, name: str) -> Iterator[tuple[str, ...]]:
    """The paths below `ops` of the nodes of that name in the graphs inside of a graph."""
    for node in graph.nodes.values():
        if isinstance(node.definition, GraphDefinition):
            if name in node.definition.nodes:
                yield node.name, "ops", name
            yield from ((node.name, "ops", *rest) for rest in _inside(node.definition, name))
