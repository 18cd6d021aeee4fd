"""`foldlog assets`: the assets there are; `foldlog assets KEY`: one with its metadata, partitions and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .forms import jsonable, metadata_text
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .show import Cell, Styled, clean, local, on_terminal, print_json, say, table, when

if TYPE_CHECKING:
    from ..instance import Instance
    from ..log.log import EventRecord
    from ..views.records import AssetEvent, AssetRecord, CheckRecord, PartitionRecord

MOST = 1000  #: partitions and checks shown of one asset
_COLOURS = {"MATERIALIZED": "green", "PASSED": "green", "FAILED": "red", "MISSING": "yellow", "IN_PROGRESS": "yellow"}


@click.command(
    "assets",
    epilog=examples(
        "foldlog assets",
        "foldlog assets --prefix raw",
        "foldlog assets raw/orders",
        "foldlog assets --json | jq -r '.assets[].asset_key'",
    ),
)
@click.argument("key", required=False)
@click.option("--prefix", metavar="KEY", help="Only assets below this key.")
@click.option("--limit", type=click.IntRange(1, 9_999), default=100, show_default=True, help="So many at most.")
@click.option("--after", metavar="KEY", help="Go on behind this key; assets are listed in the order of their keys.")
@json_option("One JSON document")
@log_option
def command(target: Target, key: str | None, prefix: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List assets, or show one with its metadata and partitions.

    KEY is written with slashes between its parts, as raw/orders.
    """
    if key is not None and (prefix or after):
        raise click.UsageError("KEY names one asset; --prefix and --after choose among all")
    for name, text in (("KEY", key), ("--prefix", prefix), ("--after", after)):
        check_key(name, text)
    with existing_instance(target) as instance:
        if key is not None:
            show_asset(instance, key, as_json=as_json)
            return
        records = instance.get_asset_records(prefix=prefix, limit=limit + 1, cursor=after)
    more, records = len(records) > limit, records[:limit]
    if as_json:
        print_json({"assets": [asset_form(record) for record in records], "more": more})
        return
    print_assets(records)
    if more:
        say(f"There are more: --after {records[-1].asset_key} goes on, --limit shows more at once.", err=True)


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
    whole = _whole(instance, record.materialization)
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


def _latest(checks: list[CheckRecord]) -> list[CheckRecord]:
    """Of each check the last word, by name and partition; they come the newest first."""
    latest: dict[tuple[str, str], CheckRecord] = {}
    for one in checks:
        latest.setdefault((one.check_name, one.partition or ""), one)
    return [latest[name] for name in sorted(latest)]


def _whole(instance: Instance, made: AssetEvent | None) -> EventRecord | None:
    """The event that a view's row came from, as it was recorded."""
    if made is None:
        return None
    records = instance.log.read_shard(made.shard, after_seq=made.seq - 1, limit=1).records
    return records[0] if records and records[0].seq == made.seq else None


def _metadata(whole: EventRecord | None) -> dict[str, Any]:
    return getattr(whole.event.fact, "metadata", {}) if whole else {}


def _print_latest(record: AssetRecord, whole: EventRecord | None) -> None:
    made = record.materialization
    if made is None:
        say("  never materialized")
        return
    of = f" (partition {made.partition})" if made.partition is not None else ""
    say(clean(f"  materialized {local(made.timestamp_us)}{of} by run {made.run_id or 'none'}"))
    say(clean(f"  data version {made.data_version or '-'}, code version {made.code_version or '-'}"))
    if description := getattr(whole.event.fact, "description", None) if whole else None:
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
        "timestamp_us": one.timestamp_us,
        "run_id": one.run_id,
    }
