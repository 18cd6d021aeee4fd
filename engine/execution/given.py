"""What callers hand over in more than one form, brought into one; and the error for what is none of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..definitions.graph import GraphDefinition
from ..definitions.op import OpDefinition
from ..definitions.shown import shown
from ..errors import fault


def op_texts(selection: Any) -> tuple[str, ...] | None:
    """A selection of steps as texts: an op or a graph stands for its name.

    Raises UsageError for what selects no steps.
    """
    if selection is None:
        return None
    several = list(selection) if isinstance(selection, list | tuple | set | frozenset) else [selection]
    return tuple(_op_text(one) for one in several)


def _op_text(one: Any) -> str:
    if isinstance(one, str):
        return one
    if isinstance(one, OpDefinition | GraphDefinition):
        return one.name
    raise fault(
        f"op_selection holds {shown(one)}, which selects no step", "Write 'clean', 'clean+', an op, or a list of such."
    )


def check_is_mapping(run_config: Any) -> None:
    """Raise UsageError for a run config that is no mapping: the path of a file, or a list."""
    if run_config is None or isinstance(run_config, Mapping):
        return
    remedy = "Write {'ops': {...}, 'resources': {...}}."
    if isinstance(run_config, str | os.PathLike):
        remedy = (
            "Read the file first, yaml.safe_load(...), and give its mapping; or `foldlog job execute --config FILE`."
        )
    raise fault(f"the run config is {shown(run_config)}, no mapping", remedy)
