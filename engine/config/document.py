"""YAML, read so that every key keeps its line.

Plain values only: text, numbers, true and false, nothing, lists, mappings with text keys. A key that is written twice
is refused, and so are tags, for a tag can name code to run. What YAML 1.1 takes for a date, or for a number in base 60
(`1:30`), stays text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ..errors import UsageError
from .place import Path, Place, Source

MAX_NODES = 10_000  #: aliases of aliases grow without end
MAX_DEPTH = 64
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)")
REMEDY = "Correct the line; docs/config.md has the whole file by example."
TAG = "tag:yaml.org,2002:"


def read(text: str, file: str, remedy: str = REMEDY) -> tuple[Any, Source]:
    """What the text says, and the line of each key. Raises UsageError, with line and column, for what is no YAML."""
    try:
        return _read(text, file)
    except UsageError as error:
        error.remedy = remedy
        raise


def _read(text: str, file: str) -> tuple[Any, Source]:
    source = Source(file, {})
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise _no_yaml(f"{file}{at}: {error.problem or error.context}") from None  # the cause may quote a secret
    except yaml.YAMLError as error:
        raise _no_yaml(f"{file}: {getattr(error, 'reason', 'it cannot be read')}") from None
    except RecursionError:
        raise _no_yaml(f"{file}: it is nested too deep") from None
    return (None if node is None else _Reading(source).value(node, ())), source


def _no_yaml(problem: str) -> UsageError:
    return UsageError(f"{problem}: this is no YAML")


class _Reading:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        self._source.lines.setdefault(path, node.start_mark.line + 1)
        if self._nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise self._fault(node, path, f"more than {MAX_NODES:,} values, or {MAX_DEPTH} levels")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, path, "seq")
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        self._check_tag(node, path, "map")
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._fault(key_node, path, "a key is a word, not a list or a mapping")
            key = str(key_node.value)
            inside = (*path, key)
            if key == "<<":
                raise self._fault(key_node, path, "merging with << is not supported; write the keys out")
            if key in found:
                first = self._source.lines[inside]
                raise self._fault(key_node, inside, f"the key is there twice, first in line {first}")
            self._source.lines[inside] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, inside)
        return found

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = str(node.value)
        if getattr(node, "style", None) in ("'", '"', "|", ">"):
            self._check_tag(node, path, "str")
            return text
        self._check_tag(node, path, "str", "int", "float", "bool", "null", "timestamp", "value", "binary", "merge")
        kind = node.tag.removeprefix(TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("yes", "true", "on", "y")
        if kind == "int" and INTEGER.fullmatch(text):
            return int(text.replace("_", ""), 0)
        if kind == "float" and ":" not in text:
            return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _check_tag(self, node: yaml.Node, path: Path, *kinds: str) -> None:
        if node.tag.removeprefix(TAG) not in kinds:
            raise self._fault(node, path, f"the tag {node.tag.replace(TAG, '!!')!r:.80} is not read")

    def _fault(self, node: yaml.Node, path: Path, problem: str) -> UsageError:
        here = Source(self._source.file, {path: node.start_mark.line + 1})
        return Place(path, here).fault(problem)
