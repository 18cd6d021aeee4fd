"""Which partitions a command line means: `--partition` with a key, with several, with ranges, or all of that mixed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from ..definitions.job import JobDefinition
    from ..instance import Instance

F = TypeVar("F", bound=Callable[..., Any])
RANGE = ".."  #: between the first and the last key of a range
MEANING = "Without FIRST from the first there is, without LAST to the last. Repeated, or of several, a run each."


class Partitions(NamedTuple):
    """The partitions that a job is to be executed for."""

    one: str | None = None  #: a single run is meant, of this one, or of none
    several: list[str] | None = None  #: a backfill is meant, of these

    @property
    def first(self) -> str | None:
        """What a check of the rest of the command line can be made with."""
        return self.several[0] if self.several else self.one


def partition_options(function: F) -> F:
    """`--partition` and `--stop-on-failure`, handed to the command as `partitions` and `stop_on_failure`."""
    for option in (
        click.option("--stop-on-failure", is_flag=True, help="Of several partitions: none behind one that fails."),
        click.option(
            "--partition", "partitions", multiple=True, metavar="KEY|FIRST..LAST", help=f"The partition. {MEANING}"
        ),
    ):
        function = option(function)
    return function


def partitions_meant(
    instance: Instance, job: JobDefinition, given: tuple[str, ...], *, stop_on_failure: bool = False
) -> Partitions:
    """The partitions of a job that are meant, each once, in the order in which they are named.

    Raises UsageError for a range that cannot be; whether there is a single key is asked when its run is checked.
    """
    found: dict[str, None] = {}
    for text in given:
        found |= dict.fromkeys(_in_range(instance, job, text) or [text])
    are_several = len(found) > 1 or any(_is_range(instance, job, text) for text in given)
    if are_several and job.partitions_def is not None:
        return Partitions(several=list(found))
    if stop_on_failure:
        raise click.UsageError(f"--stop-on-failure is about several partitions: give --partition FIRST{RANGE}LAST")
    return Partitions(one=next(iter(found), None))


def _in_range(instance: Instance, job: JobDefinition, text: str) -> list[str]:
    from ..execution.backfill import partition_range

    if not _is_range(instance, job, text):
        return []
    first, _, last = text.partition(RANGE)
    return list(partition_range(instance, job, first or None, last or None))


def _is_range(instance: Instance, job: JobDefinition, text: str) -> bool:
    """Whether a text is a range; a key may have the two dots in it, too."""
    from ..execution.run_context import has_partition

    partitions = job.partitions_def
    if RANGE not in text or partitions is None:
        return False
    return not has_partition(instance, partitions, text, datetime.now(UTC))
