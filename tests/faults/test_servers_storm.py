"""Many clients at once on an empty database server (P2, P5, P7): they make the log, append and sequence all at the same
time, and none of them is told of an error.
"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from caller import URL, told
from children import start
from served import Served
from story import line, text_of
from test_servers_holes import sound

from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

CLIENTS = 50
STORM = Path(__file__).with_name("stormer.py")


def storm(url: str, folder: Path, processes: int) -> list[list[object]]:
    """50 clients in so many processes, who begin when the last of them is ready; what each was told."""
    gate = folder / "gate"
    threads = CLIENTS // processes
    children: list[subprocess.Popen[bytes]] = [
        start(gate, number, threads, script=STORM, environment={URL: url}) for number in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline() or "null") == "ready"
    gate.touch()
    return [answer for child in children for answer in told(child, timeout=100)]


def weathered(served: Served, folder: Path, processes: int) -> None:
    answers = storm(served.url, folder, processes)
    assert len(answers) == CLIENTS
    assert [answer for answer in answers if answer[0] != "well"] == []
    assert len({log_id for _, log_id, _ in answers}) == 1, "more than one log was made"
    with open_log(served.url) as log:
        assert sorted(seq for _, _, seq in answers) == list(range(1, CLIENTS + 1))
        texts = sound(log)
        assert len(set(texts)) == len(texts) == 2 * CLIENTS


def test_fifty_clients_make_a_log_at_once(served: Served, tmp_path: Path) -> None:
    """P2, P5, P7: five processes of ten."""
    weathered(served, tmp_path, 5)


@pytest.mark.long
def test_fifty_processes_make_a_log_at_once(served: Served, tmp_path: Path) -> None:
    """P2, P5, P7: a process each."""
    weathered(served, tmp_path, CLIENTS)


def test_threads_share_a_pool(served: Served) -> None:
    """P2, P7: more threads than a log has connections: they take turns, and all come to one."""
    with open_log(served.url) as log:
        gate = Barrier(CLIENTS)

        def client(number: int, log: EventLog = log) -> int:
            gate.wait(30)
            return log.append(
                "run-all" if number % 2 else f"run-{number}", [line(f"{number}")], wait="ordered"
            ).last_seq

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(client, range(CLIENTS)))
        assert sorted(sound(log), key=int) == [f"{number}" for number in range(CLIENTS)]
        assert [text_of(record) for record in log.read_shard("run-0").records] == ["0"]
