"""A bar for what takes long: how far, how fast, how much longer. On a terminal only; it stands on the error stream.

Not here: what is being done; the library calls back with how far it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Task, TaskID
    from rich.text import Text

Report = Callable[[str, int, int], None]  #: called with what it is about, how far that is, and how far it goes


@contextmanager
def progress(title: str, *, unit: str = "") -> Iterator[Report | None]:
    """What to hand to the library as `progress=`; None where nobody looks. `unit`: what it counts."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}{unit and f' {unit}'}/s" if speed else "", style="progress.data.speed")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"{title} {what}", total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield report
        for task in bar.tasks:  # the last steps are not always reported
            bar.update(task.id, completed=task.total)
