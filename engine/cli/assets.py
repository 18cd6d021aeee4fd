"""`foldlog assets list`: the assets there are; `foldlog assets show KEY`: one, its metadata, partitions and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .forms import jsonable, metadata_text
from .groups import ListOrShow
from .one_run import print_failed_checks
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .show import Cell, Styled, clean, local, on_terminal, print_json, say, table, when

if TYPE_CHECKING:
    from ..instance import Instance
    from ..log.log import EventRecord
    from ..views.records import AssetEvent, AssetRecord, CheckRecord, PartitionRecord

MOST = 1000  #: partitions and checks shown of one asset
_COLOURS = {"MATERIALIZED": "green", "PASSED": "green", "FAILED": "red", "MISSING": "yellow", "IN_PROGRESS": "yellow"}


@click.group(
    "assets",
    cls=ListOrShow,
    epilog=examples("foldlog assets", "foldlog assets --prefix raw", "foldlog assets show raw/orders"),
)
def command() -> None:
    """List assets, or show one with its metadata and partitions.

    That is what the log knows; `foldlog asset` lists and makes the assets that code defines.

    Without a command, `list`: `foldlog assets --help` shows both, `foldlog assets list --help` the options. A key is
    written with slashes between its parts, as raw/orders.
    """


@command.command(
    "list",
    epilog=examples(
        "foldlog assets list",
        "foldlog assets list --prefix raw",
        "foldlog assets list --json | jq -r '.assets[].asset_key'",
    ),
)
@click.option("--prefix", metavar="KEY", help="Only assets below this key.")
@click.option("--limit", type=click.IntRange(1, 9_999), default=100, show_default=True, help="So many at most.")
@click.option("--after", metavar="KEY", help="Go on behind this key; assets are listed in the order of their keys.")
@json_option("One JSON document")
@log_option
def list_assets(target: Target, prefix: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List assets, in the order of their keys."""
    for name, text in (("--prefix", prefix), ("--after", after)):
        check_key(name, text)
    with existing_instance(target) as instance:
        records = instance.get_asset_records(prefix=prefix, limit=limit + 1, cursor=after)
    more, records = len(records) > limit, records[:limit]
    if as_json:
        print_json({"assets": [asset_form(record) for record in records], "more": more})
        return
    print_assets(records)
    if more:
        say(f"There are more: --after {records[-1].asset_key} goes on, --limit shows more at once.", err=True)


@command.command(
    "show", epilog=examples("foldlog assets show raw/orders", "foldlog assets show raw/orders --json | jq .metadata")
)
@click.argument("key")
@json_option("One JSON document")
@log_option
def show(target: Target, key: str, as_json: bool) -> None:
    """Show one asset: its metadata, partitions and checks."""
    check_key("KEY", key)
    with existing_instance(target) as instance:
        show_asset(instance, key, as_json=as_json)


def check_key(name: str, text: str | None) -> None:
    """Raise click.BadParameter for a text that is no asset key."""
    from ..events.key import AssetKey

    try:
        AssetKey.from_text(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=name) from error


# -- all assets -------------------------------------------------------------------------------------------------------


def print_assets(records: list[AssetRecord]) -> None:
    """A table of assets."""
    if not records:
        say("no assets")
        return
    table(("asset", "state", "materialized", "partition", "data version", "run"), [_row(record) for record in records])


def _row(record: AssetRecord) -> list[Cell]:
    made = record.materialization
    if made is None:
        return [str(record.asset_key), _state(record), "", "", "", ""]
    return [
        str(record.asset_key),
        _state(record),
        when(made.timestamp_us),
        made.partition,
        made.data_version,
        _run(made.run_id),
    ]


def _state(record: AssetRecord) -> Styled:
    """By the latest of what made it or failed to."""
    made, failed = record.materialization, record.failed
    if failed is not None and (made is None or failed.position > made.position):
        return Styled("FAILED", "red")
    return Styled("MATERIALIZED", "green") if made is not None else Styled("MISSING", "yellow")


def _run(run_id: str | None) -> str:
    if run_id is None:
        return ""
    return run_id[:8] if on_terminal() and len(run_id) == 36 else run_id


def asset_form(record: AssetRecord) -> dict[str, Any]:
    """An asset as JSON."""
    return {
        "asset_key": str(record.asset_key),
        "state": _state(record).text,
        "materialization": _event_form(record.materialization),
        "observation": _event_form(record.observation),
        "planned": _event_form(record.planned),
        "failed": _event_form(record.failed),
        "wiped_us": record.wiped_us,
    }


