"""What a run config gives to the nodes of a job: the configuration of ops, and values of inputs that no step gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..config.checking import Context, known_keys
from ..config.place import Place, meant
from .graph import GraphDefinition, GraphInput, Node
from .op import OpDefinition
from .steps import Step
from .typed_config import Config, make_config, schema_of


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
        for name in given:
            if name not in graph.nodes:
                inside = next(_inside(graph, str(name)), None)
                close = f"; did you mean {place.at(*inside).name}?" if inside else meant(str(name), graph.nodes)
                raise place.at(name).fault(f"there is no op {name!r} here{close}", known_keys(graph.nodes))
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
        if name not in (ins := node.definition.ins):
            raise place.fault(f"{node.name} has no such input{meant(str(name), ins)}", known_keys(ins))
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
