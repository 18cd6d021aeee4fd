"""Buckets: what errors mean and how long they are borne, what a call costs, and that no credentials are shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ParamValidationError
from s3fs.errors import translate_boto_error

from foldlog import FoldlogError, ReadOnlyError, UnavailableError, UsageError
from foldlog.backends.objectstore.stores import cloud, open_objects
from foldlog.backends.objectstore.stores.cloud import CloudObjects
from foldlog.backends.objectstore.stores.meaning import Meaning, meaning_of
from foldlog.backends.objectstore.stores.s3 import PartRefused
from foldlog.engine.secrecy import Secrecy

SECRET = "hunter2hunter2"


def botocore_error(code: str, status: int, **more: str) -> ClientError:
    said = {"Error": {"Code": code, "Message": f"about {SECRET}", **more}}
    return ClientError({**said, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


def s3fs_error(code: str, status: int, **more: str) -> Exception:
    error: Exception = translate_boto_error(botocore_error(code, status, **more))
    return error


def azure_error(name: str, status: int, code: str) -> Exception:
    from azure.core import exceptions

    error = getattr(exceptions, name)(message="about it")
    error.status_code, error.error_code = status, code
    return error


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


class HttpError(Exception):
    """As gcsfs has it."""

    def __init__(self, code: Any) -> None:
        super().__init__(f"about it, {code}")
        self.code = code


MEANINGS = [
    (s3fs_error("PreconditionFailed", 412, Condition="If-None-Match"), Meaning.EXISTS),
    (s3fs_error("PreconditionFailed", 412), Meaning.EXISTS),
    (s3fs_error("412", 412), Meaning.EXISTS),
    (s3fs_error("ConditionalRequestConflict", 409), Meaning.AGAIN),
    (s3fs_error("OperationAborted", 409), Meaning.AGAIN),
    (s3fs_error("NoSuchKey", 404), Meaning.MISSING),
    (s3fs_error("404", 404), Meaning.MISSING),
    (s3fs_error("NoSuchBucket", 404), Meaning.NOWHERE),
    (s3fs_error("InvalidRange", 416), Meaning.EMPTY),
    (s3fs_error("SlowDown", 503), Meaning.AGAIN),
    (s3fs_error("InternalError", 500), Meaning.AGAIN),
    (s3fs_error("RequestTimeout", 408), Meaning.AGAIN),
    (s3fs_error("AccessDenied", 403), Meaning.REFUSED),
    (s3fs_error("403", 403), Meaning.REFUSED),
    (s3fs_error("InvalidAccessKeyId", 403), Meaning.REFUSED),
    (s3fs_error("ExpiredToken", 400), Meaning.REFUSED),
    (s3fs_error("InvalidArgument", 400), Meaning.WRONG),
    (s3fs_error("PermanentRedirect", 301), Meaning.WRONG),
    (PartRefused({"Code": "AccessDenied"}), Meaning.REFUSED),
    (PartRefused({"Code": "SlowDown"}), Meaning.AGAIN),
    (PartRefused({"Code": "Odd"}), Meaning.WRONG),
    (NoCredentialsError(), Meaning.REFUSED),
    (EndpointConnectionError(endpoint_url="http://x"), Meaning.AGAIN),
    (ParamValidationError(report="wrong"), Meaning.WRONG),
    (FileExistsError("x"), Meaning.EXISTS),  # gcsfs, adlfs
    (FileNotFoundError("x"), Meaning.MISSING),
    (OSError("Forbidden: https://storage/x"), Meaning.REFUSED),  # gcsfs
    (HttpError(429), Meaning.AGAIN),
    (HttpError("503"), Meaning.AGAIN),
    (HttpError(416), Meaning.EMPTY),
    (HttpError(401), Meaning.REFUSED),
    (azure_error("ResourceExistsError", 409, "BlobAlreadyExists"), Meaning.EXISTS),
    (azure_error("HttpResponseError", 416, "InvalidRange"), Meaning.EMPTY),
    (azure_error("HttpResponseError", 503, "ServerBusy"), Meaning.AGAIN),
    (azure_error("ClientAuthenticationError", 403, "AuthenticationFailed"), Meaning.REFUSED),
    (wrapped(FileNotFoundError("x"), azure_error("ResourceNotFoundError", 404, "BlobNotFound")), Meaning.MISSING),
    (wrapped(FileNotFoundError("x"), azure_error("ResourceNotFoundError", 404, "ContainerNotFound")), Meaning.NOWHERE),
    (TimeoutError(), Meaning.AGAIN),
    (ConnectionResetError(), Meaning.AGAIN),
    (ValueError("Invalid endpoint"), Meaning.WRONG),
    (TypeError("a bug"), Meaning.UNFORESEEN),
    (ZeroDivisionError(), Meaning.UNFORESEEN),
]


@pytest.mark.parametrize(("error", "meaning"), MEANINGS, ids=[f"{row[0]!r:.60}" for row in MEANINGS])
def test_what_an_error_means(error, meaning):
    assert meaning_of(error) is meaning


class Scripted:
    """A driver that raises what is next in its script, and then does what it is asked."""

    PACKAGE = "none"

    def __init__(self, *script: Exception) -> None:
        self.script = list(script)
        self.held: dict[str, bytes] = {}
        self.calls = 0

    def _next(self) -> None:
        self.calls += 1
        if self.script:
            raise self.script.pop(0)

    def write(self, path: str, data: bytes, *, create: bool, timeout_s: float) -> None:
        self._next()
        if create and path in self.held:
            raise FileExistsError(path)
        self.held[path] = data

    def read(self, path: str, start: int, end: int | None, *, timeout_s: float) -> bytes:
        self._next()
        return self.held[path][start:end]

    def find(self, path: str, *, timeout_s: float) -> list[Any]:
        self._next()
        return []

    def delete(self, paths: Any, *, timeout_s: float) -> None:
        self._next()

    def abandon(self) -> None:
        self.is_abandoned = True


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr(cloud, "time", clock)
    return pauses


def scripted(*script: Exception) -> tuple[CloudObjects, Scripted]:
    driver = Scripted(*script)
    secrecy = Secrecy("s3://bucket/p", {"secret": SECRET})
    return CloudObjects("s3://bucket/p", "bucket/p", secrecy, lambda: driver), driver  # type: ignore[arg-type]


def test_parts_of_a_connection_string_are_not_shown():
    secrecy = Secrecy("az://box", {"connection_string": "AccountName=me;AccountKey=hunter2==;BlobEndpoint=http://x"})
    assert secrecy.shown("me at http://x with hunter2==") == "me at http://x with ***"


def calls_of(objects: CloudObjects) -> list[Callable[[], Any]]:
    return [
        lambda: objects.create("a", b"x"),
        lambda: objects.put("a", b"x"),
        lambda: objects.get("a"),
        lambda: objects.list("a/"),
        lambda: objects.delete(["a"]),
    ]


def test_a_busy_store_is_asked_again(slept):
    objects, driver = scripted(s3fs_error("SlowDown", 503), TimeoutError(), s3fs_error("OperationAborted", 409))
    assert objects.create("a", b"x") is True
    assert driver.held == {"bucket/p/a": b"x"}
    assert len(slept) == 3
    assert all(pause <= limit for pause, limit in zip(slept, (0.1, 0.2, 0.4), strict=True))


def test_a_repeated_create_meets_its_own_object(slept):
    objects, driver = scripted(TimeoutError())
    driver.held["bucket/p/a"] = b"x"  # it was done, and the reply was lost
    assert objects.create("a", b"x") is False


@pytest.mark.parametrize("call", range(5))
def test_patience_has_an_end(slept, call):
    objects, driver = scripted(*[s3fs_error("SlowDown", 503) for _ in range(100)])
    with pytest.raises(UnavailableError, match=r"s3://bucket/p: cannot \w+ a/?: ") as caught:
        calls_of(objects)[call]()
    assert 4 <= sum(slept) <= 10
    assert 5 <= driver.calls <= 30
    assert caught.value.remedy.startswith("Check the network and the store, then repeat the call")


LASTING = [
    (s3fs_error("AccessDenied", 403), "access was refused", "Let these credentials list 'bucket'"),
    (NoCredentialsError(), "access was refused", "FOLDLOG_STORAGE_OPTIONS has them"),
    (s3fs_error("NoSuchBucket", 404), "there is no 'bucket'", "Make 'bucket' with the tools of the store"),
    (s3fs_error("InvalidArgument", 400), "OSError", "Correct the URL or the storage options"),
    (ValueError("Invalid endpoint"), "ValueError: Invalid endpoint", "Correct the URL or the storage options"),
]


@pytest.mark.parametrize("call", range(5))
@pytest.mark.parametrize(("error", "message", "remedy"), LASTING, ids=[row[1] + row[2][:9] for row in LASTING])
def test_what_no_repetition_mends_is_told_at_once(slept, error, message, remedy, call):
    objects, driver = scripted(error)
    with pytest.raises(UsageError, match=message) as caught:
        calls_of(objects)[call]()
    assert remedy in caught.value.remedy
    assert str(caught.value).startswith("s3://bucket/p: cannot ")
    of_writing = "refused" in message and not re.search("cannot (read|list)", str(caught.value))
    assert isinstance(caught.value, ReadOnlyError) == of_writing
    assert (driver.calls, slept) == (1, [])
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("given", [{"nokey": SECRET}, {"key": "k", "secret": SECRET, "client_kwargs": {"nowhere": 1}}])
def test_options_that_the_package_does_not_know_are_told(monkeypatch, given):
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(given))
    objects = open_objects("s3://bucket/p", create=False)
    with pytest.raises(
        UsageError, match=r"s3://bucket/p: the store's package takes no such options: .*no(key|where)"
    ) as caught:
        objects.list("")
    assert caught.value.remedy.startswith("Correct FOLDLOG_STORAGE_OPTIONS")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_child_abandons_the_connection_of_its_parent():
    objects, driver = scripted()
    objects.put("a", b"x")
    objects.begin_anew()
    assert driver.is_abandoned


def test_an_error_of_the_program_passes_unless_it_shows_a_secret(slept):
    objects, _ = scripted(TypeError("a bug"), TypeError(f"a bug with {SECRET}"))
    with pytest.raises(TypeError, match="a bug"):
        objects.put("a", b"x")
    with pytest.raises(UnavailableError) as caught:
        objects.put("a", b"x")
    assert "a bug with ***" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# -- S3 itself


@pytest.fixture
def bucket(s3_bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    return s3_bucket


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that were sent to S3."""
    from aiobotocore.client import AioBaseClient

    operations: list[str] = []
    real = AioBaseClient._make_api_call

    async def count(self: Any, operation: str, given: Any) -> Any:
        operations.append(operation)
        return await real(self, operation, given)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", count)
    return operations


