"""The commands on object storage: compact, collect, and what doctor says of a bucket."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import foldlog
from foldlog import events
from foldlog.backends.objectstore import open_url
from foldlog.engine.cli.main import cli
from foldlog.engine.log.port import Append
from foldlog.serdes import Codec


@pytest.fixture
def url(tmp_path):
    """A log in a folder, with three finished runs."""
    url = f"file://{tmp_path}/log"
    with foldlog.Instance.from_url(url) as instance:
        for number in range(3):
            run = f"run-{number}"
            for _ in range(3):
                instance.log.append(run, [foldlog.Event.now(events.RunStarted())])
            instance.log.seal(run)
    return url


def invoke(*args, code=0):
    done = CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog")
    assert done.exit_code == code, done.output
    return done


def answer(*args):
    return json.loads(invoke(*args, "--json").stdout)


def age(url, *, hours):
    """Let everything in the store be so much older."""
    then = time.time() - hours * 3600
    for path in Path(url.removeprefix("file://")).rglob("*"):
        os.utime(path, (then, then))


def read(url):
    with foldlog.open_log(url) as log:
        return [(record.position, record.shard, record.seq) for record in log.read().records]


def test_finished_runs_are_compacted_and_what_is_left_collected(url):
    before = read(url)
    done = answer("compact", "--url", url)
    assert (done["shards"], done["superseded"]) == (3, 9)
    assert done["written"]["packs"]["objects"] == 3
    assert answer("collect", "--url", url)["objects"] == 0
    age(url, hours=25)
    told = answer("collect", "--dry-run", "--url", url)
    assert told["garbage"]["slots"]["objects"] == 6
    assert answer("collect", "--dry-run", "--grace", "30", "--url", url)["objects"] == 0
    assert "would go: 6 objects" in invoke("collect", "--dry-run", "--url", url).stdout
    assert answer("collect", "--url", url)["garbage"]["slots"] == told["garbage"]["slots"]
    assert read(url) == before
    assert answer("doctor", "--full", "--url", url)["ok"]
    assert "compacted 0 shards; written: nothing" in invoke("compact", "--url", url).stdout


def test_people_are_told_what_goes_and_why(url):
    assert "9 objects are superseded" in invoke("compact", "--url", url).stdout
    age(url, hours=25)
    done = invoke("collect", "--url", url).stdout
    assert "segments that packs hold" in done
    assert "gone: 6 objects" in done


@pytest.mark.parametrize("name", ["compact", "collect"])
def test_other_backends_have_nothing_to_compact(name, tmp_path):
    url = f"sqlite:///{tmp_path}/history"
    with foldlog.open_log(url) as log:
        log.append("run", [foldlog.Event.now(events.RunStarted())])
    done = invoke(name, "--url", url, code=1)
    assert "has no objects" in done.stderr
    assert "gives back by itself" in done.stderr


@pytest.mark.parametrize("name", ["compact", "collect", "doctor"])
def test_no_command_makes_a_log_by_mistake(name, tmp_path):
    assert "there is no log at" in invoke(name, "--url", f"file://{tmp_path}/nix", code=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_reader_may_not_collect_and_may_look(url):
    with foldlog.open_log(url, read_only=True) as log:
        assert log.collect(dry_run=True).total.objects == 0
        with pytest.raises(foldlog.ReadOnlyError):
            log.collect()
        with pytest.raises(foldlog.ReadOnlyError):
            log.compact()


def test_doctor_says_what_a_bucket_holds_and_costs(url):
    facts = answer("doctor", "--url", url)["facts"]
    assert facts["objects"]["segments"]["number"] == 9
    assert facts["objects"]["steps"]["number"] == facts["steps"]
    assert facts["last_hour"]["segments"] == 9
    assert facts["last_hour"]["puts"] == 18 + facts["steps"]
    assert facts["last_hour"]["dollars"] > 18 * 0.005 / 1000
    assert 0 < facts["storage_dollars_a_month"] < 0.001
    assert facts["requests_list"] >= 8
    assert "dollars_an_hour" not in facts
    age(url, hours=2)
    facts = answer("doctor", "--url", url)["facts"]
    assert facts["last_hour"]["segments"] == 0
    shown = invoke("doctor", "--url", url).stdout
    assert "objects: segments" in shown
    assert "last hour: dollars" in shown


def test_doctor_adopts_what_nobody_was_told_of(url):
    backend = open_url(url)  # no log, which would give positions in the background
    records, digest = Codec().encode([foldlog.Event.now(events.RunStarted())])
    for shard in ("run-3", "run-3", "run-0"):
        backend.append(Append(shard, records, digest))
    shutil.rmtree(Path(url.removeprefix("file://")) / "pending")
    backend.close()
    done = invoke("doctor", "--full", "--url", url, code=3).stdout
    assert done.count("foldlog doctor --adopt") == 3
    assert len(answer("doctor", "--adopt", "--url", url)["adopted"]) == 3
    assert [one[1] for one in read(url)[9:]] == ["run-3", "run-3", "run-0"]
    assert answer("doctor", "--full", "--url", url)["ok"]
    assert "0 objects adopted" in invoke("doctor", "--adopt", "--url", url).stdout


def test_retention_says_what_deletes_the_names_that_are_left(url):
    done = invoke("retention", "apply", "--runs-days", "0", "--yes", "--url", url)
    assert ("foldlog collect" in done.stdout) == ("runs deleted: 0" not in done.stdout)
