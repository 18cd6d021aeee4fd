"""`foldlog bench objects`, small: every workload runs and checks its answer.

What the figures are is a matter of `foldlog bench` itself, not of these tests.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from foldlog.benchmarks import contest
from foldlog.benchmarks.objects import appending, bucket, idling, local, opening, reading, scaling, timing
from foldlog.benchmarks.objects.workloads import WORKLOADS
from foldlog.engine.cli.bench import ON_OBJECTS
from foldlog.engine.cli.main import cli


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """All of it in seconds."""
    for module, name, value in [
        (appending, "APPENDS", 2), (appending, "EVENTS", 2_000), (appending, "SINGLES", 2),
        (scaling, "PROCESSES", 2), (scaling, "SECONDS", 0.1), (opening, "COMMITS", 130), (opening, "RUN", 50),
        (reading, "RUN", 300), (bucket, "RUN", 300), (bucket, "SINGLES", 2), (idling, "SECONDS", 0.5),
        (local, "SINGLES", 5),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, value)
    for module in (contest, timing, scaling):
        monkeypatch.setattr(module, "wait_for_quiet", lambda: None)


def bench(*args, code=0):
    done = CliRunner().invoke(cli, ["bench", *map(str, args)], prog_name="foldlog", env={"FOLDLOG_BENCH_URL": ""})
    assert done.exit_code == code, done.output
    return done


def figures(*args):
    document = json.loads(bench("objects", *args, "--rounds", 1, "--json").stdout)
    assert "30 ms a PUT" in document["machine"]["distant"]
    return {one["workload"]: one for one in document["workloads"]}


def test_the_command_knows_every_workload():
    assert tuple(WORKLOADS) == ON_OBJECTS


def test_appends_and_reads_are_timed_against_the_store_alone():
    found = figures("append", "read")
    assert found.keys() == {
        "an append of 1, median", "an append of 100, median", "an append of 1 with wait='ordered', median",
        "read the run of 300", "read the timeline of 300",
    }  # fmt: skip
    assert all(one["foldlog"] > 0 and one["raw"] > 0 and one["unit"] == "ms" for one in found.values())


def test_puts_and_dollars_are_counted():
    found = figures("puts")
    for shape, least in {"batch 1": 2000, "batch 100": 20, "batch 1000 in 20 runs": 21}.items():
        assert found[f"PUTs per 1000 events: {shape}"]["foldlog"] > least  # segments, markers, steps
        assert found[f"a million events: {shape}"]["foldlog"] > 0
    assert found["PUTs per 1000 events: batch 1"]["goal"] == ""


def test_processes_open_and_write_at_once():
    (one,) = figures("scale").values()
    assert one["workload"] == "2 processes, a run each"
    assert one["foldlog"] > 0


def test_opening_is_counted_with_and_without_its_checkpoint():
    found = figures("open")
    whole, lost = (found[f"GETs: open 130 commits{more}"] for more in ("", ", newest checkpoint lost"))
    assert 0 < whole["foldlog"] < lost["foldlog"]
    folded, fetched = (found[f"first answer of cold views, {how}"] for how in ("folded", "from a snapshot"))
    assert folded["foldlog"] > 0
    assert fetched["note"] != folded["note"]


def test_an_idle_log_writes_nothing():
    found = figures("idle")
    for name in ("an open log", "an open log with a follower"):
        assert found[f"idle, writes in 0.5 s: {name}"]["good"]
    assert found["idle, a month: an open log"]["foldlog"] == 0


def test_files_are_written_both_ways(tmp_path):
    assert figures("local", "--folder", tmp_path).keys() == {"files, durability=full", "files, durability=process"}
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_is_measured_and_emptied(s3_bucket, monkeypatch):
    import s3fs

    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    found = figures("--url", s3_bucket.url)
    assert len(found) == 6
    assert all(name.startswith(f"{s3_bucket.url}: ") and one["foldlog"] > 0 for name, one in found.items())
    assert s3fs.S3FileSystem(**s3_bucket.options, use_listings_cache=False).find(s3_bucket.url) == []


def test_names_go_with_what_is_measured():
    assert "foldlog bench objects puts" in bench("puts", code=2).output
    assert "jobs has nothing to do with objects" in bench("objects", "jobs", code=2).output


def test_the_raw_code_is_printed():
    assert "os.link(" in bench("objects", "local", "--rounds", 1, "--raw-code").output
