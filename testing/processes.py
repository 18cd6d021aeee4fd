"""Other processes on the same store: they race, and they are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event as Gate

import pytest

from ..backends import open_backend
from .store import Store, SuiteBase, bodies, held, put, sequence, timeline

SPAWN = multiprocessing.get_context("spawn")  # a forked child would share connections and locks with its parent


def write(url: str, name: str, shards: list[str], count: int, gate: Gate, pipe: Connection) -> None:
    """Append `count` batches, shard by shard in turn, and tell each receipt; every third append is keyed."""
    backend = open_backend(url)
    pipe.send("ready")
    gate.wait()
    for number in range(count):
        shard = shards[number % len(shards)]
        body = f"{name}:{number}".encode()
        receipt = put(backend, shard, body, body, key=None if number % 3 else hash_of(name, number))
        pipe.send((shard, receipt.first_seq, body))
        if number % 10 == 9:
            sequence(backend)
    backend.close()
    pipe.send(None)


def hash_of(name: str, number: int) -> int:
    """A number for the key of an append, the same in every process."""
    return int.from_bytes(f"{name}:{number}".encode()[-15:], "big")


class ProcessTests(SuiteBase):
    @pytest.fixture
    def url(self, store: Store) -> str:
        if not store.processes:
            pytest.skip("this store lives in one process")
        store.open().close()
        return store.url

    def start(
        self, url: str, names: list[str], shards: list[str], count: int
    ) -> Iterator[tuple[BaseProcess, Connection]]:
        gate = SPAWN.Event()
        started = []
        for name in names:
            here, there = SPAWN.Pipe(duplex=False)
            child = SPAWN.Process(target=write, args=(url, name, shards, count, gate, there), daemon=True)
            child.start()
            there.close()
            started.append((child, here))
        for _, here in started:
            assert here.recv() == "ready"
        gate.set()
        yield from started

    def test_processes_share_a_shard(self, store: Store, url: str) -> None:
        """P2, P5: two processes append to the same shards and sequence; dense, whole, nothing lost."""
        acknowledged = []
        for child, pipe in list(self.start(url, ["a", "b"], ["run-1", "run-2"], 40)):
            while (told := pipe.recv()) is not None:
                acknowledged.append(told)
            child.join(30)
            assert child.exitcode == 0
        backend = store.open()
        assert sequence(backend) == 160
        assert [item.position for item in timeline(backend)] == list(range(1, 161))
        for shard in ("run-1", "run-2"):
            stored = held(backend, shard)
            assert [item.seq for item in stored] == list(range(1, 81))
            for _, first_seq, body in [told for told in acknowledged if told[0] == shard]:
                assert bodies(stored[first_seq - 1 : first_seq + 1]) == [body, body]

    @pytest.mark.parametrize("turn", range(3))
    def test_what_was_acknowledged_survives_kill_9(self, store: Store, url: str, turn: int) -> None:
        """P1, P2, P3: killed in the middle of an append, whatever that was; the rest stands, whole and once."""
        handle = store.open()
        put(handle, "run-2", b"open here too", b"open here too")
        children = list(self.start(url, ["a", "b"], ["run-1", "run-2"], 10_000))
        acknowledged = []
        for child, pipe in children:
            acknowledged += [pipe.recv() for _ in range(7 + 12 * turn)]
            os.kill(child.pid or 0, signal.SIGKILL)
        for child, pipe in children:
            child.join(30)
            try:
                while True:
                    acknowledged.append(pipe.recv())
            except EOFError:
                pass
        for backend in store.and_reopened(handle):
            end = sequence(backend)
            assert [item.position for item in timeline(backend)] == list(range(1, end + 1))
            assert end == len(held(backend, "run-1")) + len(held(backend, "run-2"))
            for shard in ("run-1", "run-2"):
                stored = held(backend, shard)
                assert [item.seq for item in stored] == list(range(1, len(stored) + 1))
                assert bodies(stored[0::2]) == bodies(stored[1::2]), "a batch of two is there whole or not at all"
                for _, first_seq, body in [told for told in acknowledged if told[0] == shard]:
                    assert bodies(stored[first_seq - 1 : first_seq + 1]) == [body, body]
        shard, first_seq, body = acknowledged[0]
        retry = put(backend, shard, body, body, key=hash_of("a", 0))
        assert (retry.first_seq, retry.duplicate) == (first_seq, True)
