"""Report what a program does: a run, its steps, what they made of assets, what they said.

    with instance.run("nightly-load", tags={"team": "growth"}) as run:
        with run.step("extract") as step:
            step.log("42 rows")
        run.materialize(["raw", "orders"], partition="2026-11-20", metadata={"rows": 1234})

Promises: each call but `log` returns when its facts are durable, and a reply that got lost records nothing twice. All
of a run's events go through one queue, so their order in the log is the order of the calls. A log line never fails
the program, nor does sealing. Whatever ends the `with` block, the end of the run or step is recorded with its error,
and the exception goes on. Thread-safe: steps may run in threads of their own.
Not here: executing anything, retrying a whole run (engine/execution), questions about runs (engine/views).
"""

from __future__ import annotations

from .reporter import Reporter
from .run import RunReporter
from .step import StepReporter

__all__ = ["Reporter", "RunReporter", "StepReporter"]
