"""`foldlog delete-run`: a run goes for good."""

from __future__ import annotations

import sys

import click

from .opening import existing_instance, find_run
from .options import Target, examples, json_option, log_option
from .show import clean, local, print_json, say


@click.command(
    "delete-run",
    epilog=examples(
        "foldlog delete-run 4f1c",
        "foldlog delete-run 4f1c2a7e-0b9d-4a43-8f0e-9d3f3a0f6d11 --yes",
        "foldlog delete-run 4f1c --drop-assets",
    ),
)
@click.argument("run_id")
@click.option("--drop-assets", is_flag=True, help="Forget also what the run did to assets; else that is kept.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@json_option("One JSON document")
@log_option
def command(target: Target, run_id: str, drop_assets: bool, yes: bool, as_json: bool) -> None:
    """Delete a run for good and free its storage.

    Its events are gone from every view and from the timeline, where they leave a purged range; positions stay as they
    are, and the run id is never used again. RUN_ID may be the beginning of an id.
    """
    with existing_instance(target, write=True) as instance:
        run_id = find_run(instance.log, run_id)
        record = instance.get_run_record_by_id(run_id)
        what = f"run {run_id}"
        if record is not None:
            what += f" of {record.run.job_name}, {record.run.status}, created {local(record.created_us)}"
        if not yes:
            _confirm(clean(what), drop_assets=drop_assets, finished=record is None or record.run.is_finished)
        instance.delete_run(run_id, keep_assets=not drop_assets)
    if as_json:
        print_json({"run_id": run_id, "deleted": True, "assets_kept": not drop_assets})
    else:
        say(f"deleted run {clean(run_id)}; what it did to assets is {'forgotten too' if drop_assets else 'kept'}")


def _confirm(what: str, *, drop_assets: bool, finished: bool) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm: give --yes to delete the run")
    if not finished:
        say("This run is not over; its worker will not be able to report any more.", err=True)
    assets = "and forget what it did to assets" if drop_assets else "and keep what it did to assets"
    if not click.confirm(f"Delete {what}, {assets}? This cannot be undone", err=True):
        say("nothing was deleted", err=True)
        raise click.exceptions.Exit(1)
