"""URLs of stores: what each means, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldlog import UsageError
from foldlog.backends.objectstore.stores import check_url, open_objects
from foldlog.backends.objectstore.stores.address import parse
from foldlog.engine.urls import absolute

RIGHT = [
    ("s3://bucket", "s3", "bucket", "full", "s3://bucket"),
    ("s3://bucket/", "s3", "bucket", "full", "s3://bucket"),
    ("S3://My.bucket_1/a/b-c/", "s3", "My.bucket_1/a/b-c", "full", "s3://My.bucket_1/a/b-c"),
    ("gs://bucket/x", "gs", "bucket/x", "full", "gs://bucket/x"),
    ("gcs://bucket/x", "gcs", "bucket/x", "full", "gcs://bucket/x"),
    ("az://box/x", "az", "box/x", "full", "az://box/x"),
    ("abfs://box/x", "abfs", "box/x", "full", "abfs://box/x"),
    ("abfss://box/x", "abfss", "box/x", "full", "abfss://box/x"),
    ("file:///srv/log", "file", "/srv/log", "full", "file:///srv/log"),
    ("file:///srv/log/?durability=process", "file", "/srv/log", "process", "file:///srv/log"),
    ("file:///srv/log?durability=full", "file", "/srv/log", "full", "file:///srv/log"),
    ("file:///a%20log", "file", "/a log", "full", "file:///a%20log"),
    ("file:///./a/log", "file", str(Path("a/log").absolute()), "full", f"file://{Path('a/log').absolute()}"),
    ("file:///../log/", "file", str(Path("..").resolve() / "log"), "full", f"file://{Path('..').resolve()}/log"),
    ("file:////srv//log", "file", "/srv/log", "full", "file:///srv/log"),
]
SCHEMES = "there are file://, s3://, gs://, gcs://, az://, abfs://, abfss://."
OPTIONS = "Put them into FOLDLOG_STORAGE_OPTIONS, a JSON object."
KEYS = 'Put them into FOLDLOG_STORAGE_OPTIONS, a JSON object as {"key": ..., "secret": ...}; write %s://bucket/prefix.'
PREFIX = "Use letters, digits and ._=@~- between single slashes, at most 400 bytes."
WRONG = [
    ("bucket/x", "'bucket/x' is no URL of a store of objects", f"Write s3://bucket/prefix or file:///path; {SCHEMES}"),
    ("ftp://x", "'ftp://x' is no URL of a store of objects", f"Write s3://bucket/prefix or file:///path; {SCHEMES}"),
    ("s3:/x", "'s3:/x' is no URL of a store of objects", f"Write s3://bucket/prefix or file:///path; {SCHEMES}"),
    ("s3://", "s3:: there is no bucket's name in it", "Write s3://bucket/prefix."),
    ("s3:///x", "s3:///x: there is no bucket's name in it", "Write s3://bucket/prefix."),
    ("s3://b", "s3://b: there is no bucket's name in it", "Write s3://bucket/prefix."),
    ("s3://bucket?x=1", "s3://bucket: a s3:// URL takes no options", OPTIONS),
    ("gs://bucket/x?secret=hunter2", "gs://bucket/x: a gs:// URL takes no options", OPTIONS),
    ("s3://key:hunter2@bucket/x", "a s3:// URL takes no credentials", KEYS % "s3"),
    ("s3://hunter2@bucket/x", "a s3:// URL takes no credentials", KEYS % "s3"),
    ("az://hunter2@box/x", "a az:// URL takes no credentials", KEYS % "az"),
    ("s3://bucket//x", "s3://bucket//x: the prefix cannot be one of objects", PREFIX),
    ("s3://bucket/a b", "s3://bucket/a b: the prefix cannot be one of objects", PREFIX),
    ("s3://bucket/../x", "s3://bucket/../x: the prefix cannot be one of objects", PREFIX),
    ("s3://bucket/" + "/".join(["x" * 100] * 4), None, PREFIX),
    (
        "file://./history",
        "file://./history: a file:// URL has no host, and three slashes",
        "Write file:///./history for a folder seen from this one, or file:///history from the root.",
    ),
    (
        "file://host/x",
        "file://host/x: a file:// URL has no host, and three slashes",
        "Write file:///./host/x for a folder seen from this one, or file:///host/x from the root.",
    ),
    ("file:///", "file:/// names no folder", "Write file:///path/of/a/folder."),
    (
        "file:///x?mode=fast",
        "file:///x has an option 'mode'; there is durability",
        "Leave it out, or correct its name.",
    ),
    (
        "file:///x?durability=none",
        "file:///x: durability='none' is not one of full, process",
        "Write ?durability=process to do without syncs, or leave it out.",
    ),
]


@pytest.mark.parametrize(("url", "scheme", "place", "durability", "shown"), RIGHT, ids=[row[0] for row in RIGHT])
def test_a_url_that_means_something(url, scheme, place, durability, shown):
    address = parse(url)
    assert (address.scheme, address.place, address.durability, address.shown) == (scheme, place, durability, shown)
    assert address.account is None


@pytest.mark.parametrize(("url", "message", "remedy"), WRONG, ids=[row[0][:30] for row in WRONG])
def test_a_url_that_means_nothing(url, message, remedy):
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert str(caught.value) == (message or f"{url}: the prefix has 403 bytes")
    assert caught.value.remedy == remedy
    assert "hunter2" not in f"{caught.value}{caught.value.remedy}"
    with pytest.raises(UsageError):
        open_objects(url, create=True)


def test_an_account_of_azure_may_be_in_the_url():
    address = parse("abfss://box@account1.dfs.core.windows.net/a/b")
    assert (address.place, address.account) == ("box/a/b", "account1")
    assert address.shown == "abfss://box@account1.dfs.core.windows.net/a/b"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///./history?durability=process", "file:///the/base/history?durability=process"),
        ("file:///../history", "file:///the/base/../history"),
        ("file:///srv/history", "file:///srv/history"),
        ("s3://bucket/./x", "s3://bucket/./x"),
    ],
)
def test_a_relative_url_is_seen_from_its_file(url, expected):
    assert absolute(url, Path("/the/base")) == expected
