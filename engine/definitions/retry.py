"""How often, and how soon, a step is tried again; and how user code asks for it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..errors import fault

MAX_WAIT_S = 86_400.0  #: no pause is longer, however a backoff grows


class Backoff(StrEnum):
    """How the pause grows from attempt to attempt."""

    LINEAR = "LINEAR"  #: delay, 2 x delay, 3 x delay, ...
    EXPONENTIAL = "EXPONENTIAL"  #: delay, 2 x delay, 4 x delay, ...: (2 ** attempt - 1) would begin at the same


class Jitter(StrEnum):
    """How chance spreads a pause, so that many steps that failed together do not come back together."""

    FULL = "FULL"  #: anything from 0 to the pause
    PLUS_MINUS = "PLUS_MINUS"  #: up to one delay more or less


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Try a step again when it fails. `RetryPolicy(max_retries=3, delay=1.5, backoff="EXPONENTIAL", jitter="FULL")`."""

    max_retries: int = 1  #: further attempts after the first
    delay: float = 0.0  #: seconds before the second attempt
    backoff: Backoff | str | None = None  #: None: every pause is `delay`
    jitter: Jitter | str | None = None

    def __post_init__(self) -> None:
        if type(self.max_retries) is not int or self.max_retries < 0:
            raise fault(f"RetryPolicy: max_retries={self.max_retries!r} is no count", "Write 0 or more.")
        if type(self.delay) not in (int, float) or not 0 <= self.delay <= MAX_WAIT_S:
            raise fault(f"RetryPolicy: delay={self.delay!r} is no number of seconds", "Write 0 to 86400.")
        for argument, kind in (("backoff", Backoff), ("jitter", Jitter)):
            given = getattr(self, argument)
            if given is not None and given not in list(kind):
                allowed = ", ".join(kind)
                raise fault(
                    f"RetryPolicy: {argument}={given!r} is not one of {allowed}",
                    f"Write {argument}='{allowed.split(', ')[0]}'.",
                )

    def wait_s(self, attempt: int, dice: random.Random) -> float:
        """Seconds between the end of `attempt` (1 for the first) and the next."""
        wait = float(self.delay)
        if self.backoff == Backoff.LINEAR:
            wait = self.delay * attempt
        elif self.backoff == Backoff.EXPONENTIAL:
            # Beyond 2**50 the product only overflows; the bound below is long reached.
            wait = math.ldexp(self.delay, min(attempt - 1, 50))
        wait = min(wait, MAX_WAIT_S)
        if self.jitter == Jitter.FULL:
            wait *= dice.random()
        elif self.jitter == Jitter.PLUS_MINUS:
            wait += self.delay * (2 * dice.random() - 1)
        return min(max(wait, 0.0), MAX_WAIT_S)

    def to_document(self) -> dict[str, Any]:
        """As snapshots keep it."""
        return {
            "max_retries": self.max_retries,
            "delay": float(self.delay),
            "backoff": None if self.backoff is None else str(self.backoff),
            "jitter": None if self.jitter is None else str(self.jitter),
        }


def check_retry_policy(what: str, argument: str, given: object) -> RetryPolicy | None:
    """The policy, or None. Raises UsageError for anything else."""
    if given is not None and not isinstance(given, RetryPolicy):
        raise fault(f"{what}: {argument}={given!r:.80} is no RetryPolicy", "Write RetryPolicy(max_retries=3).")
    return given


class Failure(Exception):
    """Raise it in user code to fail a step with metadata: `raise Failure("3 rows too many", metadata={"rows": 3})`.

    `allow_retries=False`: the step is not tried again, whatever its retry policy says.
    """

    def __init__(
        self, description: str = "", *, metadata: Mapping[str, Any] | None = None, allow_retries: bool = True
    ) -> None:
        super().__init__(description)
        self.description = description
        self.metadata = dict(metadata or {})
        self.allow_retries = allow_retries


class RetryRequested(Exception):
    """Raise it in user code to have the step tried again: `raise RetryRequested(max_retries=3) from error`.

    `max_retries`: further attempts after the first, in all. `seconds_to_wait`: None takes the pause of the step's
    retry policy, if it has one.
    """

    def __init__(self, max_retries: int = 1, seconds_to_wait: float | None = None) -> None:
        super().__init__(f"a retry was requested, up to {max_retries}")
        if type(max_retries) is not int or max_retries < 0:
            raise fault(f"RetryRequested: max_retries={max_retries!r} is no count", "Write 0 or more.")
        is_number = type(seconds_to_wait) in (int, float)
        if seconds_to_wait is not None and not (is_number and 0 <= seconds_to_wait <= MAX_WAIT_S):
            raise fault(f"RetryRequested: seconds_to_wait={seconds_to_wait!r} is no pause", "Write 0 to 86400.")
        self.max_retries = max_retries
        self.seconds_to_wait = seconds_to_wait
