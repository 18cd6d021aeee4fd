"""Executing a job in this process: what a step costs beyond its function, against a raw driver that writes the same
bytes, against no engine at all, and against a peer in a process and virtual environment of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ..engine.artifacts.io import InMemoryIOManager
from ..engine.definitions.job import JobDefinition, job
from ..engine.definitions.op import op
from ..engine.execute import execute_job
from ..engine.instance import Instance
from . import raw
from .contest import Outcome, Timing, freeze, wait_for_quiet
from .peer import Peer

STEPS = 1000
SHORT = 100  #: steps of the shorter chain that a peer executes
PAUSE_S = 0.01
LONG_ROUNDS = 3  #: of what takes ten seconds a side
PAGE = 10_000

Rows = list[tuple[str, str, int, bytes]]  #: of one append: run, type, time, body


class Run(NamedTuple):
    """One execution, measured: the whole of it, from a job to its last event on disk."""

    run_id: str
    seconds: float
    cpu_us: float  #: of this process, a step
    events: int


def jobs(folder: Path, rounds: int, *, peer: str | None = None) -> Iterator[Outcome]:
    """Chains of trivial and of short steps. `peer`: the Python of a virtual environment that has dagster."""
    with ExitStack() as open_:
        other = open_.enter_context(Peer(peer, folder)) if peer is not None else None  # one that is none, says so first
        instance = open_.enter_context(Instance.from_url(f"sqlite:///{folder}/jobs"))
        yield _trivial(instance, folder, rounds)
        yield _short(instance, min(rounds, LONG_ROUNDS))
        if other is not None:
            yield _against(instance, other, SHORT, rounds)
            yield _against(instance, other, STEPS, min(rounds, LONG_ROUNDS))


def chain(steps: int, pause_s: float = 0.0) -> JobDefinition:
    """A job of so many steps, each of which adds one to what the one before gave."""

    @op
    def first() -> int:
        return _work(0, pause_s)

    @op
    def add_one(value: int) -> int:
        return _work(value, pause_s)

    @job(name=f"chain_of_{steps}")
    def built() -> None:
        value = first.alias("step_1")()
        for number in range(2, steps + 1):
            value = add_one.alias(f"step_{number}")(value)

    return built


def _work(value: int, pause_s: float) -> int:
    if pause_s:
        time.sleep(pause_s)
    return value + 1


def _execute(instance: Instance, made: JobDefinition) -> Run:
    steps = len(made.steps)
    cpu, since = time.process_time(), time.perf_counter()
    result = execute_job(made, instance=instance, resources={"io_manager": InMemoryIOManager()})
    seconds = time.perf_counter() - since
    cpu_us = (time.process_time() - cpu) * 1e6 / steps
    if (found := result.output_for_node(f"step_{steps}")) != steps:
        raise AssertionError(f"the answer is wrong, so is the figure: {found} after {steps} steps")
    return Run(result.run_id, seconds, cpu_us, sum(1 for _ in result.events()))


def _trivial(instance: Instance, folder: Path, rounds: int) -> Outcome:
    made = chain(STEPS)
    appends = _appends(instance, _execute(instance, made).run_id)
    db = raw.open_raw(folder / "jobs.db")

    def by_driver() -> Timing:
        since = time.perf_counter()
        for rows in appends:
            raw.append_rows(db, rows)
        return Timing((time.perf_counter() - since) * 1e6 / STEPS, 0.0)

    def by_foldlog() -> Timing:
        run = _execute(instance, made)
        return Timing(run.seconds * 1e6 / STEPS, run.cpu_us)

    events = sum(map(len, appends))
    note = f"{events / STEPS:.1f} events a step, {len(appends):,} commits on both sides"
    name = f"a chain of {STEPS:,} trivial steps"
    return _compare(name, by_driver, by_foldlog, rounds, note, goal="<= 1000 us a step", most_us=1000)


def _short(instance: Instance, rounds: int) -> Outcome:
    """Against the functions called in a loop: what the engine adds to steps of ten milliseconds."""
    made = chain(STEPS, PAUSE_S)

    def bare() -> Timing:
        since, value = time.perf_counter(), 0
        for _ in range(STEPS):
            value = _work(value, PAUSE_S)
        return Timing((time.perf_counter() - since) * 1e6 / value, 0.0)

    def by_foldlog() -> Timing:
        run = _execute(instance, made)
        return Timing(run.seconds * 1e6 / STEPS, run.cpu_us)

    name = f"{STEPS:,} steps of {PAUSE_S * 1000:.0f} ms"
    return _compare(name, bare, by_foldlog, rounds, "raw: the functions in a loop", goal="<= 1.1", most=1.1)


def _against(instance: Instance, peer: Peer, steps: int, rounds: int) -> Outcome:
    made = chain(steps)
    events: dict[str, int] = {}

    def by_peer() -> Timing:
        answer = peer.execute(steps)
        events["theirs"] = answer.events
        return Timing(answer.seconds * 1e6 / steps, answer.cpu_s * 1e6 / steps)

    def by_foldlog() -> Timing:
        run = _execute(instance, made)
        events["mine"] = run.events
        return Timing(run.seconds * 1e6 / steps, run.cpu_us)

    outcome = _compare(f"a chain of {steps:,} trivial steps", by_peer, by_foldlog, rounds, "", goal="<= 0.1", most=0.1)
    told = f"raw: {peer.name}, {events['theirs'] / steps:.1f} events a step; foldlog {events['mine'] / steps:.1f}"
    return outcome._replace(note=told)


def _compare(
    name: str,
    theirs: Callable[[], Timing],
    mine: Callable[[], Timing],
    rounds: int,
    note: str,
    *,
    goal: str,
    most: float = 0.0,
    most_us: float = 0.0,
) -> Outcome:
    """Times a step, in turns; the ratio is how many times as long foldlog takes, so that less is better."""
    freeze()
    pairs = []
    for number in range(rounds):
        wait_for_quiet()
        if number % 2:
            own, other = mine(), theirs()
        else:
            other, own = theirs(), mine()
        pairs.append((other, own))
    ratios = [own.rate / other.rate for other, own in pairs]
    other, own = (
        Timing(median(one.rate for one in column), median(one.cpu_us for one in column))
        for column in zip(*pairs, strict=True)
    )
    good = own.rate <= most_us if most_us else median(ratios) <= most
    spread = (min(ratios), max(ratios))
    return Outcome(name, goal, good, median(ratios), spread, other, own, "us a step", note)


def _appends(instance: Instance, run_id: str) -> list[Rows]:
    """What a run has written, append by append, as rows of the raw table."""
    backend = instance.log.backend
    instance.log.catch_up()
    rows: Rows = []
    while page := backend.read_shard(run_id, after_seq=len(rows), limit=PAGE, types=None, newest_first=False):
        rows += [(run_id, one.record.type, one.record.ts_us, one.record.body) for one in page if one.record is not None]
    found = []
    position = 0
    while placed := backend.placed(after=position, limit=PAGE):
        position = placed[-1].last_position
        found += [one.receipt for one in placed if one.receipt.shard == run_id]
    return [rows[one.first_seq - 1 : one.last_seq] for one in found]
