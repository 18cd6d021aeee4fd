"""The tour, end to end, and what it computes, against the file of measurements read in the plainest way."""

from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path

import pytest

import foldlog
from foldlog.examples import demo, home, pipeline, tables, weather
from foldlog.examples.picture import draw

SOURCE = Path(demo.__file__).with_name("seattle-weather.csv")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def measurements():
    """The rows of the file as text, by nobody's code but csv's."""
    with SOURCE.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def toured(tmp_path_factory):
    """A home in which the tour was given, as people start it, and what it said."""
    folder = tmp_path_factory.mktemp("tour")
    return folder / "demo-home", give("--home", "demo-home", cwd=folder)


def give(*args, cwd, code=0):
    command = [sys.executable, "-P", "-m", "foldlog", "demo", *args]
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "FOLDLOG_URL", "FOLDLOG_HOME")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def instance(toured):
    with foldlog.Instance.from_url(f"sqlite:///{toured[0]}/history") as instance:
        yield instance


# -- what is computed -------------------------------------------------------------------------------------------------


def test_the_facts_of_the_file(measurements):
    with SOURCE.open(encoding="utf-8", newline="") as lines:
        days = weather.clean(weather.read_days(lines))
    assert len(days) == len(measurements) == 1461
    assert (days[0].date, days[-1].date) == (date(2012, 1, 1), date(2015, 12, 31))
    months = weather.months(days)
    assert len(months) == 48
    assert sum(month.days for month in months) == 1461
    december = [float(row["precipitation"]) for row in measurements if row["date"].startswith("2015/12/")]
    assert months[-1].rain_mm == round(sum(december), 1)
    assert months[-1].wet_days == sum(rain > 0 for rain in december)


@pytest.mark.parametrize(
    ("record", "column", "best"),
    [
        ("hottest day", "temp_max", max),
        ("coldest night", "temp_min", min),
        ("warmest night", "temp_min", max),
        ("coldest day", "temp_max", min),
        ("wettest day", "precipitation", max),
        ("windiest day", "wind", max),
    ],
)
def test_the_record_days(measurements, instance, record, column, best):
    value = best(float(row[column]) for row in measurements)
    first = next(row["date"].replace("/", "-") for row in measurements if float(row[column]) == value)
    kept = instance.get_latest_materialization_event(pipeline.RECORDS).event.fact.metadata["records"].records
    (day,) = [day for day in kept if day["record"] == record]
    assert (day["value"], day["date"]) == (value, first)


def test_what_cleaning_corrects(measurements):
    days = [weather._day(2, list(row.values())) for row in measurements]
    cleaned = weather.clean([*reversed(days), days[7]])
    assert [day.date for day in cleaned] == [day.date for day in days], "in order, each once"
    assert sum(one.sky != two.sky for one, two in zip(days, cleaned, strict=True)) == 124
    assert not any(day.sky == "sun" and day.rain_mm > 0 for day in cleaned)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('2014/08/11,0.5,"35,6",17.8,2.6,rain', "line 2: temp_max is '35,6', which is no number"),
        ("2014/08/11,0.5,35.6,17.8,2.6", "line 2: 5 fields instead of 6"),
        ("2014/13/11,0.5,35.6,17.8,2.6,rain", "line 2: '2014/13/11' is no date"),
        ("", "line 2: 0 fields"),
    ],
)
def test_a_malformed_row_is_named(line, says):
    with pytest.raises(weather.MalformedRow, match=says):
        weather.read_days([",".join(weather.COLUMNS), line])
    with pytest.raises(weather.MalformedRow, match="line 1: the columns are"):
        weather.read_days(["day,rain"])


def test_the_checks_find_what_they_look_for():
    days = [weather.Day(date(2013, 1, number), 0.0, 5.0, 1.0, 2.0, "sun") for number in range(1, 31)]
    assert len(weather.missing_days(days)) == 365 - 30
    assert weather.upside_down([*days, days[0]._replace(low_c=5.1)]) == [days[0]._replace(low_c=5.1)]


def test_rows_come_back_as_they_were(tmp_path):
    day = weather.Day(date(2013, 1, 1), 0.0, 5.0, -1.25, 2.0, "sun")
    path = tmp_path / "new" / "days.csv"
    for rows in ([day], weather.months([day]), weather.record_days([day])):
        tables.write(path, rows)
        back = tables.read(path)
        assert back == rows
        assert [type(value) for value in back[0]] == [type(value) for value in rows[0]]
    with pytest.raises(ValueError, match="no rows for"):
        tables.write(path, [])
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"no rows of this program have the columns \['a', 'b'\]"):
        tables.read(path)
    assert [one.name for one in path.parent.iterdir()] == ["days.csv"]


NAMES = ("2013", "../../etc/x", "..", ".", "/etc/x", "v1.2", "v1.3", "v1", "a/b", "%2F", ".x", "a b")


