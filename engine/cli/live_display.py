"""A run on a terminal: a line for each step that runs or has ended, drawn anew as it goes on.

Of a run of many steps: those that run, those that failed last, and a bar with counts. What steps print and log appears
above it.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from .run_display import Display, event_line
from .show import line, took
from .step_tally import INTERRUPTED, RUNNING, WAITING, StepState

if TYPE_CHECKING:
    from ..events.event import Event

FEW: Final = 20  #: steps of a run up to which each has a line
FAILED_SHOWN: Final = 5
INFO: Final = 20  #: log lines of this level and above are shown
STYLES: Final = {"SUCCESS": "green", "FAILURE": "red", WAITING: "yellow", RUNNING: "cyan", INTERRUPTED: "magenta"}


class LiveDisplay(Display):
    """Draws on the error stream, and leaves the last state there."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True, highlight=False)
        self._spinner = Spinner("line")  # of plain characters: every terminal has them
        self._live = Live(self, console=self._console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)  # before the last state is drawn, which stays there
        self._live.stop()

    def listen(self, event: Event[Any]) -> None:
        super().listen(event)
        if event.type == "LOG_MESSAGE" and event.fact.level >= INFO:
            self.say(event_line(event))

    def say(self, text: str) -> None:
        self._console.print(Text(line(text)))

    def __rich__(self) -> Group:
        """What is drawn, as of now."""
        steps, total = self.tally.steps, self.tally.total
        parts: list[Any] = [Text(line(self.title), style="bold")] if self.title else []
        if total > FEW:
            failed = [one for one in steps if one.status == "FAILURE"][-FAILED_SHOWN:]
            steps_shown = [one for one in steps if one.status in (RUNNING, WAITING)] + failed
            parts += [self._table(steps_shown[: max(3, self._console.height - 4)]), self._bar(steps, total)]
        elif steps:
            parts.append(self._table(steps))
        return Group(*parts)

    def _table(self, steps: list[StepState]) -> Table:
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        for one in steps:
            running = one.status == RUNNING
            self._spinner.style = STYLES[RUNNING]
            table.add_row(
                Text(line(one.key)),
                self._spinner if running else Text(one.status, style=STYLES.get(one.status, "bright_black")),
                Text(took(int(one.elapsed * 1e6)) if one.attempts else ""),
                Text(f"attempt {one.attempts}" if one.attempts > 1 else "", style="yellow"),
            )
        return table

    def _bar(self, steps: list[StepState], total: int) -> Table:
        counts = Counter(one.status for one in steps)
        done = sum(count for status, count in counts.items() if status not in (RUNNING, WAITING))
        words = [f"{count} {status.lower()}" for status, count in sorted(counts.items()) if status != RUNNING]
        table = Table.grid(padding=(0, 2))
        table.add_row(
            ProgressBar(total=total, completed=done, width=30),
            Text(f"{done} of {total} steps"),
            Text(", ".join(words)),
            Text(took(int(self.tally.seconds * 1e6))),
        )
        return table
