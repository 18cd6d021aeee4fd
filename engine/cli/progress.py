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

Report = Callable[[str, int, int], None]  #: called with the view, the position it has reached, and that of the head


@contextmanager
def progress(title: str) -> Iterator[Report | None]:
    """What to hand to the library as `progress=`; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} events/s" if speed else "", style="progress.data.speed")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(view: str, position: int, head: int) -> None:
            if view not in tasks:
                tasks[view] = bar.add_task(f"{title} {view}", total=head)
            bar.update(tasks[view], completed=position, total=head)

        yield report