def test_each_call_is_one_request(bucket, asked):
    objects = open_objects(f"{bucket.url}/p", create=True)
    assert asked == []  # nothing is asked before the first use
    for call, operation in [
        (lambda: objects.create("a/1", b"x" * 6_000_000), "PutObject"),
        (lambda: objects.create("a/1", b"x"), "PutObject"),
        (lambda: objects.put("a/2", b"x"), "PutObject"),
        (lambda: objects.get("a/1"), "GetObject"),
        (lambda: objects.get("a/1", start=5), "GetObject"),
        (lambda: objects.get("a/1", start=5, end=9), "GetObject"),
        (lambda: objects.get("a/1", start=10**8, end=10**8 + 9), "GetObject"),
        (lambda: objects.get("a/none"), "GetObject"),
        (lambda: objects.list("a/"), "ListObjectsV2"),
        (lambda: objects.list("none/"), "ListObjectsV2"),
        (lambda: objects.delete(["a/1", "a/2", "a/3"]), "DeleteObjects"),
    ]:
        asked.clear()
        call()
        assert asked == [operation]
    asked.clear()
    objects.delete([])
    assert asked == []


def test_a_listing_of_several_pages_is_whole(bucket, monkeypatch):
    from aiobotocore.client import AioBaseClient

    objects = open_objects(f"{bucket.url}/p", create=True)
    names = [f"a/{number:02d}" for number in range(11)]
    for name in names:
        objects.create(name, b"x")
    real, pages = AioBaseClient._make_api_call, []

    async def in_small_pages(self: Any, operation: str, given: Any) -> Any:
        if operation == "ListObjectsV2":
            pages.append(1)
            given = {**given, "MaxKeys": 4}
        return await real(self, operation, given)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", in_small_pages)
    assert [found.name for found in objects.list("a/")] == names
    assert len(pages) == 3


