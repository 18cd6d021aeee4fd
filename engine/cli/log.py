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
    from ..events.event import Event
    from ..log.log import EventLog, EventRecord

PAGE = 1000
STEPS_SHOWN = 20
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


#: types of events that have no level of their own, and are as grave as a log line of this one
GRAVITY = {
    "STEP_FAILURE": 40,
    "RUN_FAILURE": 40,
    "RESOURCE_INIT_FAILURE": 40,
    "STEP_UP_FOR_RETRY": 30,
    "HOOK_ERRORED": 30,
}


class RunLogFilter(NamedTuple):
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
        return self.level is None or level_of(event) >= self.level


def level_of(event: Event[Any]) -> int:
    """How grave an event is, as levels of the standard logging: its own level, or what its type says; 0: not at all."""
    if event.level is not None:
        return event.level
    fact: Any = event.fact
    if event.type == "ASSET_CHECK_EVALUATION":
        return 0 if fact.passed else LEVELS["WARNING" if fact.severity == "WARN" else "ERROR"]
    if event.type == "ENGINE_EVENT" and fact.error is not None:
        return LEVELS["WARNING"]
    return GRAVITY.get(event.type, 0)


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
    help="Only log lines of this level or a higher one, and what is as grave: failures are ERROR, retries WARNING.",
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
    wanted = RunLogFilter(kinds, step, LEVELS[level.upper()] if level else None, after, most)
    with existing_log(target) as log:
        shard = find_run(log, run_id)
        if step is not None and not follow:
            _check_step(log, shard, step)
        more = None
        for record in _records(log, shard, wanted, follow=follow):
            if isinstance(record, int):
                more = record
                break
            if as_json:
                print_json(record_form(record), one_line=True)
            else:
                click.echo(_line(record), color=True if in_colour() else None)
    if more is not None:
        say(f"There are more: --after {more} goes on, --limit shows more at once.", err=True)


def _check_step(log: EventLog, shard: str, step: str) -> None:
    """Raise UsageError for a step that nothing in the run is of."""
    from ..config.place import meant
    from ..errors import fault

    steps: dict[str, None] = {}
    seq = 0
    while not (page := log.read_shard(shard, after_seq=seq, limit=PAGE)).at_end or page.records:
        steps |= dict.fromkeys(record.event.step_key for record in page.records if record.event.step_key is not None)
        if step in steps or page.at_end:
            break
        seq = page.next_seq
    if step not in steps:
        there = ", ".join(list(steps)[:STEPS_SHOWN]) + (" ..." if len(steps) > STEPS_SHOWN else "")
        raise fault(
            f"run {shard} has no event of a step {step!r}{meant(step, steps)}",
            f"It has events of {there}." if steps else "It has no event of any step.",
        )


def _records(log: EventLog, shard: str, wanted: RunLogFilter, *, follow: bool) -> Iterator[EventRecord | int]:
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
    level = logging.getLevelName(grave) if (grave := level_of(event)) else ""
    parts = (
        f"{record.seq:>6}",
        local(event.timestamp_us),
        kind_text(event.type),
        clean(f"{event.step_key or '-':<10}"),
        f"{level:<8}",
        line(gist(event)),
    )
    return "  ".join(parts).rstrip()
