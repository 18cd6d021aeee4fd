"""`foldlog log`: the events of one run, from the log itself, and what comes after them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .forms import gist, record_form
from .opening import existing_log, find_run
from .options import Target, examples, json_option, log_option
from .show import clean, in_colour, line, local, print_json, say
from .tail import SLOWEST_S, doubt, kind_text, sleep

if TYPE_CHECKING:
    from ..log.log import EventLog, EventRecord

PAGE = 1000
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Wanted(NamedTuple):
    """Which events of a run."""

    types: frozenset[str] | None
    step: str | None
    level: int | None
    after: int
    limit: int | None  #: None: all

    def has(self, record: EventRecord) -> bool:
        """Whether an event of the wanted types is one of these."""
        event = record.event
        if self.step is not None and event.step_key != self.step:
            return False
        return self.level is None or (event.level is not None and event.level >= self.level)


@click.command(
    "log",
    epilog=examples(
        "foldlog log 4f1c",
        "foldlog log 4f1c --step extract --level WARNING",
        "foldlog log 4f1c --type STEP_FAILURE --type RUN_FAILURE",
        "foldlog log 4f1c --after 1000 --limit 100",
        "foldlog log 4f1c -f --json | your-program",
    ),
)
@click.argument("run_id")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type; may be repeated.")
@click.option("--step", metavar="KEY", help="Only events of this step.")
@click.option(
    "--level",
    type=click.Choice(list(LEVELS), case_sensitive=False),
    help="Only what has this level or a higher one, as log lines do.",
)
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Only what comes behind this number.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many at most; 1000 by default, all with -f.")
@click.option("-f", "--follow", is_flag=True, help="Then wait for more, until Ctrl-C.")
@json_option("One JSON object a line")
@log_option
def command(
    target: Target,
    run_id: str,
    types: tuple[str, ...],
    step: str | None,
    level: str | None,
    after: int,
    limit: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Print the events of one run.

    The oldest first, each under its number in the run, which --after takes. RUN_ID may be the beginning of an id. What
    is not yet on the timeline shows as well. Of a deleted run, what it did to assets is left.
    """
    kinds = frozenset(name.strip().upper() for name in types) or None
    doubt(kinds or frozenset())
    most = limit if limit is not None or follow else PAGE
    wanted = Wanted(kinds, step, LEVELS[level.upper()] if level else None, after, most)
    with existing_log(target) as log:
        more = None
        for record in _records(log, find_run(log, run_id), wanted, follow=follow):
            if isinstance(record, int):
                more = record
                break
            if as_json:
                print_json(record_form(record), one_line=True)
            else:
                click.echo(_line(record), color=True if in_colour() else None)
    if more is not None:
        say(f"There are more: --after {more} goes on, --limit shows more at once.", err=True)


def _records(log: EventLog, shard: str, wanted: Wanted, *, follow: bool) -> Iterator[EventRecord | int]:
    """The events; last the number to go on behind, if there are more than the limit."""
    log.catch_up()  # so that each has its position
    seq, given, pause = wanted.after, 0, 0.01
    while True:
        page = log.read_shard(shard, after_seq=seq, limit=PAGE, types=wanted.types)
        for record in filter(wanted.has, page.records):
            if given == wanted.limit:
                yield seq
                return
            yield record
            given += 1
            seq = record.seq
        seq = max(seq, page.next_seq)
        if not page.at_end:
            continue
        if not follow:
            return
        pause = 0.01 if page.records else min(pause * 2, SLOWEST_S)
        sleep(pause)


def _line(record: EventRecord) -> str:
    event: Any = record.event
    level = logging.getLevelName(event.level) if event.level is not None else ""
    parts = (
        f"{record.seq:>6}",
        local(event.timestamp_us),
        kind_text(event.type),
        clean(f"{event.step_key or '-':<10}"),
        f"{level:<8}",
        line(gist(event)),
    )
    return "  ".join(parts).rstrip()
