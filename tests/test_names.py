"""Shard names: what is let through is kept by every backend, what is not says why."""

from __future__ import annotations

import pytest

from foldlog.engine.errors import UsageError
from foldlog.engine.log import names
from foldlog.engine.log.names import check_shard_name, is_system_shard
from foldlog.testing.shard import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_good_names(name: str) -> None:
    check_shard_name(name)
    check_shard_name(name)  # from memory


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("x" * 201, "201 bytes"),
        ("\u00e9" * 101, "202 bytes"),
        ("x" * 300, "300 bytes"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("\ud800", "surrogate"),
        (".", "folder"),
        ("..", "folder"),
        ("../x", "folder"),
        ("/etc/passwd", "folder"),
        ("@partitions/../x", "folder"),
        ("@partitions/..", "folder"),
        ("a/b", "slash"),
        ("a\\b", "slash"),
        (" a", "blank"),
        ("a ", "blank"),
        ("\u00a0a", "blank"),
        (7, "not text"),
        (None, "not text"),
    ],
)
def test_bad_names(name: object, reason: str) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match=reason):
            check_shard_name(name)  # type: ignore[arg-type]


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        check_shard_name("x" * 100_000)
    assert len(str(caught.value)) < 300


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_SEEN", set())
    monkeypatch.setattr(names, "_SEEN_LIMIT", 10)
    for number in range(100):
        check_shard_name(f"run-{number}")
        assert len(names._SEEN) <= 10


def test_system_shards() -> None:
    assert is_system_shard("@queue")
    assert not is_system_shard("queue@")