def test_more_deletions_than_one_request_takes(bucket, asked, monkeypatch):
    monkeypatch.setattr("foldlog.backends.objectstore.stores.s3.AT_ONCE", 3)
    objects = open_objects(bucket.url, create=True)
    names = [f"a/{number}" for number in range(7)]
    for name in names:
        objects.create(name, b"x")
    asked.clear()
    objects.delete([*names, "a/none"])
    assert asked == ["DeleteObjects"] * 3
    assert objects.list("") == []


def test_a_bucket_that_is_not_there_is_named_and_not_made(bucket):
    objects = open_objects("s3://foldlog-test-is-not-there/p", create=True)
    for call in calls_of(objects):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"s3://foldlog-test-is-not-there/p: cannot .*'foldlog-test-is-not-there'"):
            call()


def test_a_store_that_does_not_answer(bucket, monkeypatch):
    options = {**bucket.options, "secret": SECRET, "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(options))
    monkeypatch.setattr(cloud, "PATIENCE_S", 0.5)
    objects = open_objects(f"{bucket.url}/p", create=True)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="cannot read a: EndpointConnectionError") as caught:
        objects.get("a")
    assert time.monotonic() - began < 8
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(objects) + objects.url


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("s3://bucket/x", "s3fs", "foldlog[s3]"),
        ("gs://bucket/x", "gcsfs", "foldlog[gcs]"),
        ("gcs://bucket", "gcsfs", "foldlog[gcs]"),
        ("az://box", "adlfs", "foldlog[azure]"),
        ("abfss://box", "adlfs", "foldlog[azure]"),
    ],
)
def test_a_missing_package_is_named(url, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"{url}: the package for .*:// URLs is not installed") as caught:
        open_objects(url, create=True)
    assert caught.value.remedy == f"Install it: pip install '{package}'"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("options", ['{"key": "hunter2"', '["hunter2"]'])
