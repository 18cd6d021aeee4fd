"""`foldlog partitions NAME`: the keys of a definition of dynamic partitions; with `--asset KEY`: those of an asset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .show import line, print_json, say

if TYPE_CHECKING:
    from ..instance import Instance


@click.command(
    "partitions",
    epilog=examples(
        "foldlog partitions customers",
        "foldlog partitions customers --limit 1000 --json | jq -r '.partitions[]'",
        "foldlog partitions --asset raw/orders",
    ),
)
@click.argument("name", required=False)
@click.option("--asset", metavar="KEY", help="The partitions of this asset instead, and the state of each.")
@click.option("--limit", type=click.IntRange(1, 9_999), default=100, show_default=True, help="So many at most.")
@click.option("--after", metavar="CURSOR", help="Go on there: what the last answer named.")
@json_option("One JSON document")
@log_option
def command(target: Target, name: str | None, asset: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List dynamic partitions, or the partitions of an asset.

    NAME is that of a definition; its keys come in the order in which they were added.
    """
    if (name is None) == (asset is None):
        raise click.UsageError("give NAME, a definition of dynamic partitions, or --asset KEY")
    if asset is not None:
        from .assets import check_key

        check_key("--asset", asset)
    with existing_instance(target) as instance:
        if asset is not None:
            _of_asset(instance, asset, limit, after, as_json)
        elif name is not None:
            _of_definition(instance, name, limit, after, as_json)


def _of_definition(instance: Instance, name: str, limit: int, after: str | None, as_json: bool) -> None:
    page = instance.get_paginated_dynamic_partitions(name, limit=limit, cursor=after)
    cursor = page.cursor if page.has_more else None
    if as_json:
        print_json({"partitions": list(page.keys), "more": page.has_more, "cursor": cursor})
        return
    for key in page.keys or ["no partitions"]:
        say(line(key))
    _tell_more(cursor)


def _of_asset(instance: Instance, asset: str, limit: int, after: str | None, as_json: bool) -> None:
    from .assets import partition_form, print_partitions

    found = instance.get_asset_partitions(asset, limit=limit + 1, cursor=after)
    more, found = len(found) > limit, found[:limit]
    cursor = found[-1].partition if more else None
    if as_json:
        print_json({"partitions": [partition_form(one) for one in found], "more": more, "cursor": cursor})
        return
    if not found:
        say("no partitions")
    print_partitions(found)
    _tell_more(cursor)


def _tell_more(cursor: str | None) -> None:
    if cursor is not None:
        say(line(f"There are more: --after {cursor} goes on, --limit shows more at once."), err=True)
