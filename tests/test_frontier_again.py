"""Going on from a failure, on random plans: it ends as a run without that failure would have, and repeats no more."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings, strategies as st
from test_frontier import FAILURE, SKIPPED, SUCCESS, Ended, Execution, Oracle, random_job, random_will

from foldlog.engine.definitions.job import JobDefinition
from foldlog.engine.definitions.steps import Step
from foldlog.engine.execution.frontier import Frontier, StepInstance
from foldlog.engine.execution.history import Past
from foldlog.engine.execution.plan import ExecutionPlan, plan_of
from foldlog.engine.execution.reexecution import _failed, _known


def mended(seed: int, badness: float) -> Any:
    """How steps end the second time: as the first time, but for those that failed."""
    first, second = random_will(seed, badness), random_will(seed + 1, 0)

    def will(step: Step, key: str | None) -> Ended:
        ended = first(step, key)
        return second(step, key) if ended[0] is FAILURE else ended

    return will


def past_of(execution: Execution) -> Past:
    """What the first run has left, as its events tell it."""
    past = Past()
    for (step_key, key), outcome in execution.done.items():
        name = StepInstance(execution.job.steps[step_key], key).key
        if outcome is SKIPPED:
            past.skipped.add(name)
        elif outcome is SUCCESS:
            past.succeeded.add(name)
            for output, keys in execution.will(execution.job.steps[step_key], key)[1].items():
                if keys == ():
                    continue  # of a dynamic output that gave no value there is no event
                past.outputs[name, output] = "first"
                if keys is not None:
                    past.mapping_keys[name, output] = keys
    return past


def again(job: JobDefinition, past: Past) -> ExecutionPlan | None:
    chosen, only = _failed(job.steps, past)
    if not chosen:
        return None
    return plan_of(job, step_keys=chosen, known=_known(job.steps, chosen, only, past), only=only)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), steps=st.integers(2, 9), badness=st.sampled_from([0.1, 0.4]))
def test_it_ends_as_if_nothing_had_failed(seed: int, steps: int, badness: float) -> None:
    job = random_job(Random(seed), steps)
    first = Execution(job, random_will(seed, badness))
    first.all_at_once(Random(seed), 2)
    past = past_of(first)
    plan = again(job, past)
    if plan is None:
        assert FAILURE not in first.done.values()
        return
    will = mended(seed, badness)
    executed, frontier = set(), Frontier(plan, "second")
    while (instance := frontier.pop()) is not None:
        executed.add((instance.step.key, instance.mapping_key))
        frontier.settle(instance, *will(instance.step, instance.mapping_key))
    oracle = Oracle(job, will)
    ends = {one: oracle.ended(*one)[0] for one in oracle.instances()}
    assert {one: frontier.outcomes.get(StepInstance(job.steps[one[0]], one[1]).key) for one in ends} == ends
    for one in executed:
        repeated = first.done.get(one) is SUCCESS
        assert not repeated or oracle.before(job.steps[one[0]], one[1]) & executed, f"{one} need not be repeated"
