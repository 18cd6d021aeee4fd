"""`foldlog tail`: the end of the timeline, or of one run, and what comes after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from ..errors import UnavailableError
from .forms import gist, record_form
from .opening import existing_log, find_run
from .options import Target, examples, json_option, log_option
from .show import clean, in_colour, line, local, print_json, say

if TYPE_CHECKING:
    from ..log.log import EventLog, EventRecord, Purged

PAGE = 1000
SLOWEST_S = 0.25  #: the longest pause between two looks at a run that is followed
_LOUD = {"FAILURE": "red", "FAILED": "red", "SUCCESS": "green", "RETRY": "yellow", "DELETED": "magenta"}


class Wanted(NamedTuple):
    """Which part of the timeline."""

    last: int | None  #: so many records, from the end; None: all
    after: str | None  #: those behind this cursor
    types: frozenset[str] | None
    shard: str | None
    follow: bool


@click.command(
    "tail",
    epilog=examples(
        "foldlog tail",
        "foldlog tail -n 100 --types STEP_FAILURE,RUN_FAILURE",
        "foldlog tail -f --url postgresql://user@host/name",
        "foldlog tail --run 4f1c -n 0 -f",
        "foldlog tail --json --after v1:... -f | your-program",
    ),
)
@click.option(
    "-n",
    "--lines",
    "last",
    type=click.IntRange(0, 1_000_000),
    metavar="N",
    help="The last N events; 20 by default, all that follow with --after.",
)
@click.option("-f", "--follow", is_flag=True, help="Then wait for more, until Ctrl-C.")
@click.option(
    "--after", metavar="CURSOR", help="Only what comes behind this cursor, which an earlier call has printed."
)
@click.option("--types", metavar="A,B", help="Only events of these types, as STEP_START,RUN_FAILURE.")
@click.option("--run", "run_id", metavar="RUN_ID", help="Only this run; the beginning of its id is enough.")
@json_option("One JSON object a line, each with the cursor to resume behind it")
@log_option
def command(
    target: Target,
    last: int | None,
    follow: bool,
    after: str | None,
    types: str | None,
    run_id: str | None,
    as_json: bool,
) -> None:
    """Print the end of the timeline, and follow it with -f.

    Ends with the cursor to resume from (on the error stream): `foldlog tail --after CURSOR` goes on behind the last
    event printed, and misses none. Events that were deleted with their run show as one purged range.
    """
    kinds = frozenset(kind.strip().upper() for kind in types.split(",") if kind.strip()) if types else None
    if after is not None and last is not None:
        raise click.UsageError("--lines counts from the end and --after from a cursor: give one of them")
    doubt(kinds or frozenset())
    with existing_log(target) as log:
        shard = find_run(log, run_id) if run_id is not None else None
        last = last if last is not None or after is not None else 20
        _print(log, Wanted(last, after, kinds, shard, follow), as_json=as_json)


def doubt(types: frozenset[str]) -> None:
    """Say which types are none of foldlog's own; they may be of a program that registers its own."""
    from difflib import get_close_matches

    from ...serdes.kinds import BUILT_IN

    for name in sorted(types - set(BUILT_IN)):
        meant = get_close_matches(name, BUILT_IN, n=1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        say(f"foldlog: {clean(name)} is no type of event of foldlog's own{hint}", err=True)


def _print(log: EventLog, wanted: Wanted, *, as_json: bool) -> None:
    cursor = str(log.cursor()) if wanted.after is None else wanted.after
    try:
        for record in _of_shard(log, wanted) if wanted.shard else _of_timeline(log, wanted):
            behind = cursor if record.position is None else str(log.cursor(record.position))
            if as_json:
                print_json({**_form(record), "cursor": behind}, one_line=True)
            else:
                click.echo(_line(record), color=True if in_colour() else None)
            cursor = behind
    except (KeyboardInterrupt, BrokenPipeError, UnavailableError):
        _print_cursor(cursor, as_json)
        raise
    _print_cursor(cursor, as_json)


def _print_cursor(cursor: str, as_json: bool) -> None:
    if not as_json:  # there it is in every line
        click.echo(f"cursor: {cursor}", err=True)


# -- which records ----------------------------------------------------------------------------------------------------


def _of_timeline(log: EventLog, wanted: Wanted) -> Iterator[EventRecord | Purged]:
    """What is there, then what comes."""
    after: str | None
    if wanted.last is None:
        after = wanted.after
    else:
        records, after = _last(log, wanted.last, wanted.types)
        yield from records
    if wanted.follow:
        with log.follow(after=after, types=wanted.types, page=PAGE) as follower:
            yield from follower
    elif wanted.last is None:
        page = log.read(after=after, limit=PAGE, types=wanted.types)
        yield from page.records
        while not page.at_head:
            page = log.read(after=page.cursor, limit=PAGE, types=wanted.types)
            yield from page.records


def _last(log: EventLog, count: int, types: frozenset[str] | None) -> tuple[list[EventRecord | Purged], str]:
    """The last `count` records, and the cursor behind them: looks back from the head, further each time."""
    head = log.catch_up().position
    end = log.cursor(head)
    span = max(count, 1)
    while True:
        start = max(head - span, 0)
        found: deque[EventRecord | Purged] = deque(maxlen=count)
        after = log.cursor(start)
        while count:
            page = log.read(after=after, limit=PAGE, types=types)
            found.extend(record for record in page.records if (record.position or 0) <= head)
            after = page.cursor
            if page.at_head or after.position >= head:
                break
        # Without a filter each position is a record; purged ranges are worth one each, and are not looked behind.
        if len(found) == count or start == 0 or types is None:
            return list(found), end
        span *= 8


def _of_shard(log: EventLog, wanted: Wanted) -> Iterator[EventRecord]:
    """One run: its shard is read by itself, so what is not yet on the timeline shows at once."""
    assert wanted.shard is not None
    log.catch_up()
    seq = 0
    passed = _position(log, wanted.after) if wanted.after is not None else 0
    if wanted.last is not None:
        # The end first: what is appended after this look is found by the next one, or behind `seq`.
        tip = log.read_shard(wanted.shard, limit=1, newest_first=True).records
        newest = _newest(log, wanted.shard, wanted.last, wanted.types)
        yield from reversed(newest)
        seq = max([record.seq for record in [*tip, *newest[:1]]], default=0)
    pause = 0.01
    while wanted.follow or wanted.last is None:
        page = log.read_shard(wanted.shard, after_seq=seq, limit=PAGE, types=wanted.types)
        fresh = [record for record in page.records if record.position is None or record.position > passed]
        yield from fresh
        seq = max(seq, page.next_seq)
        if not page.at_end:
            continue
        if not wanted.follow:
            return
        pause = 0.01 if fresh else min(pause * 2, SLOWEST_S)
        sleep(pause)


def _newest(log: EventLog, shard: str, count: int, types: frozenset[str] | None) -> list[EventRecord]:
    """The last `count` events of a shard, the newest first."""
    found: list[EventRecord] = []
    seq = 0
    while len(found) < count:
        page = log.read_shard(shard, after_seq=seq, limit=min(count - len(found), PAGE), types=types, newest_first=True)
        found += page.records
        seq = page.next_seq
        if page.at_end or seq <= 1:
            break
    return found


def _position(log: EventLog, cursor: str) -> int:
    """Where a cursor stands, once the log has accepted it."""
    from ..log.cursor import Cursor

    log.read(after=cursor, limit=1)
    return Cursor(cursor).position


def sleep(seconds: float) -> None:
    """Rest between two looks at a run that is followed."""
    import time

    time.sleep(seconds)


# -- how they look ----------------------------------------------------------------------------------------------------


def _form(record: EventRecord | Purged) -> dict[str, object]:
    from ..log.log import Purged

    if isinstance(record, Purged):
        return {"kind": "purged", "first_position": record.first_position, "last_position": record.last_position}
    return {"kind": "event", **record_form(record)}


def _line(record: EventRecord | Purged) -> str:
    from ..log.log import Purged

    if isinstance(record, Purged):
        first, last = record.first_position, record.last_position
        return f"{f'{first}-{last}':>9}  purged: {last - first + 1} events deleted with their runs"
    event = record.event
    kind = kind_text(event.type)
    place = "" if record.position is None else str(record.position)
    where = f"{_short(record.shard):<9}"
    parts = (
        f"{place:>9}",
        local(event.timestamp_us),
        clean(where),
        kind,
        clean(f"{event.step_key or '-':<10}"),
        line(gist(event)),
    )
    return "  ".join(parts).rstrip()


def kind_text(type: str) -> str:
    """A type in its column, in its colour."""
    kind = f"{type:<29}"
    if in_colour() and (colour := next((c for word, c in _LOUD.items() if word in type), None)):
        kind = click.style(kind, fg=colour)
    return kind


def _short(shard: str) -> str:
    """A run id that is a UUID by its beginning, any other name whole."""
    return shard[:8] if len(shard) == 36 and shard.count("-") == 4 else shard