def _event_form(event: AssetEvent | None) -> dict[str, Any] | None:
    if event is None:
        return None
    return {
        "position": event.position,
        "timestamp_us": event.timestamp_us,
        "partition": event.partition,
        "run_id": event.run_id,
        "step_key": event.step_key,
        "code_version": event.code_version,
        "data_version": event.data_version,
    }


# -- one asset --------------------------------------------------------------------------------------------------------


def show_asset(instance: Instance, key: str, *, as_json: bool = False) -> None:
    """One asset: what the views keep of it, and the metadata as the log has it."""
    found = instance.get_asset_records([key])
    if not found:
        from ..errors import UsageError

        error = UsageError(f"there is no asset {key!r}")
        error.remedy = "List the assets with `foldlog assets`; parts of a key are joined by slashes."
        raise error
    (record,) = found
    partitions = instance.get_asset_partitions(key, limit=MOST)
    checks = _latest(instance.get_asset_checks(key, limit=MOST))
    whole = instance.get_latest_materialization_event(key) if record.materialization else None
    if as_json:
        print_json(
            {
                **asset_form(record),
                "metadata": jsonable(_metadata(whole)),
                "partitions": [partition_form(one) for one in partitions],
                "checks": [_check_form(one) for one in checks],
            }
        )
        return
    say(f"asset {clean(str(record.asset_key))}: {_state(record).text}", "bold")
    _print_latest(record, whole)
    if partitions:
        say()
        print_partitions(partitions)
    _print_checks(checks)
    print_failed_checks([one.event.event.fact for one in checks if one.status == "FAILED" and one.event is not None])


def _latest(checks: list[CheckRecord]) -> list[CheckRecord]:
    """Of each check the last word, by name and partition; they come the newest first."""
    latest: dict[tuple[str, str], CheckRecord] = {}
    for one in checks:
        latest.setdefault((one.check_name, one.partition or ""), one)
    return [latest[name] for name in sorted(latest)]


def _metadata(whole: EventRecord | None) -> dict[str, Any]:
    return getattr(whole.event.fact, "metadata", {}) if whole else {}


def _description(whole: EventRecord | None) -> str | None:
    return getattr(whole.event.fact, "description", None) if whole is not None else None


def _print_latest(record: AssetRecord, whole: EventRecord | None) -> None:
    made = record.materialization
    if made is None:
        say("  never materialized")
        return
    of = f" (partition {made.partition})" if made.partition is not None else ""
    say(clean(f"  materialized {local(made.timestamp_us)}{of} by run {made.run_id or 'none'}"))
    say(clean(f"  data version {made.data_version or '-'}, code version {made.code_version or '-'}"))
    if description := _description(whole):
        say(clean(f"  {description}"))
    if metadata := _metadata(whole):
        say()
        table(("metadata", "value"), [[name, metadata_text(value)] for name, value in metadata.items()])


def print_partitions(partitions: list[PartitionRecord]) -> None:
    """A table of the partitions of one asset, if it has any."""
    rows: list[list[Cell]] = [
        [one.partition, Styled(one.status, _COLOURS.get(one.status, "")), when(one.timestamp_us), _run(one.run_id)]
        for one in partitions
    ]
    if rows:
        table(("partition", "status", "since", "run"), rows)


def _print_checks(checks: list[CheckRecord]) -> None:
    rows: list[list[Cell]] = [
        [one.check_name, one.partition, Styled(one.status, _COLOURS.get(one.status, "")), when(one.timestamp_us)]
        for one in checks
    ]
    if rows:
        say()
        table(("check", "partition", "status", "since"), rows)


def partition_form(one: PartitionRecord) -> dict[str, Any]:
    """A partition of an asset as JSON."""
    return {
        "partition": one.partition,
        "status": one.status,
        "timestamp_us": one.timestamp_us,
        "run_id": one.run_id,
        "position": one.position,
    }


def _check_form(one: CheckRecord) -> dict[str, Any]:
    return {
        "check_name": one.check_name,
        "partition": one.partition,
        "status": one.status,
        "severity": one.severity,
        "description": _description(one.event),
        "metadata": jsonable(one.metadata),
        "timestamp_us": one.timestamp_us,
        "run_id": one.run_id,
    }
