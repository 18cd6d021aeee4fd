"""The workloads of the log on SQLite, each against raw sqlite3 in the same rounds, each checking its answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgpack

from ..engine.events.asset import AssetMaterialization
from ..engine.open import open_log
from ..serdes import Codec
from . import jobs, questions, raw, subject, upkeep
from .contest import Outcome, Timing, contest, freeze, timed, wait_for_quiet
from .processes import four_processes

SINGLES = 1000
BATCH = 1000
RUN = 10_000
LONG = 500  #: events of a run when bytes are counted


def single_appends(folder: Path, rounds: int) -> Iterator[Outcome]:
    """One durable append of one event at a time, one writer."""
    db = raw.open_raw(folder / "single.db")
    events = [subject.materialization(number) for number in range(SINGLES)]
    plain = [subject.plain(number) for number in range(SINGLES)]

    def by_driver() -> int:
        for event in plain:
            raw.append_one(db, "run", event)
        return SINGLES

    with open_log(f"sqlite:///{folder}/single") as log:

        def by_foldlog() -> int:
            for event in events:
                log.append("run", [event])
            return SINGLES

        yield contest("one event an append", by_driver, by_foldlog, goal=0.75, rounds=rounds)
        _expect(log.catch_up().position, (rounds + 1) * SINGLES)


def batches(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Appends of 1000 events."""
    db = raw.open_raw(folder / "batch.db")
    events = [subject.materialization(number) for number in range(BATCH)]
    plain = [subject.plain(number) for number in range(BATCH)]

    def by_driver() -> int:
        for _ in range(5):
            raw.append_batch(db, "run", plain)
        return 5 * BATCH

    with open_log(f"sqlite:///{folder}/batch") as log:

        def by_foldlog() -> int:
            for _ in range(5):
                log.append("run", events)
            return 5 * BATCH

        yield contest("1000 events an append", by_driver, by_foldlog, goal=0.7, rounds=rounds)
        _expect(log.catch_up().position, (rounds + 1) * 5 * BATCH)


def reading(folder: Path, rounds: int) -> Iterator[Outcome]:
    """A run of 10,000 events read in pages of 1000, decoded, each touched."""
    db = raw.open_raw(folder / "read.db")
    for start in range(0, RUN, BATCH):
        raw.append_batch(db, "run", [subject.plain(number) for number in range(start, start + BATCH)])
    with open_log(f"sqlite:///{folder}/read") as log:
        for start in range(0, RUN, 10):
            log.append("run", [subject.materialization(number) for number in range(start, start + 10)])
        log.catch_up()

        def shard() -> int:
            seen = after = 0
            at_end = False
            while not at_end:
                records, after, at_end = log.read_shard("run", after_seq=after, limit=1000)
                for record in records:
                    fact = record.event.fact
                    seen += isinstance(fact, AssetMaterialization) and fact.metadata["rows"] == 123_456
            return _expect(seen, RUN)

        def timeline() -> int:
            seen = 0
            page = log.read(limit=1000)
            while True:
                for record in page.events:
                    fact = record.event.fact
                    seen += isinstance(fact, AssetMaterialization) and fact.metadata["rows"] == 123_456
                if page.at_head:
                    return _expect(seen, RUN)
                page = log.read(after=page.cursor, limit=1000)

        def by_driver() -> int:
            return _expect(raw.read_run(db, "run"), RUN)

        yield contest("read a run of 10,000", by_driver, shard, goal=0.7, rounds=rounds)
        yield contest("read the timeline of 10,000", by_driver, timeline, goal=0.7, rounds=rounds)


