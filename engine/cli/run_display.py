"""A run while it goes on: plain lines for files and pipes, nothing, or (live_display.py) a table on a terminal.

Everything here goes to the error stream; the answer of the command is on the other. Nothing that fails here may reach
the run: whoever stops reading misses lines.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from .forms import error_line, gist
from .show import line, took
from .step_tally import StepTally

if TYPE_CHECKING:
    from ..definitions.job import JobDefinition
    from ..events.event import Event

#: what no person follows a run by; `foldlog log RUN` has every event
UNSAID = frozenset({
    "STEP_INPUT", "STEP_OUTPUT", "LOADED_INPUT", "HANDLED_OUTPUT", "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_CHECK_EVALUATION_PLANNED", "RESOURCE_INIT_STARTED", "HOOK_SKIPPED", "RUN_CREATED", "RUN_START",
})  # fmt: skip


class Display:
    """Shows nothing, and keeps the tally of the run that is under way."""

    def __init__(self) -> None:
        self.tally = StepTally(set())
        self.is_recorded = False  #: whether there is a run in the log
        self.title = ""  #: of the run that is under way, once it is in the log: what is refused has no run id
        self._next_title = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show it no more. What is not over is not going to be."""
        self.tally.interrupt()

    def begin(self, job: JobDefinition, title: str) -> None:
        """A run is about to be created, and then to be shown under this title."""
        self.title, self._next_title = "", title
        self.tally = StepTally({key for key, step in job.steps.items() if step.mapped_over is None})

    def report(self, key: str, what: str, seconds: float) -> None:
        """A step has begun, ended, or is to be tried again."""
        self.tally.report(key, what, seconds)

    def listen(self, event: Event[Any]) -> None:
        """Something was recorded; called by any thread."""
        if event.type == "RUN_CREATED":
            self.is_recorded = True
            self.title = self._next_title
            self.tally.plan(event.fact.step_keys)

    def say(self, text: str) -> None:
        """A line between runs."""


class PlainDisplay(Display):
    """A line an event, with the time."""

    _unread = False  #: nobody reads the lines any more

    def listen(self, event: Event[Any]) -> None:
        super().listen(event)
        if event.type == "RUN_CREATED":
            self.say(self.title)
        if event.type not in UNSAID:
            self._write(event.timestamp_us, event_line(event))

    def say(self, text: str) -> None:
        self._write(None, text)

    def _write(self, timestamp_us: int | None, text: str) -> None:
        if self._unread:
            return
        moment = datetime.now() if timestamp_us is None else datetime.fromtimestamp(timestamp_us / 1e6)
        try:
            click.echo(f"{moment:%H:%M:%S} {line(text)}", err=True)
        except (OSError, ValueError):  # nobody reads it any more, or it is closed: no reason for the run to fail
            self._unread = True


def event_line(event: Event[Any]) -> str:
    """What an event says to who follows a run, in one line."""
    fact: Any = event.fact
    text = _words(event.type, fact)
    if text is None:
        text = f"{event.type.lower().replace('_', ' ')} {gist(event)}".rstrip()
    return f"step {event.step_key} {text}" if event.step_key else text


def _words(kind: str, fact: Any) -> str | None:
    match kind:
        case "RESOURCE_INIT_SUCCESS":
            return f"resources are ready: {', '.join(fact.resource_keys)}"
        case "STEP_START":
            return "started"
        case "STEP_RESTARTED":
            return f"started again, attempt {fact.attempt}"
        case "STEP_SUCCESS":
            return f"succeeded in {took(fact.duration_us)}"
        case "STEP_FAILURE":
            return f"failed after {took(fact.duration_us)}: {_error(fact)}"
        case "STEP_UP_FOR_RETRY":
            return f"failed, and is tried again in {took(fact.wait_us)}: {_error(fact)}"
        case "STEP_SKIPPED":
            return f"skipped: {fact.reason}"
        case "ASSET_MATERIALIZATION":
            return f"materialized {_made(fact)}"
        case "ASSET_CHECK_EVALUATION":
            return f"checked {_made(fact)}: {fact.check_name} {'passed' if fact.passed else 'DID NOT PASS'}"
        case "ASSET_FAILED_TO_MATERIALIZE":
            return f"not made: {_made(fact)}"
        case "LOG_MESSAGE":
            return f"{_level(fact.level)} {fact.text}"
        case "ENGINE_EVENT":
            return str(fact.text)
        case "RUN_SUCCESS":
            return "run succeeded"
        case "RUN_FAILURE":
            return "run failed"
        case "RUN_CANCELING":
            return "run is to be canceled"
        case "RUN_CANCELED":
            return "run canceled"
    return None


def _made(fact: Any) -> str:
    return f"{fact.asset_key}[{fact.partition}]" if fact.partition is not None else str(fact.asset_key)


def _error(fact: Any) -> str:
    return error_line(fact.error) if fact.error is not None else "no error was told"


def _level(level: int) -> str:
    from logging import getLevelName

    return str(getLevelName(level))


def display_for(*, plain: bool, silent: bool, as_json: bool) -> Display:
    """What suits whoever looks."""
    if silent:
        return Display()
    if plain or not _is_live(as_json=as_json):
        return PlainDisplay()
    from .live_display import LiveDisplay

    return LiveDisplay()


def _is_live(*, as_json: bool) -> bool:
    """Whether a person looks at a terminal that can be drawn on; and what steps print goes there, too."""
    if not sys.stderr.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return False
    return as_json or (sys.stdout is not None and sys.stdout.isatty())