def test_options_that_are_no_json_object_are_not_shown(options, monkeypatch):
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", options)
    with pytest.raises(FoldlogError, match="FOLDLOG_STORAGE_OPTIONS is no JSON object") as caught:
        open_objects("s3://bucket/x", create=True)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


FORKING = """
import os, sys
from foldlog.backends.objectstore.stores import open_objects

objects = open_objects(sys.argv[1], create=True)
objects.create("parent", b"1")
for _ in range(3):
    child = os.fork()
    if child == 0:
        assert objects.get("parent") == b"1"
        sys.exit(7)  # not os._exit: all that runs at the end of a process does
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert objects.get("parent") == b"1"
child = os.fork()
if child == 0:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("whole")
"""


def forked_to_the_end(url: str, environment: dict[str, str]) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(FORKING), url],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
    assert time.monotonic() - began < 30


def test_children_end_by_themselves_and_leave_the_connections_of_the_parent(bucket):
    forked_to_the_end(bucket.url, {"FOLDLOG_STORAGE_OPTIONS": json.dumps(bucket.options)})


def test_children_and_azure(request):
    try:
        container = request.getfixturevalue("azure_container")
    except pytest.FixtureLookupError:
        pytest.skip("these tests have no Azure server yet")
    forked_to_the_end(container.url, {"FOLDLOG_STORAGE_OPTIONS": json.dumps(container.options)})


def test_a_container_that_is_not_there_is_named_and_not_made(request, monkeypatch):
    try:
        container = request.getfixturevalue("azure_container")
    except pytest.FixtureLookupError:
        pytest.skip("these tests have no Azure server yet")
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(container.options))
    objects: Any = open_objects("az://foldlog-test-is-not-there/p", create=True)
    for call in calls_of(objects):
        with pytest.raises(UsageError, match="there is no 'foldlog-test-is-not-there'"):
            call()
