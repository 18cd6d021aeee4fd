"""What runs, what is skipped, what is abandoned, and in which order: against a naive reading of any plan.

The plans are drawn at random: fan-in, optional and dynamic outputs, lanes of mapped steps that read each other, lists
of all of them, steps that only come after others. So are the ends of steps, and how many run at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from hypothesis import given, settings, strategies as st

from foldlog import DynamicOut, In, Nothing, Out, job, op
from foldlog.engine.definitions.graph import Collected, Each, FanIn, FromOutput, GraphDefinition, Node
from foldlog.engine.definitions.job import JobDefinition
from foldlog.engine.definitions.steps import CollectSource, FanInSource, MappedSource, Step, StepOutputSource
from foldlog.engine.execution.frontier import Frontier, Outcome, StepInstance
from foldlog.engine.execution.plan import KnownState, plan_of

BAD = (Outcome.FAILURE, Outcome.ABANDONED)
SUCCESS, FAILURE, SKIPPED, ABANDONED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.SKIPPED, Outcome.ABANDONED
Ended = tuple[Outcome, dict[str, tuple[str, ...] | None]]  #: how a step ended, and the outputs that came


# -- a random job -------------------------------------------------------------------------------------------------


@dataclass
class Made:
    """A node so far: its outputs, and the dynamic output that it is mapped over."""

    name: str
    outs: dict[str, Out]
    over: tuple[str, str] | None = None


@dataclass
class Builder:
    dice: Random
    made: list[Made] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    dependencies: dict[tuple[str, str], Any] = field(default_factory=dict)

    def add(self) -> None:
        name = f"s{len(self.made)}"
        over: tuple[str, str] | None = None
        inputs = []
        for _ in range(self.dice.randint(0, 3) if self.made else 0):
            source, over = self.source(over)
            if source is not None:
                inputs.append(source)
        outs = self.outs(is_mapped=over is not None)
        ins = {f"i{number}": In(Nothing) for number in range(len(inputs))}
        definition = op(name=name, ins=ins, out=outs)(lambda: None)
        plain = [one.name for one in self.made if one.over is None]
        after = (self.dice.choice(plain),) if over is None and plain and self.dice.random() < 0.2 else ()
        self.nodes[name] = Node(name=name, definition=definition, after=after)
        for number, source in enumerate(inputs):
            self.dependencies[name, f"i{number}"] = source
        self.made.append(Made(name, outs, over))

    def outs(self, *, is_mapped: bool) -> dict[str, Out]:
        kinds = [Out] if is_mapped else [Out, Out, DynamicOut]
        return {
            name: self.dice.choice(kinds)(is_required=self.dice.random() < 0.6)
            for name in ("a", "b")[: self.dice.randint(1, 2)]
        }

    def source(self, over: tuple[str, str] | None) -> tuple[Any, tuple[str, str] | None]:
        """A source for one more input of a step that is mapped over this so far; None if the dice found none."""
        one = self.dice.choice(self.made)
        output = self.dice.choice(list(one.outs))
        if one.over is not None:
            if self.dice.random() < 0.4:
                return Collected(one.name, output), over
            return (FromOutput(one.name, output), one.over) if over in (None, one.over) else (None, over)
        if one.outs[output].is_dynamic:
            if self.dice.random() < 0.3:
                return Collected(one.name, output), over
            return (Each(one.name, output), (one.name, output)) if over in (None, (one.name, output)) else (None, over)
        if self.dice.random() < 0.3:
            return FanIn((FromOutput(one.name, output), *self.others())), over
        return FromOutput(one.name, output), over

    def others(self) -> list[FromOutput]:
        plain = [(one.name, name) for one in self.made for name, out in one.outs.items() if not out.is_dynamic]
        plain = [(name, output) for name, output in plain if self.by_name(name).over is None]
        return [FromOutput(*self.dice.choice(plain)) for _ in range(self.dice.randint(0, 2) if plain else 0)]

    def by_name(self, name: str) -> Made:
        return next(one for one in self.made if one.name == name)


def random_job(dice: Random, steps: int) -> JobDefinition:
    builder = Builder(dice)
    for _ in range(steps):
        builder.add()
    return GraphDefinition(name="drawn", nodes=builder.nodes, dependencies=builder.dependencies).to_job()


# -- the naive reading ----------------------------------------------------------------------------------------------


class Oracle:
    """How every step of a job ends, if steps that are executed end as `will` says. No state, no queue: recursion."""

    def __init__(self, job: JobDefinition, will: Any) -> None:
        self.job = job
        self.will = will
        self.ended = cache(self.ended)  # type: ignore[method-assign]

    def keys(self, step: Step) -> tuple[str | None, ...]:
        """The mapping keys that there are instances of the step for."""
        if step.mapped_over is None:
            return (None,)
        source, output = step.mapped_over
        return self.ended(source, None)[1].get(output) or ()

    def instances(self) -> list[tuple[str, str | None]]:
        return [(key, one) for key, step in self.job.steps.items() for one in self.keys(step)]

    def ended(self, step_key: str, key: str | None) -> Ended:
        step = self.job.steps[step_key]
        if any(self.unit(one, step, key) in BAD for one in self.sources(step)):
            return ABANDONED, {}
        if any(self.ended(one, None)[0] is SKIPPED for one in step.after) or not all(
            self.has(given.source, step, key) for given in step.inputs
        ):
            return SKIPPED, {}
        return self.will(step, key)

    def sources(self, step: Step) -> list[Any]:
        after = [StepOutputSource(one, "") for one in step.after]
        return [*after, *(one for given in step.inputs for one in given.step_sources())]

    def unit(self, source: Any, step: Step, key: str | None) -> Outcome:
        """How what the source waits for has ended."""
        before = self.job.steps[source.step_key]
        if before.mapped_over is None:
            return self.ended(before.key, None)[0]
        if isinstance(source, StepOutputSource):
            return self.ended(before.key, key)[0]
        outcomes = {self.ended(before.key, one)[0] for one in self.keys(before)}
        outcomes = outcomes or {self.ended(before.mapped_over[0], None)[0]}
        return ABANDONED if outcomes & set(BAD) else SKIPPED if outcomes == {SKIPPED} else SUCCESS

    def has(self, source: Any, step: Step, key: str | None) -> bool:
        """Whether there is something for an input."""
        match source:
            case FanInSource(sources):
                return any(self.has(one, step, key) for one in sources)
            case CollectSource():
                return self.unit(source, step, key) is not SKIPPED
            case MappedSource():
                return True
        lane = key if self.job.steps[source.step_key].mapped_over is not None else None
        return source.output in self.ended(source.step_key, lane)[1]

    def before(self, step: Step, key: str | None) -> set[tuple[str, str | None]]:
        """The instances that must have ended before this one may begin."""
        found = set()
        for one in self.sources(step):
            above = self.job.steps[one.step_key]
            if above.mapped_over is None:
                found.add((above.key, None))
            elif isinstance(one, StepOutputSource):
                found.add((above.key, key))
            else:
                found |= {(above.key, lane) for lane in self.keys(above)} | {(above.mapped_over[0], None)}
        return found


def random_will(seed: int, badness: float) -> Any:
    def will(step: Step, key: str | None) -> Ended:
        dice = Random(f"{seed} {step.key} {key}")
        if dice.random() < badness:
            return FAILURE, {}
        came: dict[str, tuple[str, ...] | None] = {}
        for name, out in step.outs.items():
            if out.is_required or dice.random() < 0.6:
                came[name] = tuple(dice.sample("abc", dice.randint(0, 3))) if out.is_dynamic else None
        return SUCCESS, came

    return will


# -- one execution --------------------------------------------------------------------------------------------------


class Execution:
    """Executes a job as an executor of several workers would, and holds every step of it against the oracle."""

    def __init__(self, job: JobDefinition, will: Any) -> None:
        self.job, self.will = job, will
        self.oracle = Oracle(job, will)
        self.frontier = Frontier(plan_of(job), "run")
        self.skips: dict[str, Outcome] = {}
        self.done: dict[tuple[str, str | None], Outcome] = {}
        self.began: list[tuple[str, str | None]] = []
        self._number = {key: number for number, key in enumerate(job.steps)}
        self._to_run = [one for one in self.oracle.instances() if self.oracle.ended(*one)[0] in (SUCCESS, FAILURE)]
        self._take_skips()

    def all_at_once(self, dice: Random, workers: int) -> None:
        """Until nothing is left."""
        running: list[StepInstance] = []
        while True:
            while len(running) < workers and (instance := self.frontier.pop()) is not None:
                self._check_first(instance, running)
                running.append(instance)
            if not running:
                return
            instance = running.pop(dice.randrange(len(running)))
            if dice.random() < 0.1:
                self.frontier.put_back(instance)
                continue
            self.began.append((instance.step.key, instance.mapping_key))
            outcome, came = self.will(instance.step, instance.mapping_key)
            self.done[instance.step.key, instance.mapping_key] = outcome
            self.frontier.settle(instance, outcome, came)
            self._take_skips()

    def _check_first(self, instance: StepInstance, running: list[StepInstance]) -> None:
        """It is the first in the order of the plan, and of the keys, of all that may begin now."""
        busy = {(one.step.key, one.mapping_key) for one in running}
        free = [one for one in self._to_run if one not in self.done and one not in busy and self._may_begin(*one)]
        assert (instance.step.key, instance.mapping_key) == min(free, key=self._place)

    def _may_begin(self, step_key: str, key: str | None) -> bool:
        return all(one in self.done for one in self.oracle.before(self.job.steps[step_key], key))

    def _place(self, one: tuple[str, str | None]) -> tuple[int, int]:
        step = self.job.steps[one[0]]
        return self._number[one[0]], self.oracle.keys(step).index(one[1])

    def _take_skips(self) -> None:
        for skip in self.frontier.skips():
            assert skip.instance.key not in self.skips, "told twice"
            self.skips[skip.instance.key] = skip.outcome
            self.done[skip.instance.step.key, skip.instance.mapping_key] = skip.outcome

    def check_end(self) -> None:
        ends = {one: self.oracle.ended(*one)[0] for one in self.oracle.instances()}
        assert self.done == ends  # and nothing is left that waits for ever
        assert len(self.began) == len(set(self.began)) == len(self._to_run)
        named = {StepInstance(self.job.steps[step_key], key).key: outcome for (step_key, key), outcome in ends.items()}
        assert {key: self.frontier.outcomes[key] for key in named} == named


@settings(max_examples=400)
@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 9),
    workers=st.sampled_from([1, 2, 5]),
    badness=st.sampled_from([0.0, 0.1, 0.4]),
)
def test_any_plan_is_executed_as_a_naive_reading_says(seed: int, steps: int, workers: int, badness: float) -> None:
    job = random_job(Random(seed), steps)
    execution = Execution(job, random_will(seed, badness))
    execution.all_at_once(Random(seed + 1), workers)
    execution.check_end()


# -- cases worth a name ---------------------------------------------------------------------------------------------


@op(out=DynamicOut(is_required=False), ins={"start": In(Nothing)})
def each() -> Any: ...


@op(out=Out(is_required=False))
def work(row): ...


@op(out=Out(is_required=False))
def more(row): ...


@op
def total(rows): ...


@op(out=Out(is_required=False))
def maybe() -> Any: ...


@job
def mapped():
    total(each(maybe()).map(lambda row: more(work(row))).collect())


def story(frontier: Frontier, ends: dict[str, Ended]) -> list[str]:
    """Every step in the order in which it ended, by one worker: `key`, or `key: SKIPPED`. The default is success."""
    told = []
    while True:
        told += [f"{skip.instance.key}: {skip.outcome}" for skip in frontier.skips()]
        instance = frontier.pop()
        if instance is None:
            return told
        outcome, came = ends.get(instance.key, (SUCCESS, dict.fromkeys(instance.step.outs)))
        told.append(instance.key if outcome is SUCCESS else f"{instance.key}: {outcome}")
        frontier.settle(instance, outcome, came)


def test_no_value_of_a_dynamic_output_is_an_empty_list() -> None:
    frontier = Frontier(plan_of(mapped), "run")
    assert story(frontier, {"each": (SUCCESS, {"result": ()})}) == ["maybe", "each", "total"]
    assert frontier.refs(StepInstance(mapped.steps["total"]), mapped.steps["total"].inputs[0]) == []


def test_a_dynamic_output_that_stayed_away_is_an_empty_list_too() -> None:
    assert story(Frontier(plan_of(mapped), "run"), {"each": (SUCCESS, {})}) == ["maybe", "each", "total"]


def test_behind_a_skipped_dynamic_step_all_is_skipped() -> None:
    assert story(Frontier(plan_of(mapped), "run"), {"maybe": (SUCCESS, {})}) == [
        "maybe",
        "each: SKIPPED",
        "total: SKIPPED",
    ]


def test_where_each_lane_is_skipped_so_is_who_collects() -> None:
    ends: dict[str, Ended] = {
        "each": (SUCCESS, {"result": ("x", "y")}),
        "work[x]": (SUCCESS, {}),
        "work[y]": (SUCCESS, {}),
    }
    told = story(Frontier(plan_of(mapped), "run"), ends)
    assert told[:4] == ["maybe", "each", "work[x]", "more[x]: SKIPPED"]
    assert told[4:] == ["work[y]", "more[y]: SKIPPED", "total: SKIPPED"]


def test_who_collects_does_with_the_lanes_that_came() -> None:
    ends: dict[str, Ended] = {"each": (SUCCESS, {"result": ("x", "y")}), "work[x]": (SUCCESS, {})}
    frontier = Frontier(plan_of(mapped), "run")
    assert story(frontier, ends)[-2:] == ["more[y]", "total"]
    (ref,) = frontier.refs(StepInstance(mapped.steps["total"]), mapped.steps["total"].inputs[0])
    assert ref.step_key == "more[y]"


def test_one_failed_lane_leaves_the_others_and_not_who_collects() -> None:
    ends: dict[str, Ended] = {"each": (SUCCESS, {"result": ("x", "y")}), "work[x]": (FAILURE, {})}
    assert story(Frontier(plan_of(mapped), "run"), ends) == [
        "maybe",
        "each",
        "work[x]: FAILURE",
        "more[x]: ABANDONED",
        "work[y]",
        "more[y]",
        "total: ABANDONED",
    ]


def test_a_lane_that_takes_the_list_of_all_waits_for_all() -> None:
    @op
    def share(row, all_rows): ...

    @job
    def shares():
        rows = each(maybe())
        done = rows.map(work).collect()
        rows.map(lambda row: share(row, done))

    told = story(Frontier(plan_of(shares), "run"), {"each": (SUCCESS, {"result": ("x", "y")})})
    assert told == ["maybe", "each", "work[x]", "work[y]", "share[x]", "share[y]"]


def test_keys_keep_the_order_of_their_own_dynamic_output() -> None:
    @job
    def twice():
        first = maybe()
        each(first).map(work)
        each(first).map(more)

    ends: dict[str, Ended] = {"each": (SUCCESS, {"result": ("x", "y")}), "each_2": (SUCCESS, {"result": ("y", "x")})}
    told = story(Frontier(plan_of(twice), "run"), ends)
    assert told == ["maybe", "each", "work[x]", "work[y]", "each_2", "more[y]", "more[x]"]


def test_what_an_earlier_run_yielded_is_mapped_over_at_once() -> None:
    known = KnownState(
        outputs={("each", "result"): "earlier"},
        mapping_keys={("each", "result"): ("y", "x")},
        succeeded=frozenset({"maybe", "each"}),
    )
    frontier = Frontier(plan_of(mapped, step_keys=["work", "more", "total"], known=known), "run")
    assert story(frontier, {}) == ["work[y]", "work[x]", "more[y]", "more[x]", "total"]
    work_step = mapped.steps["work"]
    (ref,) = frontier.refs(StepInstance(work_step, "x"), work_step.inputs[0])
    assert ref == ("earlier", "each", "result", "x")


def test_a_chain_of_thousands_is_skipped_without_recursion() -> None:
    @job
    def chain():
        last = maybe()
        for _ in range(5_000):
            last = work(last)

    assert len(story(Frontier(plan_of(chain), "run"), {"maybe": (SUCCESS, {})})) == 5_001
