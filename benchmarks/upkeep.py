"""Keeping views: how fast they are rebuilt, how soon a reader is answered while others write, what a proof costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Gate
from pathlib import Path
from statistics import median, quantiles

from ..engine import events
from ..engine.events.event import Event
from ..engine.instance import Instance
from ..engine.open import open_log
from . import history
from .contest import Outcome, Timing, freeze, wait_for_quiet
from .history import Shape

LARGE = Shape(runs=670, events=447)  #: 300,000 events
WRITERS = 4
RATE = 500  #: events a second of each writer
SECONDS = 8.0
WINDOW_S = 2.0
OPEN_RUNS = 1000

_REBUILD = """
import resource, sys, time
from foldlog import Instance
with Instance.from_url(sys.argv[1]) as instance:
    instance.get_runs_count()
    for _ in range(int(sys.argv[2])):
        began = time.perf_counter()
        position = instance.rebuild(afresh=True)
        seconds = time.perf_counter() - began
        print(position / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
_FIRST_ANSWER = """
import sys, time
import sqlalchemy, foldlog, foldlog.engine.instance, foldlog.engine.views.views, foldlog.engine.views.run_queries
began = time.perf_counter()
with foldlog.Instance.from_url(sys.argv[1]) as instance:
    count = len(instance.get_run_records(limit=50))
    print(count, time.perf_counter() - began)
"""


def rebuild(folder: Path, rounds: int) -> Iterator[Outcome]:
    """All views rebuilt, events scanned a second, and the memory that takes: 150,000 and 300,000 events."""
    memory = []
    for shape in (Shape(LARGE.runs // 2, LARGE.events), LARGE):
        url = f"sqlite:///{folder}/{shape.runs}?durability=process"
        with open_log(url) as log:
            history.write(log, shape)
        wait_for_quiet()
        done = subprocess.run(
            [sys.executable, "-c", _REBUILD, url, str(rounds)], capture_output=True, text=True, check=True
        )
        answers = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
        rates = [rate for rate, _ in answers]
        memory.append(answers[-1][1] / 1024)
        yield Outcome(
            "rebuild all views", ">= 100,000 events/s", median(rates) >= 100_000, median(rates) / 100_000,
            (min(rates) / 100_000, max(rates) / 100_000), Timing(100_000, 0), Timing(median(rates), 0), "events/s",
            f"{shape.total:,} events, {memory[-1]:,.0f} MB",
        )  # fmt: skip
    growth = memory[1] / memory[0]
    yield Outcome(
        "memory of a rebuild of twice as much", "<= 1.1", growth <= 1.1, growth, (0, 0),
        Timing(memory[0], 0), Timing(memory[1], 0), "MB",
    )  # fmt: skip


def live(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Answers of the views while four processes write 2,000 events a second; the 99th percentile."""
    url = f"sqlite:///{folder}/history"
    with Instance.from_url(url) as instance, _writers(url, RATE):
        instance.get_run_records(limit=50)  # what came while the writers started
        freeze()
        taken = []
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            began = time.perf_counter()
            instance.get_run_records(limit=50)
            taken.append(time.perf_counter() - began)
            time.sleep(0.005)
        arrived = instance.log.catch_up().position / SECONDS
    last = quantiles(taken, n=100)[98] * 1000
    yield Outcome(
        "a view read, 99th percentile", "<= 50 ms", last <= 50, last / 50, (min(taken) * 20, max(taken) * 20),
        Timing(50, 0), Timing(last, 0), "ms", f"{arrived:,.0f} events/s arrived, {len(taken):,} answers",
    )  # fmt: skip


def verify(folder: Path, rounds: int) -> Iterator[Outcome]:
    """What writers lose while views are verified: windows with and without, in turn."""
    url = f"sqlite:///{folder}/history"
    with Instance.from_url(url) as instance:
        history.write(instance.log, Shape(runs=100, events=447))
        instance.get_runs_count()
        pairs = []
        for number in range(rounds):
            wait_for_quiet()
            alone = _appends(instance, f"alone-{number}")
            with _verifying(url):
                pairs.append((alone, _appends(instance, f"beside-{number}")))
    ratios = [beside / alone for alone, beside in pairs]
    ratio = median(ratios)
    yield Outcome(
        "a writer beside verify", ">= 0.95", ratio >= 0.95, ratio, (min(ratios), max(ratios)),
        Timing(median(one for one, _ in pairs), 0), Timing(median(two for _, two in pairs), 0), "events/s",
    )  # fmt: skip


def many_open(folder: Path, rounds: int) -> Iterator[Outcome]:
    """A thousand open runs: a fresh process opens the log, takes in what is new and answers."""
    url = f"sqlite:///{folder}/history?durability=process"
    with Instance.from_url(url) as instance:
        for number in range(OPEN_RUNS):
            instance.log.append(history.run_id(number), history.run_events(number, Shape(OPEN_RUNS, 20))[:-1])
        instance.get_runs_count()
    seconds = []
    for _ in range(rounds):
        wait_for_quiet()
        done = subprocess.run([sys.executable, "-c", _FIRST_ANSWER, url], capture_output=True, text=True, check=True)
        count, taken = done.stdout.split()
        if int(count) != 50:
            raise AssertionError(f"the answer is wrong, so is the figure: {count} runs where 50 were asked for")
        seconds.append(float(taken) * 1000)
    middle = median(seconds)
    yield Outcome(
        "1,000 open runs, the first answer", "< 200 ms", middle < 200, middle / 200,
        (min(seconds) / 200, max(seconds) / 200), Timing(200, 0), Timing(middle, 0), "ms", "imports not counted",
    )  # fmt: skip


def _appends(instance: Instance, run: str) -> float:
    count, end = 0, time.perf_counter() + WINDOW_S
    while time.perf_counter() < end:
        instance.log.append(run, [Event.now(events.StepStarted(), step_key="step")])
        count += 1
    return count / WINDOW_S


@contextmanager
def _verifying(url: str) -> Iterator[None]:
    process = get_context("spawn").Process(target=_verify_for_ever, args=(url,), daemon=True)
    process.start()
    time.sleep(1.5)  # its imports are over then
    try:
        yield
    finally:
        process.kill()
        process.join()


def _verify_for_ever(url: str) -> None:
    with Instance.from_url(url) as instance:
        while True:
            instance.verify()


@contextmanager
def _writers(url: str, rate: int) -> Iterator[None]:
    context = get_context("spawn")
    over = context.Event()
    started = [context.Process(target=_write, args=(url, number, rate, over), daemon=True) for number in range(WRITERS)]
    for process in started:
        process.start()
    time.sleep(1.5)
    try:
        yield
    finally:
        over.set()
        for process in started:
            process.join()


def _write(url: str, number: int, rate: int, over: Gate) -> None:
    """Runs of 500 events, in appends of five, so many events a second."""
    with open_log(url) as log:
        began, count, run = time.perf_counter(), 0, 0
        while not over.is_set():
            told = history.run_events(run, Shape(1000, 500))
            for at in range(0, len(told), 5):
                log.append(f"live-{number}-{run}", told[at : at + 5])
                count += 5
                ahead = began + count / rate - time.perf_counter()
                if ahead > 0 and over.wait(ahead):
                    return
            log.seal(f"live-{number}-{run}")
            run += 1
