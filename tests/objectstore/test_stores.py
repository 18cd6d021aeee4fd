"""Each store of objects keeps the promises of the port, the memory store being the model."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from foldlog import UsageError
from foldlog.backends.objectstore.stores import Objects, open_objects
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.backends.objectstore.stores.probing import probe

Opener = Callable[[], Objects]


def memory(request: Any) -> Opener:
    shared = MemoryObjects()
    return lambda: shared


def local(request: Any) -> Opener:
    folder = request.getfixturevalue("tmp_path") / "objects"
    return lambda: open_objects(f"file://{folder}", create=True)


def local_process(request: Any) -> Opener:
    folder = request.getfixturevalue("tmp_path") / "objects"
    return lambda: open_objects(f"file://{folder}?durability=process", create=True)


def local_named(request: Any) -> Opener:
    """Where the file system has no nameless files."""
    opened = local(request)

    def open_named() -> Objects:
        objects: Any = opened()
        objects._nameless = False
        return objects

    return open_named


def s3(request: Any) -> Opener:
    bucket = request.getfixturevalue("s3_bucket")
    request.getfixturevalue("monkeypatch").setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(bucket.options))
    return lambda: open_objects(f"{bucket.url}/a/prefix", create=True)


def s3_without_prefix(request: Any) -> Opener:
    bucket = request.getfixturevalue("s3_bucket")
    request.getfixturevalue("monkeypatch").setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(bucket.options))
    return lambda: open_objects(bucket.url, create=False)


def azure(request: Any) -> Opener:
    try:
        container = request.getfixturevalue("azure_container")
    except pytest.FixtureLookupError:
        pytest.skip("these tests have no Azure server yet")
    request.getfixturevalue("monkeypatch").setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(container.options))
    return lambda: open_objects(f"{container.url}/a/prefix", create=True)


STORES = [memory, local, local_process, local_named, s3, s3_without_prefix, azure]


@pytest.fixture(params=STORES, ids=lambda store: store.__name__)
def opener(request: Any) -> Opener:
    return request.param(request)


@pytest.fixture
def objects(opener: Opener) -> Iterator[Objects]:
    opened = opener()
    yield opened
    opened.close()


def names(objects: Objects, prefix: str = "") -> list[str]:
    return [found.name for found in objects.list(prefix)]


def test_an_object_is_made_once(objects):
    assert objects.create("order/0", b"first") is True
    assert objects.create("order/0", b"second") is False
    assert objects.get("order/0") == b"first"


def test_an_object_is_put_and_put_again(objects):
    objects.put("hint", b"1")
    assert objects.get("hint") == b"1"
    objects.put("hint", b"22")
    assert objects.get("hint") == b"22"
    assert objects.create("hint", b"3") is False


def test_what_was_deleted_can_be_made_again(objects):
    objects.create("a/b/c", b"1")
    objects.delete(["a/b/c"])
    assert objects.get("a/b/c") is None
    assert names(objects) == []
    assert objects.create("a/b/c", b"2") is True
    assert objects.get("a/b/c") == b"2"


def test_another_handle_sees_everything_at_once(opener, objects):
    other = opener()
    objects.create("a/1", b"x")
    assert other.get("a/1") == b"x"
    assert names(other, "a/") == ["a/1"]
    assert other.create("a/1", b"y") is False
    other.delete(["a/1"])
    assert objects.get("a/1") is None
    assert names(objects, "a/") == []
    other.close()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 4, b"0123"),
        (3, 7, b"3456"),
        (3, None, b"3456789"),
        (8, 100, b"89"),
        (0, 10, b"0123456789"),
        (9, 10, b"9"),
        (10, 20, b""),
        (10, None, b""),
        (11, None, b""),
        (4, 4, b""),
        (0, 0, b""),
    ],
)
def test_a_part_of_an_object(objects, start, end, expected):
    objects.create("x", b"0123456789")
    assert objects.get("x", start=start, end=end) == expected


def test_a_part_of_what_is_not_there(objects):
    objects.create("a/b", b"x")
    assert objects.get("no") is None
    assert objects.get("no/where", start=3) is None
    assert objects.get("no/where", start=3, end=9) is None
    assert objects.get("no/where", start=3, end=3) is None
    assert objects.get("a") is None


def test_a_listing_is_by_name_and_below_its_prefix(objects):
    for name in ("b", "a-b", "a/b", "a.b", "a/B/c", "ab/c", "a/b0/1", "a/b-1/1"):
        objects.create(name, name.encode())
    everything = objects.list("")
    assert [found.name for found in everything] == sorted(found.name for found in everything)
    assert set(names(objects)) == {"b", "a-b", "a/b", "a.b", "a/B/c", "ab/c", "a/b0/1", "a/b-1/1"}
    assert names(objects, "a/") == ["a/B/c", "a/b", "a/b-1/1", "a/b0/1"]
    assert names(objects, "a/b/") == []
    assert names(objects, "nowhere/") == []


def test_a_listing_tells_sizes_and_when_they_were_written(objects):
    before = time.time_ns() // 1000
    objects.create("a/x", b"12345")
    (found,) = objects.list("a/")
    assert (found.name, found.size) == ("a/x", 5)
    assert before - 2_000_000 <= found.modified_us <= time.time_ns() // 1000 + 2_000_000  # S3 tells whole seconds


def test_deleting_what_is_not_there_is_no_matter(objects):
    objects.create("a/1", b"x")
    objects.delete([])
    objects.delete(["no", "a/no", "no/where", "a/1", "a/1"])
    assert names(objects) == []


def test_many_objects_are_listed_and_deleted(objects):
    made = [f"many/{number:05d}" for number in range(40 if is_remote(objects) else 150)]
    for name in made:
        objects.create(name, b"x")
    assert names(objects, "many/") == made
    objects.delete(made)
    assert names(objects) == []


def is_remote(objects: Objects) -> bool:
    return objects.url.startswith(("s3:", "az:"))


def test_large_objects(objects):
    data = random.Random(1).randbytes(3_000_000)
    assert objects.create("large", data) is True
    assert objects.get("large") == data
    assert objects.get("large", start=2_000_000, end=2_000_100) == data[2_000_000:2_000_100]


NAMES = ["a", "A", "0" * 200, "/".join(["x" * 199] * 3), "a.b_c=d@e~f-g", "...", "..a", "a/.b", "-", "~", "=/="]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12])
def test_every_name_that_is_allowed_can_be_kept(objects, name):
    assert objects.create(name, b"x") is True
    assert objects.get(name) == b"x"
    assert names(objects) == [name]
    objects.put(name, b"y")
    objects.delete([name])
    assert names(objects) == []


WRONG_NAMES = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "./a",
    "a b",
    "ä",
    "a#b",
    "a\n",
    "a:b",
    "0" * 201,
    "a/" * 300 + "a",
]


@pytest.mark.parametrize("name", WRONG_NAMES, ids=lambda name: repr(name[:12]))
def test_other_names_are_refused(objects, name):
    for call in (
        lambda: objects.create(name, b"x"),
        lambda: objects.put(name, b"x"),
        lambda: objects.get(name),
        lambda: objects.delete(["a", name]),
    ):
        with pytest.raises(UsageError, match="is no name of an object"):
            call()


def test_empty_objects_and_half_prefixes_are_refused(objects):
    with pytest.raises(UsageError, match="the object a would be empty"):
        objects.create("a", b"")
    with pytest.raises(UsageError, match="the object a would be empty"):
        objects.put("a", b"")
    with pytest.raises(UsageError, match="'a' is no prefix of objects: it does not end with /"):
        objects.list("a")
    with pytest.raises(UsageError, match="is no name of an object"):
        objects.list("/")


def test_of_eight_who_make_one_object_one_wins(opener):
    handles = [opener() for _ in range(8)]
    rounds = 8 if is_remote(handles[0]) else 60
    won: list[list[int]] = [[] for _ in range(rounds)]
    gate = threading.Barrier(8)

    def race(number: int) -> None:
        for turn in range(rounds):
            gate.wait()
            if handles[number].create(f"race/{turn}", f"{number}".encode() * 5000):
                won[turn].append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for turn, winners in enumerate(won):
        assert len(winners) == 1, f"round {turn}: {winners}"
        assert handles[0].get(f"race/{turn}") == f"{winners[0]}".encode() * 5000
    for handle in handles:
        handle.close()


def test_no_reader_sees_a_part_of_an_object(opener, objects):
    wrong: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        reader = opener()
        while not is_over.is_set():
            for found in reader.list("whole/"):
                data = reader.get(found.name)
                if found.size != 400_000 or data is None or len(data) != 400_000 or len(set(data)) != 1:
                    wrong.append(found.size)
        reader.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(8 if is_remote(objects) else 25):
        objects.create(f"whole/{number}", bytes([number]) * 400_000)
        objects.put(f"whole/{number % 5}", bytes([number]) * 400_000)
    is_over.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_goes_on_with_the_handle(objects):
    objects.create("parent", b"1")
    sending, told = os.pipe()[::-1]
    child = os.fork()
    if child == 0:
        try:
            os.write(sending, repr((objects.get("parent"), objects.create("child", b"2"), names(objects))).encode())
        except BaseException as error:
            os.write(sending, repr(error).encode())
        finally:
            os._exit(0)
    os.close(sending)
    with open(told, "rb") as answer:
        assert answer.read().decode() == repr((b"1", True, ["child", "parent"]))
    os.waitpid(child, 0)
    assert objects.get("parent") == b"1"  # the parent's connections are as they were
    assert objects.create("parent", b"3") is False


def test_it_is_a_place_for_a_log(objects):
    probe(objects)
    assert names(objects) == []


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_the_memory_store(objects, seed):
    dice, model = random.Random(seed), MemoryObjects()
    some = ["a", "b/1", "b/2", "b/c/1", "c-1", "c/1"]
    for _ in range(20 if is_remote(objects) else 150):
        name = dice.choice(some)
        call = dice.choice(
            [
                ("create", (name, dice.choice([b"1", b"22"]))),
                ("put", (name, dice.choice([b"333", b"4444"]))),
                ("get", (name,)),
                ("delete", ([name, dice.choice(some)],)),
            ]
        )
        assert getattr(objects, call[0])(*call[1]) == getattr(model, call[0])(*call[1]), call
        assert [found[:2] for found in objects.list("")] == [found[:2] for found in model.list("")]
    assert names(objects, "b/") == names(model, "b/")
