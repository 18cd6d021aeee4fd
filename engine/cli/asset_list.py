"""`foldlog asset list`: the assets that code defines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from .code_options import CodeChoice, code_options
from .options import examples, json_option
from .select_option import select_option
from .show import Cell, print_json, say, table

if TYPE_CHECKING:
    from ..definitions.asset_graph import AssetGraph
    from ..events.key import AssetKey


@click.command(
    "list",
    epilog=examples("foldlog asset list", "foldlog asset list -f assets.py --select 'group:reports'"),
)
@select_option("Only these assets")
@json_option("One JSON document")
@code_options
def list_assets(code: CodeChoice, select: tuple[str, ...], as_json: bool) -> None:
    """List the assets that the code defines. `foldlog assets` lists those that the log knows."""
    graph = code.definitions(as_json=as_json).asset_graph
    keys = graph.select(list(select)) if select else [*graph.specs, *graph.external]
    forms = asset_forms(graph, keys)
    if as_json:
        print_json({"assets": forms})
    elif not forms:
        say("no assets; `foldlog job list` lists jobs")
    else:
        table(("asset", "group", "kinds", "made of", "partitions", "checks"), [_row(form) for form in forms])


def _row(form: dict[str, Any]) -> list[Cell]:
    made = "" if form["made"] else " (made elsewhere)"
    deps, checks = ", ".join(form["deps"]), ", ".join(form["checks"])
    return [form["key"] + made, form["group"], ", ".join(form["kinds"]), deps, form["partitions"] or "", checks]


def asset_forms(graph: AssetGraph, keys: Iterable[AssetKey]) -> list[dict[str, Any]]:
    """Assets as JSON."""
    checks: dict[AssetKey, list[str]] = {}
    for check in graph.checks:
        checks.setdefault(check.asset_key, []).append(check.name)
    return [_form(graph, key, checks.get(key, [])) for key in keys]


def _form(graph: AssetGraph, key: AssetKey, checks: list[str]) -> dict[str, Any]:
    spec, maker = graph.spec_of(key), graph.maker.get(key)
    partitions = graph.partitions_of(key)
    return {
        "key": key.to_text(),
        "group": spec.group_name if spec is not None else None,
        "kinds": list(spec.kinds) if spec is not None else [],
        "description": spec.description if spec is not None else None,
        "made": maker is not None,
        "deps": [one.to_text() for one in maker.upstream_of(key)] if maker is not None else [],
        "partitions": partitions.describe() if partitions is not None else None,
        "checks": checks,
    }
