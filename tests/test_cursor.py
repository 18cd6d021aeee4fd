"""Cursors: opaque text that says which history it is of, and is refused by every other (P11)."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import HistoryDiverged, UsageError
from foldlog.engine.log.cursor import Cursor, accept, cursor_at
from foldlog.engine.log.port import GENESIS, Backend
from foldlog.testing.store import put, sequence

LOG_ID = UUID(int=0xABC)


def filled(*sizes: int) -> MemoryBackend:
    backend = MemoryBackend()
    for turn, size in enumerate(sizes):
        put(backend, f"run-{turn % 2}", *[b"x"] * size)
    sequence(backend)
    return backend


def test_a_cursor_says_what_it_is_of() -> None:
    cursor = Cursor.build(LOG_ID, 3, 12, bytes(range(16)))
    assert cursor == f"v1:{LOG_ID.hex}:3:12:0001020304050607"
    assert cursor.parts == (LOG_ID, 3, 12, bytes(range(8)))
    assert cursor.position == 12
    assert Cursor(str(cursor)).parts == cursor.parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1",
        "7",
        f"v2:{LOG_ID.hex}:1:0:{'00' * 8}",
        f"v1:{LOG_ID.hex}:1:0:{'00' * 7}",
        f"v1:{LOG_ID.hex}:1:0:{'00' * 9}",
        f"v1:{LOG_ID.hex}:1:0:{'zz' * 8}",
        f"v1:{LOG_ID.hex}:1:-1:{'00' * 8}",
        f"v1:{LOG_ID.hex}:-1:1:{'00' * 8}",
        f"v1:{LOG_ID.hex}:1:one:{'00' * 8}",
        f"v1:{LOG_ID.hex[1:]}:1:1:{'00' * 8}",
        f"v1:{LOG_ID.hex}:1:1:{'00' * 8}:",
        f"v1:{LOG_ID.hex}:1:1",
    ],
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(UsageError, match="not a foldlog cursor"):
        Cursor(text).parts  # noqa: B018 - taken apart when asked


def test_mutilated_cursors_are_refused_or_of_another_history() -> None:
    """Any text: an answer that is right, or a FoldlogError; never another exception."""
    backend = filled(2, 3, 1)
    dice = random.Random(1)
    good = str(cursor_at(backend, 4, backend.head()))
    for _ in range(500):
        text = list(good)
        for _ in range(dice.randint(1, 3)):
            text[dice.randrange(len(text))] = dice.choice("0123456789abcdef:v-x\0 ")
        try:
            # Every position of one receipt has the same chain: forged within it, a cursor goes through.
            assert accept(backend, "".join(text), backend.head()) in (3, 4, 5)
        except (UsageError, HistoryDiverged):
            continue


@pytest.mark.parametrize("position", range(7))
def test_a_cursor_anywhere_is_accepted(position: int) -> None:
    """At the start, inside a receipt, between two, at the head; also when the log has grown."""
    backend = filled(2, 3, 1)
    cursor = cursor_at(backend, position, backend.head())
    assert accept(backend, cursor, backend.head()) == position
    put(backend, "run-9", b"more")
    backend.start_epoch("a test")
    sequence(backend)
    assert accept(backend, cursor, backend.head()) == position


def test_the_start_has_the_chain_of_the_beginning() -> None:
    backend = filled(1)
    assert cursor_at(backend, 0, backend.head()).parts.chain == GENESIS[:8]


def refusal(backend: Backend, cursor: Cursor) -> str:
    with pytest.raises(HistoryDiverged) as caught:
        accept(backend, cursor, backend.head())
    return str(caught.value)


def test_another_log() -> None:
    one, other = filled(1, 2), filled(1, 2)
    assert str(one.head().log_id) in refusal(other, cursor_at(one, 2, one.head()))


def test_a_restored_backup() -> None:
    """Beyond the head of the copy; and, once it has grown past the cursor with other events, by the chain."""
    backend = filled(1, 2)
    head = backend.head()
    lost = Cursor.build(head.log_id, head.epoch, 5, b"gone" * 4)
    assert "restored" in refusal(backend, lost)
    put(backend, "run-1", b"x", b"y", b"z")
    sequence(backend)
    assert "other events" in refusal(backend, lost)


def test_a_later_epoch_than_the_log_has() -> None:
    backend = filled(1)
    head = backend.head()
    assert "epoch" in refusal(backend, Cursor.build(head.log_id, head.epoch + 1, 1, head.chain))