def test_any_name_is_a_table_of_its_own_below_the_folder(tmp_path):
    keeper = tables.Tables(tmp_path / "in" / "here")
    rows = {}
    for number, name in enumerate(NAMES):
        for key, partition in ((("weather", name), None), (("weather", name, name), None), (("weather", "a"), name)):
            where = {"asset_key": foldlog.AssetKey(key), "run_id": "r", "step_key": "s"}
            day = weather.Day(date(2013, 1, 1 + number), float(len(rows)), 5.0, 1.0, 2.0, "sun")
            keeper.handle_output(foldlog.OutputContext(**where, partition_key=partition), [day])
            rows[key, partition] = [day]
    for (key, partition), expected in rows.items():
        upstream = foldlog.OutputContext(
            run_id="r", step_key="s", asset_key=foldlog.AssetKey(key), partition_key=partition
        )
        context = foldlog.InputContext(name="x", run_id="r", step_key="t", upstream_output=upstream)
        assert keeper.load_input(context) == expected
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(rows)
    assert all((tmp_path / "in" / "here") in path.parents and path.suffix == ".csv" for path in files)
    with pytest.raises(foldlog.UsageError, match="asset other is no asset of weather/"):
        keeper.handle_output(foldlog.OutputContext(run_id="r", step_key="s", asset_key=foldlog.AssetKey("other")), [1])


def test_writers_of_one_table_do_not_meet(tmp_path, monkeypatch):
    day = weather.Day(date(2013, 1, 1), 0.0, 5.0, 1.0, 2.0, "sun")
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda one, other: (seen.append(one), replace(one, other)))
    for _ in range(2):
        tables.write(tmp_path / "days.csv", [day])
    assert len(set(seen)) == 2, "two writers share a temporary file"
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tables.write(tmp_path / "days.csv", [day])
    assert [path.name for path in tmp_path.iterdir()] == ["days.csv"]


def test_a_picture_needs_months():
    with pytest.raises(ValueError, match="no month"):
        draw([], [], place="Seattle")


