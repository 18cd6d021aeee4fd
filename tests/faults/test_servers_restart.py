"""A database server that crashes again and again under load (P1, P2, P3, P5): what it acknowledged is there at the end,
once, and a reader that was following all the time has seen exactly that, in order.

PostgreSQL is ended as `pg_ctl -m immediate` does, MariaDB by kill -9; each recovers from its own log.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from caller import call, insist, told
from served import OwnServer, Served
from story import line, text_of
from test_servers_holes import begun

from foldlog.engine.errors import UnavailableError
from foldlog.engine.log.log import EventLog, EventRecord
from foldlog.engine.open import open_log

END = "end"


@contextmanager
def writing(url: str, folder: Path, deeds: Sequence[str] = ("write",) * 3) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that append until the block ends; what they say goes on being read."""
    names = [folder / f"w{number}" for number in range(len(deeds))]
    children = [call(url, deed, name) for deed, name in zip(deeds, names, strict=True)]
    try:
        yield children
    finally:
        for name in names:
            name.with_suffix(".stop").touch()


def follow(url: str) -> list[EventRecord]:
    """All up to the end, through every crash: the loop of a caller who takes UnavailableError at its word."""
    seen: list[EventRecord] = []
    with insist(lambda: open_log(url)) as log, log.follow(page=50) as follower:
        while not seen or text_of(seen[-1]) != END:
            record = insist(lambda: next(follower))
            assert isinstance(record, EventRecord)
            seen.append(record)
    return seen


def crash(own_server: OwnServer, times: int, every_s: float) -> None:
    dice = random.Random(times)
    for _ in range(times):
        time.sleep(dice.uniform(0.5, 1.5) * every_s)
        own_server.kill()
        own_server.start()


def all_of(log: EventLog) -> list[EventRecord]:
    records, cursor = [], None
    while True:
        page = log.read(after=cursor, limit=5000)
        records += page.events
        cursor = page.cursor
        if page.at_head:
            return records


def crashed_under_load(own_server: OwnServer, folder: Path, *, times: int, every_s: float) -> None:
    with open_log(own_server.url) as log:
        reader = begun(follow, own_server.url)
        with writing(own_server.url, folder) as children:
            answers = [begun(told, child, timeout=300) for child in children]
            crash(own_server, times, every_s)
        acknowledged = [answer for future in answers for answer in future.result(300)]
        insist(lambda: log.append("run-end", [line(END)]))  # without a key: it is up, and must land once
        seen = reader.result(120)
        records = all_of(log)
        assert seen == records, "the reader has seen something else than is there"
        assert [record.position for record in records] == list(range(1, len(records) + 1))
        by_shard: dict[str, list[str]] = {}
        for record in records:
            of_shard = by_shard.setdefault(record.shard, [])
            of_shard.append(text_of(record))
            assert record.seq == len(of_shard), f"{record.shard}: seq {record.seq} is number {len(of_shard)}"
        for shard, texts in by_shard.items():
            assert len(set(texts)) == len(texts), f"{shard}: something was recorded twice"
        for shard, first_seq, texts in acknowledged:
            assert by_shard[shard][first_seq - 1 : first_seq - 1 + len(texts)] == texts, f"{shard} {first_seq}: {texts}"
        assert sum(len(texts) for _, _, texts in acknowledged) + 1 == len(records), "every append was insisted upon"
        assert len(acknowledged) > 20 * times, "there was no load"
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


def test_a_server_that_crashes_under_load(own_server: OwnServer, tmp_path: Path) -> None:
    """P1, P2, P3, P5: three crashes."""
    crashed_under_load(own_server, tmp_path, times=3, every_s=0.8)


@pytest.mark.long
def test_a_server_that_crashes_under_load_for_long(own_server: OwnServer, tmp_path: Path) -> None:
    """P1, P2, P3, P5: every second or so for half a minute."""
    crashed_under_load(own_server, tmp_path, times=25, every_s=1.0)


def test_a_server_that_is_away_is_said_to_be(own_server: OwnServer) -> None:
    """P1: each call ends with UnavailableError while it is down, and works as soon as it is up, with no new handle."""
    with open_log(own_server.url) as log, log.follow() as follower:
        log.append("run-1", [line("a")])
        assert text_of(next(follower)) == "a"
        log.catch_up()
        for end in (own_server.kill, own_server.stop):
            end()
            for deed in (
                lambda: log.append("run-1", [line("never")], expected=99),
                lambda: log.read(),
                lambda: log.read_shard("run-1"),
                lambda: log.catch_up(),
                lambda: log.seal("run-1"),
                lambda: next(follower),
                lambda: open_log(own_server.url),
            ):
                begin = time.monotonic()
                with pytest.raises(UnavailableError):
                    deed()
                assert time.monotonic() - begin < 10, "a server that refuses at once was waited for"
            own_server.start()
            log.append("run-1", [line(end.__name__)])
            assert text_of(next(follower)) == end.__name__
        assert [text_of(record) for record in log.read().events] == ["a", "kill", "stop"]


def test_sessions_that_were_ended_are_not_noticed(served: Served) -> None:
    """P1: the server ends every connection of the pool, in use or not; the next calls find new ones."""
    with open_log(served.url) as log, log.follow() as follower, ThreadPoolExecutor(4) as pool:
        position = 0
        for turn in range(3):
            list(pool.map(lambda n: log.append(f"run-{n % 4}", [line(f"{n}")]), range(16)))
            assert served.end_sessions() > 1
            assert log.append("run-0", [line(f"after {turn}")]).first_seq == (turn + 1) * 5
            served.end_sessions()
            position += 17
            assert log.catch_up().position == position
            served.end_sessions()
            assert [next(follower).position for _ in range(17)][-1] == position
            served.end_sessions()
            assert len(log.read_shard("run-0").records) == (turn + 1) * 5
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
