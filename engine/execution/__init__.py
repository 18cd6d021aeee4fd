"""Executes jobs: plans their steps, runs them, and records every event of a run in the log.

Data flows one way: a job becomes a plan (plan.py); a run is created of it (creation.py); a worker (worker.py) hands the
plan to an executor (in_process.py), which asks the frontier (frontier.py) what comes next and makes attempts at steps
(attempt.py). What a step reads and gives goes through IO managers (values.py). Re-execution (reexecution.py) makes a
plan of what an earlier run has left.
Not here: what users declare (engine/definitions), wiring an instance (engine/execute.py).
"""
