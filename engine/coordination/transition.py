"""A step in the life of a run, decided on what the run is and recorded only if it still is that.

Two processes may decide at once: one cancels, one dequeues. Each append expects the seq that its decision was made on,
so the second finds the run as the first left it, and decides again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from ..errors import ConflictError, UnavailableError, UsageError
from ..events.event import Event, Fact
from ..log.port import ANY, Expected

if TYPE_CHECKING:
    from ..views.records import Run
    from .part import Deployment

RETRY_PAUSES_S = (0.1, 0.5, 2.0)  #: between tries while the store gives no answer, each with the same key
TRIES = 100  #: a run that prints a line between each look and append is lost that often, and no more

Decide = Callable[["Run"], Sequence[Fact]]


def existing(instance: Deployment, run_id: str) -> Run:
    """The run. Raises UsageError if there is none."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        raise UsageError(f"there is no run {run_id}")
    return run


def transition(instance: Deployment, run_id: str, decide: Decide) -> bool:
    """Append the facts that `decide` gives for the run as it is, together; False if it gives none.

    Raises UsageError if there is no such run, ConflictError if others append to it faster than this can decide.
    """
    for _ in range(TRIES):
        # The seq first: the status read after it may be of a later event, and then the append does not land.
        last = instance.log.read_shard(run_id, newest_first=True, limit=1).records
        facts = decide(existing(instance, run_id))
        if not facts:
            return False
        try:
            record(instance, run_id, facts, expected=last[0].seq if last else 0)
        except ConflictError as error:
            if type(error) is not ConflictError:  # purged: it does not come back
                raise
            continue
        return True
    raise ConflictError(f"run {run_id} changed {TRIES} times while it was decided on")


def record(instance: Deployment, run_id: str, facts: Sequence[Fact], *, expected: Expected = ANY) -> None:
    """Append facts that happen now, once, also if an answer is lost. Raises what `append` raises."""
    events, key = [Event.now(fact) for fact in facts], uuid4()
    for pause_s in (*RETRY_PAUSES_S, None):
        try:
            instance.log.append(run_id, events, expected=expected, key=key)
            return
        except UnavailableError:
            if pause_s is None:
                raise
            time.sleep(pause_s)
