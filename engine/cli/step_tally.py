"""What became of each step of a run, as it is told while the run goes on. For displays and summaries."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

RUNNING, WAITING, INTERRUPTED = "RUNNING", "UP_FOR_RETRY", "INTERRUPTED"


@dataclass
class StepState:
    """One step so far."""

    key: str
    status: str = RUNNING  #: RUNNING, UP_FOR_RETRY, INTERRUPTED, or an outcome: SUCCESS, FAILURE, SKIPPED, ABANDONED
    attempts: int = 0
    seconds: float = 0.0  #: of all attempts that have ended
    since: float = field(default_factory=time.monotonic)  #: of the attempt that is under way

    @property
    def elapsed(self) -> float:
        """Seconds of work so far."""
        return self.seconds + (time.monotonic() - self.since if self.status == RUNNING else 0.0)

    def form(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "step_key": self.key,
            "outcome": self.status,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 6),
        }


class StepTally:
    """The steps of one run, in the order in which they were begun. Read by the thread that draws, too."""

    def __init__(self, planned: set[str]) -> None:
        self._planned = (
            planned  #: keys that are known before the run; mapped steps show with their keys when they begin
        )
        self._steps: dict[str, StepState] = {}
        self._lock = threading.Lock()
        self._since = time.monotonic()

    def report(self, key: str, what: str, seconds: float) -> None:
        """As execution reports it: the key of a step, `START`, `RETRY` or its outcome, and seconds."""
        with self._lock:
            state = self._steps.setdefault(key, StepState(key))
            if what == "START":
                state.status, state.attempts, state.since = RUNNING, state.attempts + 1, time.monotonic()
            else:
                state.status = WAITING if what == "RETRY" else what
                state.seconds += seconds

    def interrupt(self) -> None:
        """The run is over, or nobody looks any more: what has no end has been interrupted."""
        with self._lock:
            for state in self._steps.values():
                if state.status in (RUNNING, WAITING):
                    state.seconds, state.status = state.elapsed, INTERRUPTED

    def plan(self, step_keys: tuple[str, ...] | None) -> None:
        """The run executes only these; None: all."""
        if step_keys is not None:
            self._planned &= {key.partition("[")[0] for key in step_keys}

    @property
    def steps(self) -> list[StepState]:
        with self._lock:
            return list(self._steps.values())

    @property
    def total(self) -> int:
        """How many steps there are, as far as is known."""
        with self._lock:
            return len(self._planned | self._steps.keys())

    @property
    def seconds(self) -> float:
        """Since the run was begun."""
        return time.monotonic() - self._since