def serdes(folder: Path, rounds: int) -> Iterator[Outcome]:
    """One typical event to bytes and back, against a plain msgpack dict."""
    events = [subject.materialization(number) for number in range(2000)]
    plain = [subject.plain(number) for number in range(2000)]
    codec = Codec()
    records, _ = codec.encode(events)
    packed = [msgpack.packb(one) for one in plain]
    size = f"{len(records[0].body)} bytes, the dict {len(packed[0])}"

    def pack() -> int:
        for one in plain:
            msgpack.packb(one)
        return len(plain)

    def encode() -> int:
        for event in events:
            codec.encode((event,))
        return len(events)

    def unpack() -> int:
        for one in packed:
            msgpack.unpackb(one)
        return len(packed)

    def decode() -> int:
        for record in records:
            codec.decode(record.type, record.body)
        return len(records)

    encoded = contest("encode, checked, with digest", pack, encode, goal=1.43, rounds=rounds)
    yield encoded._replace(note=size)
    yield contest("decode", unpack, decode, goal=1.25, rounds=rounds)


def space(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Bytes an event on disk: 20 runs of 500 events in appends of one, with indexes and order, all sealed."""
    home = folder / "space"
    runs = 20
    with open_log(f"sqlite:///{home}") as log:
        for run in range(runs):
            for number in range(LONG):
                log.append(f"run-{run}", [subject.materialization(number)])
            log.seal(f"run-{run}")
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / (runs * LONG)
    timing = Timing(size, 0.0)
    body = len(Codec().encode([subject.materialization(0)])[0][0].body)
    note = f"the event itself is {body} bytes"
    yield Outcome(
        "bytes an event", "<= 1100", size <= 1100, size / body, (0, 0), Timing(body, 0), timing, "bytes", note
    )


def startup(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Fresh processes: import and build one event; open a home and ask twice."""
    home = folder / "startup"
    bare = _process_ms("pass")
    build = "import foldlog; from foldlog.engine import events; foldlog.Event.now(events.StepStarted())"
    ask = (
        "import foldlog\n"
        f"with foldlog.Instance.from_url('sqlite:///{home}') as instance:\n"
        "    instance.get_run_records(limit=10); instance.get_asset_records()"
    )
    first = f"import foldlog\nwith foldlog.Instance.from_url('sqlite:///{home}').run('one') as run: pass"
    _process_ms(first)()
    freeze()
    yield _startup("import and build one event", bare, _process_ms(build), rounds, over_ms=100)
    yield _startup("open a home and ask twice", _process_ms("import sqlalchemy"), _process_ms(ask), rounds, times=1.5)


def _startup(
    name: str,
    base: Callable[[], float],
    work: Callable[[], float],
    rounds: int,
    *,
    over_ms: float = 0,
    times: float = 0,
) -> Outcome:
    pairs = []
    for _ in range(rounds + 2):
        wait_for_quiet()
        pairs.append((base(), work()))
    before, after = median(one for one, _ in pairs), median(one for _, one in pairs)
    ratios = [after / before for before, after in pairs]
    good = after - before <= over_ms if over_ms else median(ratios) <= times
    goal = f"<= {over_ms:.0f} ms more" if over_ms else f"<= {times} x import sqlalchemy"
    spread = (min(ratios), max(ratios))
    return Outcome(name, goal, good, median(ratios), spread, Timing(before, 0), Timing(after, 0), "ms")


def _process_ms(code: str) -> Callable[[], float]:
    def run() -> float:
        def once() -> int:
            subprocess.run([sys.executable, "-c", code], check=True)
            return 1

        return 1000 / timed(once).rate

    return run


def _expect(found: int, wanted: int) -> int:
    if found != wanted:
        raise AssertionError(f"the answer is wrong, so is the figure: {found:,} events where {wanted:,} were written")
    return found


Workload = Callable[[Path, int], Iterator[Outcome]]

#: by the name `foldlog bench NAME` takes
WORKLOADS: dict[str, Workload] = {
    "append": single_appends,
    "batch": batches,
    "processes": four_processes,
    "read": reading,
    "serdes": serdes,
    "space": space,
    "startup": startup,
    "jobs": jobs.jobs,
    "questions": questions.questions,
    "flat": questions.flat,
    "rebuild": upkeep.rebuild,
    "live": upkeep.live,
    "verify": upkeep.verify,
    "open-runs": upkeep.many_open,
}
