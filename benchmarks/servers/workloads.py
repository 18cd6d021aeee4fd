"""The workloads on a server, by the names `foldlog bench NAME --url URL` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ..contest import Outcome
from . import appending, copying, following, questions, reading
from .server import Place, Server

AtPlace = Callable[[Place, Path, int], Iterator[Outcome]]
Workload = Callable[[Server, Path, int], Iterator[Outcome]]


def _placed(work: AtPlace) -> Workload:
    """A workload that needs one new place."""

    def run(server: Server, folder: Path, rounds: int) -> Iterator[Outcome]:
        with server.place() as place:
            yield from work(place, folder, rounds)

    return run


def workloads(sizes: tuple[int, ...] = (), others: Sequence[Server] = ()) -> dict[str, Workload]:
    """By name. `sizes`: of the histories that `flat` asks beside the small one, in events. `others`: to copy to."""
    return {
        "append": _placed(appending.single_appends),
        "batch": _placed(appending.batches),
        "processes": _placed(appending.four_processes),
        "read": _placed(reading.reading),
        "space": _placed(appending.space),
        "questions": _placed(questions.questions),
        "follow": _placed(following.follow),
        "copy": partial(copying.copy, others=others),
        "flat": partial(questions.flat, sizes=sizes),
    }
