"""What a user handed over where it does not belong, in a few words: no message holds a whole definition."""

from __future__ import annotations

from typing import Any


def shown(given: Any) -> str:
    """By kind and name, if it has one; without an address in memory."""
    from .assets import AssetCheckSpec, AssetIn, AssetOut, AssetsDefinition, AssetSpec
    from .composition import PendingNode
    from .definitions import UnresolvedAssetJob
    from .graph import GraphDefinition
    from .hook import HookDefinition
    from .inout import In, Out
    from .job import JobDefinition
    from .op import OpDefinition

    match given:
        case AssetsDefinition():
            return given.what
        case OpDefinition():
            return f"op {given.name!r}"
        case GraphDefinition():
            return f"graph {given.name!r}"
        case PendingNode():
            return shown(given.definition)
        case JobDefinition() | UnresolvedAssetJob():
            return f"job {given.name!r}"
        case HookDefinition():
            return f"hook {given.name!r}"
        case In() | Out() | AssetIn() | AssetOut() | AssetSpec() | AssetCheckSpec():
            name = type(given).__name__
            return f"{'an' if name[0] in 'AIO' else 'a'} {name}"
        case type():
            return f"the class {given.__name__}"
        case _ if callable(given):
            return f"the function {getattr(given, '__name__', type(given).__name__)}"
    return f"{given!r:.80}"