def test_a_picture_of_months_without_rain_or_change():
    flat = weather.Month("2013-01", 31, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    assert "2013-01 to 2013-01" in draw([flat], [], place="Nowhere")


# -- the tour ---------------------------------------------------------------------------------------------------------


def test_the_tour_tells_its_story(toured):
    _, said = toured
    for words in (
        "Ingested seattle-weather.csv, a run a year: 2012, 2013, 2014, 2015.",
        "OperationalError: database is locked",
        "MalformedRow: line 224: temp_max is '35,6', which is no number",
        "ValueError: could not convert string to float: '35,6'",
        "in read_days",
        "What weather__delivery gave was loaded.",
        "identical: every view is what the log says",
        "The digests are those from before the views were deleted.",
        "runs --status FAILURE --url sqlite:///demo-home/history",
    ):
        assert words in said
    assert "\x1b" not in said


def test_the_runs_are_in_the_log(instance):
    runs = instance.get_run_records()
    assert [(run.run.job_name, run.run.status) for run in runs] == [
        ("ingest", "SUCCESS"),
        ("ingest", "FAILURE"),
        ("publish", "SUCCESS"),
        *[("ingest", "SUCCESS")] * 4,
    ]
    _, failed, published, *_ = runs
    assert failed.failure_class == "foldlog.examples.weather.MalformedRow"
    steps = {step.step_key: step for step in instance.get_run_steps(published.run.run_id)}
    assert set(steps) == set(pipeline.definitions.get_job("publish").steps)
    assert {step.status for step in steps.values()} == {"SUCCESS"}
    assert steps.pop("warehouse__months").attempts == 2
    assert {step.attempts for step in steps.values()} == {1}
    (error,) = [one.event.fact.error for one in instance.logs(failed.run.run_id, types={"STEP_FAILURE"}).records]
    assert error.cause.class_name == "ValueError"
    assert any("read_days" in frame for frame in error.stack)
    (retry,) = instance.logs(published.run.run_id, types={"STEP_UP_FOR_RETRY"}).records
    assert retry.event.fact.error.class_name == "sqlite3.OperationalError"


def test_the_run_went_on_where_it_failed(instance):
    again, failed, *_ = instance.get_run_records()
    assert again.run.parent_run_id == failed.run.run_id
    assert again.run.tags["foldlog/partition"] == "2014"
    behind = ["weather__raw", "weather__raw__no_missing_days", "weather__raw__low_not_above_high"]
    assert [step.step_key for step in instance.get_run_steps(again.run.run_id)] == behind
    before = {step.step_key: step.status for step in instance.get_run_steps(failed.run.run_id)}
    assert before == {"weather__delivery": "SUCCESS", "weather__raw": "FAILURE"}
    (loaded,) = instance.logs(again.run.run_id, types={"LOADED_INPUT"}).records[:1]
    assert (loaded.event.fact.input_name, loaded.event.fact.upstream_step_key) == ("delivery", "weather__delivery")


def test_the_assets_are_there(toured, instance):
    folder, _ = toured
    partitions = {one.partition: one.status for one in instance.get_asset_partitions(pipeline.RAW)}
    assert partitions == dict.fromkeys(demo.YEARS, "MATERIALIZED")
    rows = {}
    for year in partitions:
        made = instance.get_latest_materialization_event(pipeline.RAW, partition=year).event.fact
        rows[year] = made.metadata["rows"]
        assert (folder.parent / made.metadata["path"].path).exists()
    assert rows == {"2012": 366, "2013": 365, "2014": 365, "2015": 365}
    days = instance.get_latest_materialization_event(pipeline.DAYS).event.fact
    metadata = days.metadata
    assert (metadata["rows"], metadata["corrected"]) == (1461, 124)
    assert (metadata["highest_c"], metadata["lowest_c"]) == (35.6, -7.1)
    assert (days.code_version, list(days.input_data_versions)) == ("2", ["weather/raw"]), "all partitions together"
    months = instance.get_latest_materialization_event(pipeline.MONTHS).event.fact
    assert len(months.metadata["months"].records) == 48
    assert months.input_data_versions == {pipeline.DAYS: days.data_version}
    for asset in (pipeline.RAW, pipeline.DAYS):
        assert {one.check_name: one.status for one in instance.get_asset_checks(asset)} == {
            "no_missing_days": "PASSED",
            "low_not_above_high": "PASSED",
        }
    with sqlite3.connect(folder / "warehouse.db") as warehouse:
        assert warehouse.execute("SELECT count(*), sum(days) FROM months").fetchone() == (48, 1461)


def test_the_same_rows_have_the_same_data_version(instance):
    made = instance.fetch_materializations(pipeline.RAW, limit=10).records
    versions = [record.event.fact.data_version for record in made if record.event.fact.partition == "2014"]
    assert len(versions) == 2
    assert len(set(versions)) == 1, "2014 came in two files with the same rows"
    with SOURCE.open(encoding="utf-8", newline="") as lines:
        assert versions[0] == weather.data_version(weather.of_year(weather.read_days(lines), 2014))


def test_the_picture_is_a_picture(toured, instance):
    folder, _ = toured
    path = instance.get_latest_materialization_event(pipeline.REPORT).event.fact.metadata["path"].path
    picture = ET.parse(folder.parent / path).getroot()
    assert picture.tag == f"{SVG}svg"
    assert len(picture.findall(f"{SVG}g")) == 48, "one group a month"
    width, height = float(picture.get("width")), float(picture.get("height"))
    for bar in picture.iter(f"{SVG}rect"):
        x, y = float(bar.get("x", 0)), float(bar.get("y", 0))
        w, h = float(bar.get("width")), float(bar.get("height"))
        assert x >= 0
        assert y >= 0
        assert w > 0
        assert h >= 0
        assert x + w <= width
        assert y + h <= height
    text = [element.text for element in picture.iter(f"{SVG}text")]
    assert "35.6 °C, 2014-08-11" in text
    assert "-7.1 °C, 2013-12-07" in text


def test_the_views_are_proved(instance):
    verdict = instance.verify()
    assert verdict.ok
    assert {view.view for view in verdict.views} >= {"runs", "steps", "assets"}


# -- the folder -------------------------------------------------------------------------------------------------------


def test_a_second_tour_begins_anew_or_adds(tmp_path):
    url = f"sqlite:///{tmp_path}/demo-home/history"
    said = [give(cwd=tmp_path), give(cwd=tmp_path), give("--keep", cwd=tmp_path)]
    assert "was there from an earlier tour" not in said[0]
    assert "it was emptied (--keep adds to it instead)" in said[1]
    assert "its runs are kept, and new ones are added" in said[2]
    with foldlog.Instance.from_url(url) as instance:
        assert instance.get_runs_count() == 14
        with instance.run("mine"):
            pass
    assert "which is none of the tour's; it would be deleted" in give(cwd=tmp_path, code=1)
    with foldlog.Instance.from_url(url) as instance:
        assert instance.get_runs_count() == 15


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    said = give("--home", ".", cwd=tmp_path, code=1)
    assert "is not empty and was not made by `foldlog demo`" in said
    assert "what to do: Name another folder with --home." in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert "is a file" in give("--home", "thesis.txt", cwd=tmp_path, code=1)


def test_what_others_put_into_the_home_stays(tmp_path):
    home.prepare(tmp_path / "tour", keep=False)
    (tmp_path / "tour/notes.txt").write_text("mine")
    (tmp_path / "tour/raw").mkdir()
    home.prepare(tmp_path / "tour", keep=False)
    assert sorted(path.name for path in (tmp_path / "tour").iterdir()) == [home.MARK, "notes.txt"]


def test_the_tour_ends_badly_if_a_view_is_not_what_it_was(tmp_path, monkeypatch):
    told = iter(("one", "another"))
    monkeypatch.setattr(demo, "digests", lambda verdict: {"runs": next(told)})
    assert demo.tour(tmp_path / "tour") is False
