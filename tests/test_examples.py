"""The examples that run by themselves: what they say is true, and they are definitions like anybody's."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import foldlog
from foldlog.examples import backfill, dynamic, pipeline

EXAMPLES = Path(dynamic.__file__).parent


def said(*command: str, cwd: Path) -> list[str]:
    """What a program prints that ends well."""
    done = subprocess.run([sys.executable, "-P", *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def rain_by(length: int) -> dict[str, float]:
    """The rain of the file, by the first letters of the date; by nobody's code but csv's."""
    found: dict[str, float] = defaultdict(float)
    with (EXAMPLES / "seattle-weather.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found[row["date"][:length].replace("/", "-")] += float(row["precipitation"])
    return found


# -- dynamic outputs --------------------------------------------------------------------------------------------------


def test_the_dynamic_example_tells_what_it_did(tmp_path):
    lines = said("-m", "foldlog.examples.dynamic", cwd=tmp_path)
    assert lines[0] == "by year: 6 steps, of them tried again: summarize[2014]"
    assert lines[5] == "by sky: 7 steps, of them tried again: summarize[rain]"
    years = {words[0]: float(words[-2]) for words in map(str.split, lines[1:5])}
    assert years == {year: round(rain, 1) for year, rain in rain_by(4).items()}
    assert {line.split()[0] for line in lines[6:]} == {"sun", "drizzle", "fog", "rain", "snow"}
    assert list(tmp_path.iterdir()) == []


def test_there_are_as_many_steps_as_the_file_has_pieces():
    config = {"ops": {"split": {"config": {"by": "season"}}}}
    result = foldlog.execute_job(dynamic.pieces, run_config=config)
    seasons = ["autumn", "spring", "summer", "winter"]
    assert set(result.step_outcomes) == {"split", *(f"summarize[{one}]" for one in seasons), "compare"}
    compared = result.output_for_node("compare")
    assert [one["piece"] for one in compared] == ["summer", "autumn", "spring", "winter"]
    assert sum(one["days"] for one in compared) == 1461


def test_a_wrong_piece_is_refused_by_its_place():
    with pytest.raises(foldlog.UsageError, match=r"ops\.split\.config\.by: .*'week'"):
        foldlog.execute_job(dynamic.pieces, run_config={"ops": {"split": {"config": {"by": "week"}}}})


# -- a backfill -------------------------------------------------------------------------------------------------------


def test_the_backfill_tells_what_it_did(tmp_path):
    lines = said("-m", "foldlog.examples.backfill", "sqlite:///history", cwd=tmp_path)
    rain = rain_by(7)
    assert lines == [
        "  2014-08-01: MalformedRow: line 12: temp_max is '35,6', which is no number",
        "four years: COMPLETED, 48 of 48 executed; partitions now: 1 FAILED, 47 MATERIALIZED",
        "what failed: COMPLETED, 1 of 1 executed; partitions now: 48 MATERIALIZED",
        f"the wettest month: {max(rain, key=lambda month: rain[month])}-01",
    ]
    with foldlog.Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        repeated, first = instance.get_backfills()
        assert (first.partitions, first.requested_partitions, first.failed_partitions) == (48, 48, 1)
        assert [one.partition for one in instance.get_backfill_partitions(repeated.backfill_id)] == ["2014-08-01"]
        runs = instance.get_run_records(tags={"foldlog/backfill": first.backfill_id}, limit=100)
        assert {one.run.run_id for one in runs} == set(instance.get_backfill_run_ids(first.backfill_id))
        assert [one.run.tags["foldlog/partition"] for one in runs if one.run.status == "FAILURE"] == ["2014-08-01"]
        assert instance.verify().ok


# -- all of them ------------------------------------------------------------------------------------------------------


def test_the_definitions_are_whole():
    ingest = pipeline.definitions.get_job("ingest")
    assert [str(key) for key in ingest.asset_keys] == [pipeline.DELIVERY, pipeline.RAW]
    publish = pipeline.definitions.get_job("publish")
    assert {str(key) for key in publish.asset_keys} == {
        *(pipeline.DAYS, pipeline.MONTHS, pipeline.RECORDS),
        *(pipeline.WAREHOUSE, pipeline.REPORT),
    }
    assert [str(key) for key in backfill.definitions.asset_graph.specs] == [backfill.MONTH, backfill.WETTEST]


@pytest.mark.parametrize(("name", "jobs"), [("pipeline", ["ingest", "publish"]), ("dynamic", ["pieces"])])
def test_an_example_may_be_loaded_by_its_file(name, jobs, tmp_path):
    """As a person does it in a checkout, whatever the folder of that is called."""
    document = json.loads(
        "\n".join(said("-m", "foldlog", "job", "list", "-f", str(EXAMPLES / f"{name}.py"), "--json", cwd=tmp_path))
    )
    assert [one["name"] for one in document["jobs"]] == jobs


def test_an_example_is_executed_by_its_file(tmp_path):
    command = ("-m", "foldlog", "job", "execute", "-f", str(EXAMPLES / "dynamic.py"), "--no-progress")
    (line,) = said(*command, cwd=tmp_path)
    assert "of job pieces: SUCCESS, 6 steps" in line
    with foldlog.Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        assert instance.get_runs_count(job_name="pieces", statuses=["SUCCESS"]) == 1


def test_a_year_is_ingested_from_the_command_line(tmp_path):
    """The pipeline works where a tour has been, as the tour did."""
    deliveries = tmp_path / "demo-home/deliveries"
    deliveries.mkdir(parents=True)
    shutil.copy(EXAMPLES / "seattle-weather.csv", deliveries)
    command = ("-m", "foldlog", "job", "execute", "ingest", "-m", "foldlog.examples.pipeline", "--no-progress")
    (line,) = said(*command, "--partition", "2013", "--url", "sqlite:///demo-home/history", cwd=tmp_path)
    assert "of job ingest: SUCCESS" in line
    with (deliveries.parent / "raw/2013.csv").open() as rows:
        assert len(rows.readlines()) == 1 + 365
