"""Partitions: windows of time that are whole whatever the clocks do, keys that lead back to them, and mappings."""

from __future__ import annotations

import copy
import doctest
import inspect
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, strategies as st

from foldlog.engine.definitions import partitions
from foldlog.engine.definitions.partitions import (
    AllPartitionMapping,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    HourlyPartitionsDefinition,
    IdentityPartitionMapping,
    LastPartitionMapping,
    MonthlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    MultiToSingleDimensionPartitionMapping,
    PartitionKeyRange,
    PartitionMapping,
    SpecificPartitionsPartitionMapping,
    StaticPartitionMapping,
    StaticPartitionsDefinition,
    TimeWindow,
    TimeWindowPartitionMapping,
    WeeklyPartitionsDefinition,
    default_mapping,
)
from foldlog.engine.errors import UsageError

NOW = datetime(2026, 2, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

DAILY = DailyPartitionsDefinition("2026-02-01")
EARLIER = DailyPartitionsDefinition("2025-12-01")
HOURLY = HourlyPartitionsDefinition("2026-02-01")
MONTHLY = MonthlyPartitionsDefinition("2025-11-01")
REGION = StaticPartitionsDefinition(["north", "south"])
CUSTOMERS = DynamicPartitionsDefinition("customers")
BOTH = MultiPartitionsDefinition({"region": REGION, "date": DAILY})

CHANGES = {  # the moment at which the clocks of a zone change, UTC
    "hour forward": ("America/New_York", datetime(2026, 3, 8, 7)),
    "hour back": ("America/New_York", datetime(2026, 11, 1, 6)),
    "hour forward at 1": ("Europe/London", datetime(2026, 3, 29, 1)),
    "hour back to 1": ("Europe/London", datetime(2026, 10, 25, 1)),
    "half an hour forward": ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30)),
    "half an hour back": ("Australia/Lord_Howe", datetime(2026, 4, 4, 15)),
    "no midnight": ("America/Sao_Paulo", datetime(2018, 11, 4, 3)),
    "back over midnight": ("America/Sao_Paulo", datetime(2018, 2, 18, 2)),
    "midnight twice": ("America/Havana", datetime(2026, 11, 1, 5)),
    "back to yesterday at 00:01": ("America/St_Johns", datetime(2010, 11, 7, 2, 31)),
    "a day left out": ("Pacific/Apia", datetime(2011, 12, 30, 10)),
    "quarter past": ("Asia/Kathmandu", datetime(1985, 12, 31, 18, 30)),
}
ZONES = sorted({zone for zone, _ in CHANGES.values()} | {"UTC", "Asia/Tokyo"})


def refusal(call, *args, **kwargs):
    """The message of the UsageError that the call raises; there is always something to do about it."""
    with pytest.raises(UsageError) as caught:
        call(*args, **kwargs)
    assert caught.value.remedy != UsageError.remedy
    return str(caught.value)


def windows(definition, now=NOW):
    """Every window at a moment by its key, in UTC."""
    return {
        key: tuple(end.astimezone(UTC) for end in definition.time_window_for_partition_key(key))
        for key in definition.get_partition_keys(now=now)
    }


def wall(moment, zone):
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def holding(found, moment):
    """The key of the one window that holds a moment."""
    (key,) = [key for key, (start, end) in found.items() if start <= moment < end]
    return key


# -- windows, against a clock that is looked at every minute


@pytest.mark.parametrize("minute", [0, 15, 30, 59])
@pytest.mark.parametrize("change", CHANGES)
def test_an_hour_starts_whenever_the_clock_shows_its_minute(change, minute):
    zone, about = CHANGES[change]
    about = about.replace(tzinfo=UTC)
    start, end = about - timedelta(hours=30), about + timedelta(hours=30)
    hours = HourlyPartitionsDefinition(start, end, timezone=zone, minute_offset=minute)
    looked = [start + number * MINUTE for number in range(60 * 60 + 1)]
    starts = [moment for moment in looked if wall(moment, zone).minute == minute]
    found = windows(hours, now=end)
    assert list(found.values()) == list(pairwise(starts))
    for key, (first, _) in found.items():
        assert key.startswith(f"{wall(first, zone):%Y-%m-%d-%H:%M}")
    assert all(holding(found, moment) == hours.partition_key_for(moment) for moment in looked[90:-90:7])


@pytest.mark.parametrize("hour", [0, 1, 2, 23])
@pytest.mark.parametrize("minute", [0, 30, 45])
@pytest.mark.parametrize("change", CHANGES)
def test_a_day_starts_at_the_first_moment_at_which_the_clock_shows_its_time_or_later(change, hour, minute):
    zone, about = CHANGES[change]
    about = about.replace(tzinfo=UTC)
    start, end = about - timedelta(days=3), about + timedelta(days=3)
    days = DailyPartitionsDefinition(start, end, timezone=zone, hour_offset=hour, minute_offset=minute)
    looked = [start + number * MINUTE for number in range(6 * 24 * 60 + 1)]
    expected, latest = {}, wall(start - MINUTE, zone)
    for moment in looked:
        for day in range(latest.toordinal(), wall(moment, zone).toordinal() + 1):
            time = datetime.fromordinal(day).replace(hour=hour, minute=minute)
            if latest < time <= wall(moment, zone):
                expected[moment] = f"{time:%Y-%m-%d}"  # the later day, when one was left out
        latest = max(latest, wall(moment, zone))
    starts = list(expected)
    found = windows(days, now=end)
    assert list(found.values()) == list(pairwise(starts))
    assert list(found) == list(expected.values())[:-1]
    assert all(holding(found, moment) == days.partition_key_for(moment) for moment in looked[1500:-1500:13])


def test_the_hours_of_the_night_in_which_clocks_are_put_back():
    hours = HourlyPartitionsDefinition("2026-11-01", "2026-11-01T04:00", timezone="America/New_York")
    keys = hours.get_partition_keys(now=datetime(2027, 1, 1, tzinfo=UTC))
    assert keys == [
        "2026-11-01-00:00",
        "2026-11-01-01:00",
        "2026-11-01-01:00-05:00",
        "2026-11-01-02:00",
        "2026-11-01-03:00",
    ]
    assert keys == sorted(keys)
    again = hours.time_window_for_partition_key("2026-11-01-01:00-05:00")
    assert again.start.isoformat() == "2026-11-01T01:00:00-05:00"
    assert again.end.isoformat() == "2026-11-01T02:00:00-05:00"
    assert not hours.has_partition_key("2026-11-01-01:00-04:00", now=again.end)  # one window has one key
    assert not hours.has_partition_key("2026-11-01-02:00-05:00", now=again.end + timedelta(days=1))


def test_the_hour_that_is_skipped_is_no_partition():
    hours = HourlyPartitionsDefinition("2026-03-08", "2026-03-08T05:00", timezone="America/New_York")
    now = datetime(2027, 1, 1, tzinfo=UTC)
    assert [key[-5:] for key in hours.get_partition_keys(now=now)] == ["00:00", "01:00", "03:00", "04:00"]
    assert not hours.has_partition_key("2026-03-08-02:00", now=now)
    assert refusal(hours.check_key, "2026-03-08-02:00", name_of_thing="asset a", now=now) == (
        "asset a: no partition '2026-03-08-02:00'; it has 4, from '2026-03-08-00:00' to '2026-03-08-04:00'; "
        "did you mean '2026-03-08-03:00'?"
    )


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-03-09", 24), ("2026-11-01", 25)])
def test_a_day_is_one_window_however_long(day, hours):
    window = DailyPartitionsDefinition("2026-01-01", timezone="America/New_York").time_window_for_partition_key(day)
    assert window.duration == timedelta(hours=hours)
    assert (window.start.hour, window.end.hour) == (0, 0)
    assert window.start.tzinfo == ZoneInfo("America/New_York")


def test_a_day_without_midnight_starts_behind_the_gap():
    days = DailyPartitionsDefinition("2018-11-01", timezone="America/Sao_Paulo")
    window = days.time_window_for_partition_key("2018-11-04")
    assert window.start.isoformat() == "2018-11-04T01:00:00-02:00"
    assert window.duration == timedelta(hours=23)
    assert days.partition_key_for(datetime(2018, 11, 4, 2, 59, tzinfo=UTC)) == "2018-11-03"


def test_a_day_that_a_zone_left_out_is_no_partition():
    days = DailyPartitionsDefinition("2011-12-28", "2012-01-02", timezone="Pacific/Apia")
    assert days.get_partition_keys(now=NOW) == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]
    assert refusal(days.time_window_for_partition_key, "2011-12-30").startswith(f"{days.describe()}: never has")


# -- windows, for any definition

moments = st.datetimes(datetime(1971, 1, 1), datetime(2035, 1, 1)).map(lambda found: found.replace(tzinfo=UTC))
near_changes = st.builds(
    lambda change, hours: change[1].replace(tzinfo=UTC) + timedelta(hours=hours),
    st.sampled_from(sorted(CHANGES.values())),
    st.floats(-50, 50),
)


@st.composite
def definitions(draw):
    """Any definition of windows that begins in the last century or this one, and a moment some windows later."""
    zone = draw(st.sampled_from(ZONES))
    start = draw(st.one_of(near_changes, moments))
    some = {"timezone": zone, "minute_offset": draw(st.integers(0, 59))}
    day = some | {"hour_offset": draw(st.integers(0, 23))}
    kind = draw(st.sampled_from("hdwm"))
    if kind == "h":
        return HourlyPartitionsDefinition(start, **some), start + timedelta(hours=60)
    if kind == "d":
        return DailyPartitionsDefinition(start, **day), start + timedelta(days=8)
    if kind == "w":
        return WeeklyPartitionsDefinition(start, day_offset=draw(st.integers(0, 6)), **day), start + timedelta(weeks=5)
    return MonthlyPartitionsDefinition(start, day_offset=draw(st.integers(1, 28)), **day), start + timedelta(days=99)


@given(definitions())
def test_windows_follow_each_other_without_gap_or_overlap(drawn):
    definition, now = drawn
    found = list(windows(definition, now).values())
    assert found
    assert all(start < end for start, end in found)
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    assert found[-1][1] <= now
    the_next = definition.time_window_for_partition_key(definition.partition_key_for(found[-1][1]))
    assert the_next.end > now  # the listing misses none that has ended


@given(definitions())
def test_every_key_leads_to_its_window_and_back(drawn):
    definition, now = drawn
    found = windows(definition, now)
    assert len(found) == len(definition.get_partition_keys(now=now))  # no key twice
    for key, (start, end) in found.items():
        assert definition.partition_key_for(start) == key
        assert definition.partition_key_for(end - timedelta(microseconds=1)) == key
        assert definition.has_partition_key(key, now=end)
        assert not definition.has_partition_key(key, now=end - timedelta(microseconds=1))
        definition.check_key(key, name_of_thing="asset a", now=now)
    assert next(iter(found)) == definition.get_first_partition_key(now=now)
    assert next(reversed(found)) == definition.get_last_partition_key(now=now)


@given(definitions(), st.floats(0, 1))
def test_every_moment_is_in_exactly_one_window(drawn, part):
    definition, now = drawn
    found = windows(definition, now)
    begin, end = next(iter(found.values()))[0], list(found.values())[-1][1]
    moment = begin + part * (end - begin) * 0.999
    assert holding(found, moment) == definition.partition_key_for(moment)


@given(definitions())
def test_a_definition_is_made_again_from_what_it_says(drawn):
    definition, _ = drawn
    document = definition.to_document()
    assert json.loads(json.dumps(document)) == document
    kind = document.pop("type")
    assert kind == definition.KIND
    for same in (type(definition)(**document), replace(definition), pickle.loads(pickle.dumps(definition))):
        assert same == definition
        assert hash(same) == hash(definition)
        assert same.to_document() == {"type": kind, **document}


# -- what a partition is called, when it exists


def test_keys_by_kind():
    assert HOURLY.get_last_partition_key(now=NOW) == "2026-02-10-11:00"
    assert DAILY.get_last_partition_key(now=NOW) == "2026-02-09"
    assert WeeklyPartitionsDefinition("2026-01-01").get_partition_keys(now=NOW)[0] == "2026-01-04"  # a Sunday
    monday = WeeklyPartitionsDefinition("2026-01-01", day_offset=1)
    assert monday.get_partition_keys(now=NOW)[0] == "2026-01-05"
    assert MONTHLY.get_partition_keys(now=NOW) == ["2025-11-01", "2025-12-01", "2026-01-01"]
    middle = MonthlyPartitionsDefinition("2025-11-01", day_offset=15, fmt="%Y-%m")
    assert middle.get_partition_keys(now=NOW) == ["2025-11", "2025-12"]
    assert middle.time_window_for_partition_key("2025-12") == TimeWindow(
        datetime(2025, 12, 15, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC)
    )
    weeks = WeeklyPartitionsDefinition("2026-01-01", "2026-01-20", day_offset=1, fmt="%G-W%V-%u")
    assert weeks.get_partition_keys(now=NOW) == ["2026-W02-1", "2026-W03-1"]


@pytest.mark.parametrize(
    ("end_offset", "last"), [(-2, "2026-02-07"), (-1, "2026-02-08"), (0, "2026-02-09"), (1, "2026-02-10")]
)
def test_end_offset_shifts_the_last_partition(end_offset, last):
    days = DailyPartitionsDefinition("2026-02-01", end_offset=end_offset)
    assert days.get_last_partition_key(now=NOW) == days.get_partition_keys(now=NOW)[-1] == last
    assert days.has_partition_key(last, now=NOW)


def test_no_window_ends_after_the_end_date():
    days = DailyPartitionsDefinition("2026-02-01", "2026-02-03T12:00", end_offset=5)
    assert days.get_partition_keys(now=NOW) == ["2026-02-01", "2026-02-02"]
    assert refusal(days.partition_key_for, datetime(2026, 2, 3, tzinfo=UTC)) == (
        "daily partitions from 2026-02-01 to 2026-02-02, UTC: no window holds 2026-02-03T00:00:00+00:00"
    )


def test_before_the_first_window_has_ended_there_is_none():
    early = datetime(2026, 2, 1, 23, 59, tzinfo=UTC)
    assert DAILY.get_partition_keys(now=early) == []
    assert DAILY.get_first_partition_key(now=early) is DAILY.get_last_partition_key(now=early) is None
    assert refusal(DAILY.check_key, "2026-02-01", name_of_thing="asset a", now=early) == (
        "asset a: no partition '2026-02-01'; it has none yet; its window ends at 2026-02-02T00:00:00+00:00"
    )


def test_a_start_date_may_be_said_in_many_ways():
    said = ["2026-02-01", "2026-02-01T00:00", date(2026, 2, 1), datetime(2026, 2, 1), "2026-02-01T01:00+01:00"]
    said += [datetime(2026, 2, 1, tzinfo=UTC), "20260201"]
    assert {DailyPartitionsDefinition(one) for one in said} == {DAILY}
    assert DailyPartitionsDefinition("01.02.2026", fmt="%d.%m.%Y").start_date == "2026-02-01T00:00"
    assert DailyPartitionsDefinition("2026-02-01", timezone="Europe/London") != DAILY
    assert DailyPartitionsDefinition("2026-02-02") != DAILY


def test_a_start_in_the_second_pass_of_an_hour():
    first, second = (datetime(2026, 11, 1, 1, fold=fold) for fold in (0, 1))
    some = {"timezone": "America/New_York"}
    assert HourlyPartitionsDefinition(first, **some).start_date == "2026-11-01T01:00"
    assert HourlyPartitionsDefinition(second, **some).start_date == "2026-11-01T01:00-05:00"
    assert HourlyPartitionsDefinition(first, **some) != HourlyPartitionsDefinition(second, **some)


def test_has_partition_key_lists_nothing(monkeypatch):
    monkeypatch.setattr(HourlyPartitionsDefinition, "_between", None)
    assert HOURLY.has_partition_key("2026-02-10-11:00", now=NOW)
    assert not HOURLY.has_partition_key("2026-02-10-12:00", now=NOW)
    assert not HOURLY.has_partition_key("2026-01-31-23:00", now=NOW)


@pytest.mark.parametrize(
    "key", ["", "2026-2-3", "2026-02-03 ", "2026-02-30", "2026-02-03-00:00", "0000-01-01", "|", "x\0"]
)
def test_what_is_nearly_a_key_is_none(key):
    assert not DAILY.has_partition_key(key, now=NOW)
    assert "no partition" in refusal(DAILY.check_key, key, name_of_thing="asset a", now=NOW)


# -- the other kinds


def test_static_partitions():
    assert REGION.get_partition_keys() == ["north", "south"]
    assert (REGION.get_first_partition_key(), REGION.get_last_partition_key()) == ("north", "south")
    assert REGION.has_partition_key("north")
    assert not REGION.has_partition_key("west")
    assert StaticPartitionsDefinition(("north", "south")) == REGION
    assert StaticPartitionsDefinition(["south", "north"]) != REGION  # the order is part of it
    assert REGION.to_document() == {"type": "static", "keys": ["north", "south"]}
    assert REGION.describe() == "static partitions north, south"
    assert StaticPartitionsDefinition(list("abcde")).describe() == "static partitions a, b, c and 2 more"


def test_dynamic_partitions_come_from_the_callable():
    keys = {"customers": ["acme", "bolt"]}
    assert CUSTOMERS.get_partition_keys(dynamic=keys.__getitem__) == ["acme", "bolt"]
    assert CUSTOMERS.has_partition_key("bolt", dynamic=keys.__getitem__)
    assert CUSTOMERS.get_last_partition_key(dynamic=lambda name: []) is None
    assert refusal(CUSTOMERS.get_partition_keys) == (
        "dynamic partitions 'customers': their keys are in an instance, and none was given"
    )
    assert CUSTOMERS.to_document() == {"type": "dynamic", "name": "customers"}


def test_partitions_of_two_dimensions():
    now = datetime(2026, 2, 3, tzinfo=UTC)
    keys = ["2026-02-01|north", "2026-02-01|south", "2026-02-02|north", "2026-02-02|south"]
    assert BOTH.get_partition_keys(now=now) == keys
    assert {type(key) for key in BOTH.get_partition_keys(now=now)} == {str}  # what a fact can hold
    assert (BOTH.get_first_partition_key(now=now), BOTH.get_last_partition_key(now=now)) == (keys[0], keys[-1])
    assert all(BOTH.has_partition_key(key, now=now) for key in keys)
    for wrong in ("north|2026-02-01", "2026-02-03|north", "2026-02-01", "2026-02-01|north|", "|"):
        assert not BOTH.has_partition_key(wrong, now=now)
    assert MultiPartitionsDefinition({"date": DAILY, "region": REGION}) == BOTH
    assert hash(BOTH) == hash(copy.deepcopy(BOTH))
    assert BOTH.to_document() == {
        "type": "multi",
        "dimensions": {"date": DAILY.to_document(), "region": REGION.to_document()},
    }
    assert BOTH.get_last_partition_key(now=datetime(2026, 2, 1, tzinfo=UTC)) is None
    assert BOTH.describe() == "date (daily partitions from 2026-02-01, UTC) x region (static partitions north, south)"


def test_a_key_of_two_dimensions_is_text_that_knows_its_parts():
    key = MultiPartitionKey({"region": "north", "date": "2026-02-01"})
    assert key == "2026-02-01|north"
    assert key.keys_by_dimension == {"date": "2026-02-01", "region": "north"}
    assert BOTH.has_partition_key(key, now=NOW)
    for same in (BOTH.parse_key("2026-02-01|north"), pickle.loads(pickle.dumps(key)), copy.deepcopy(key)):
        assert (same, same.keys_by_dimension) == (key, key.keys_by_dimension)


good_keys = st.text(st.characters(exclude_characters="|"), min_size=1, max_size=20).filter(str.isprintable)


@given(st.dictionaries(good_keys, st.lists(good_keys, min_size=1, max_size=4, unique=True), min_size=2, max_size=2))
def test_keys_of_two_dimensions_lead_back(lists):
    both = MultiPartitionsDefinition({name: StaticPartitionsDefinition(keys) for name, keys in lists.items()})
    keys = both.get_partition_keys()
    assert len(set(keys)) == len(keys)
    for key in keys:
        parts = both.parse_key(key).keys_by_dimension
        assert MultiPartitionKey(parts) == key
        assert all(part in lists[name] for name, part in parts.items())


# -- ranges


@pytest.mark.parametrize(
    ("definition", "key_range", "keys"),
    [
        (DAILY, ("2026-02-03", "2026-02-05"), ["2026-02-03", "2026-02-04", "2026-02-05"]),
        (REGION, ("south", "south"), ["south"]),
        (CUSTOMERS, ("b", "a"), ["b", "x", "a"]),  # as they were added
        (BOTH, ("2026-02-03|north", "2026-02-04|north"), ["2026-02-03|north", "2026-02-04|north"]),
        (
            BOTH,
            ("2026-02-03|north", "2026-02-04|south"),
            ["2026-02-03|north", "2026-02-03|south", "2026-02-04|north", "2026-02-04|south"],
        ),
    ],
)
def test_ranges_have_both_ends(definition, key_range, keys):
    found = definition.get_partition_keys_in_range(*PartitionKeyRange(*key_range), now=NOW, dynamic=lambda _: "cbxa")
    assert found == keys


@pytest.mark.parametrize(
    ("definition", "start", "end", "message"),
    [
        (
            DAILY,
            "2026-02-05",
            "2026-02-03",
            "daily partitions from 2026-02-01, UTC: '2026-02-05' comes behind '2026-02-03'",
        ),
        (REGION, "south", "north", "static partitions north, south: 'south' comes behind 'north'"),
        (
            REGION,
            "north",
            "west",
            "static partitions north, south: no partition 'west'; it has 2, from 'north' to 'south'",
        ),
    ],
)
def test_ranges_that_are_none(definition, start, end, message):
    assert refusal(definition.get_partition_keys_in_range, start, end, now=NOW) == message


# -- what is refused


@pytest.mark.parametrize(
    ("key", "definition", "message"),
    [
        ("nort", REGION, "no partition 'nort'; it has 2, from 'north' to 'south'; did you mean 'north'?"),
        ("x", StaticPartitionsDefinition(["a"]), "no partition 'x'; it has only 'a'"),
        (7, REGION, "partition key 7 is not text"),
        (
            "bold",
            CUSTOMERS,
            "no partition 'bold'; it has 2, from 'acme' to 'bolt'; did you mean 'bolt'?; "
            "instance.add_dynamic_partitions('customers', [...]) adds keys",
        ),
        (
            "2026-2-5",
            DAILY,
            "no partition '2026-2-5'; it has 9, from '2026-02-01' to '2026-02-09'; did you mean '2026-02-05'?",
        ),
        (
            "tuesday",
            DAILY,
            "no partition 'tuesday'; it has 9, from '2026-02-01' to '2026-02-09'; keys look like '2026-02-01'",
        ),
        (
            "2026-02-10",
            DAILY,
            "no partition '2026-02-10'; it has 9, from '2026-02-01' to '2026-02-09'; "
            "its window ends at 2026-02-11T00:00:00+00:00",
        ),
        ("2026-01-31", DAILY, "no partition '2026-01-31'; it has 9, from '2026-02-01' to '2026-02-09'"),
        ("2026-02-05", BOTH, "no partition '2026-02-05'; its keys have the form date|region"),
        (
            "2026-02-05|nort",
            BOTH,
            "no partition '2026-02-05|nort'; region has no 'nort': it has 2, from 'north' to 'south'; "
            "did you mean 'north'?",
        ),
    ],
)
def test_a_key_that_is_not_there(key, definition, message):
    said = refusal(
        definition.check_key, key, name_of_thing="asset raw/orders", now=NOW, dynamic=lambda _: ["acme", "bolt"]
    )
    assert said == f"asset raw/orders: {message}"


def test_a_moment_needs_a_zone():
    naive = datetime(2026, 2, 1)
    for call in (DAILY.get_partition_keys, DAILY.get_last_partition_key, BOTH.get_partition_keys):
        assert refusal(call, now=naive) == "now=datetime.datetime(2026, 2, 1, 0, 0) is not a datetime with a time zone"
    assert "moment=" in refusal(DAILY.partition_key_for, naive)
    assert "years 1000 to 9989" in refusal(DAILY.get_partition_keys, now=datetime.max.replace(tzinfo=UTC))


DAYS = "DailyPartitionsDefinition: "
NO_DATE = " is not a date of the years 1000 to 9989"
STATIC = "StaticPartitionsDefinition: "
TWO = "MultiPartitionsDefinition: "


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StaticPartitionsDefinition([]), STATIC + "keys is empty"),
        (lambda: StaticPartitionsDefinition("abc"), STATIC + "keys='abc' is not a list of texts"),
        (lambda: StaticPartitionsDefinition({"a"}), STATIC + "keys={'a'} is not a list of texts"),
        (lambda: StaticPartitionsDefinition(["a", 1]), STATIC + "keys[1]=1 is not text"),
        (lambda: StaticPartitionsDefinition([""]), STATIC + "keys[0]='' is empty"),
        (lambda: StaticPartitionsDefinition(["a\n"]), STATIC + r"keys[0]='a\n' holds a character that cannot be shown"),
        (
            lambda: StaticPartitionsDefinition(["\ud800"]),
            STATIC + r"keys[0]='\ud800' holds a character that cannot be shown",
        ),
        (lambda: StaticPartitionsDefinition(["é" * 251]), STATIC + f"keys[0]='{'é' * 79} is longer than 500 bytes"),
        (lambda: StaticPartitionsDefinition(["a", "b", "a"]), STATIC + "key 'a' is there twice"),
        (lambda: DynamicPartitionsDefinition(""), "DynamicPartitionsDefinition: name='' is empty"),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", timezone="Europe/Londn"),
            DAYS + "timezone='Europe/Londn' is no time zone; did you mean 'Europe/London'?",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", timezone="Asia"),
            DAYS + "timezone='Asia' is no time zone...",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", timezone="../etc"),
            DAYS + "timezone='../etc' is no time zone",
        ),
        (lambda: DailyPartitionsDefinition("2026-01-01", timezone=None), DAYS + "timezone=None is no time zone"),
        (
            lambda: DailyPartitionsDefinition("5 January"),
            DAYS + "start_date='5 January'" + NO_DATE,
        ),
        (
            lambda: DailyPartitionsDefinition(20260105),
            DAYS + "start_date=20260105" + NO_DATE,
        ),
        (
            lambda: DailyPartitionsDefinition(date.min),
            DAYS + "start_date=datetime.date(1, 1, 1)" + NO_DATE,
        ),
        (lambda: DailyPartitionsDefinition("2026-01-01", "soon"), DAYS + "end_date='soon'" + NO_DATE),
        (
            lambda: DailyPartitionsDefinition("2026-01-02", "2026-01-01"),
            DAYS + "start_date=2026-01-02, end_date=2026-01-01: it ends before it starts",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", "2026-01-01"),
            DAYS + "start_date=2026-01-01, end_date=2026-01-01: it ends before it starts",
        ),
        (
            lambda: MonthlyPartitionsDefinition("2026-01-02", "2026-02-28"),
            "MonthlyPartitionsDefinition: start_date=2026-01-02, end_date=2026-02-28: no whole month lies between them",
        ),
        (
            lambda: HourlyPartitionsDefinition("2026-01-01", minute_offset=60),
            "HourlyPartitionsDefinition: minute_offset=60 is not a whole number from 0 to 59",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", hour_offset=True),
            DAYS + "hour_offset=True is not a whole number from 0 to 23",
        ),
        (
            lambda: WeeklyPartitionsDefinition("2026-01-01", day_offset=7),
            "WeeklyPartitionsDefinition: day_offset=7 is not a whole number from 0 to 6",
        ),
        (
            lambda: MonthlyPartitionsDefinition("2026-01-01", day_offset=29),
            "MonthlyPartitionsDefinition: day_offset=29 is not a whole number from 1 to 28",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", end_offset=1.5),
            DAYS + "end_offset=1.5 is not a whole number from -10000 to 10000",
        ),
        (lambda: DailyPartitionsDefinition("2026-01-01", fmt=""), DAYS + "fmt='' is empty"),
        (lambda: DailyPartitionsDefinition("2026-01-01", fmt="%d %B %Y"), DAYS + "fmt='%d %B %Y' holds %B"),
        (lambda: DailyPartitionsDefinition("2026-01-01", fmt="%Y-%m-%d%"), DAYS + "fmt='%Y-%m-%d%' holds %"),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", fmt="%Y-%m"),
            DAYS + "fmt='%Y-%m': the key '2026-01' does not lead back to its window",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-01-01", fmt="%Y-%d"),
            DAYS + "fmt='%Y-%d': the key '2026-02' does not lead back to its window",
        ),
        (
            lambda: HourlyPartitionsDefinition("2026-01-01", fmt="%Y-%m-%d"),
            "HourlyPartitionsDefinition: fmt='%Y-%m-%d': the key '2026-01-01' does not lead back to its window",
        ),
        (
            lambda: MultiPartitionsDefinition({"date": DAILY}),
            TWO + "takes exactly two dimensions, not 1: date",
        ),
        (
            lambda: MultiPartitionsDefinition({"a": REGION, "b": REGION, "c": REGION}),
            TWO + "takes exactly two dimensions, not 3: a, b, c",
        ),
        (lambda: MultiPartitionsDefinition([DAILY]), TWO + "[DailyPartitionsDefinition(..."),
        (
            lambda: MultiPartitionsDefinition({"a": REGION, "b": BOTH}),
            TWO + "dimension b is itself one of several dimensions",
        ),
        (lambda: MultiPartitionsDefinition({"a": REGION, "b": ["x"]}), TWO + "dimension b is ['x'], not a definition"),
        (lambda: MultiPartitionsDefinition({"": REGION, "b": DAILY}), TWO + "the name of a dimension, '', is empty"),
        (
            lambda: MultiPartitionsDefinition({"a": REGION, "b": StaticPartitionsDefinition(["x|y"])}),
            TWO + "dimension b: key 'x|y' holds a |, which separates the dimensions",
        ),
        (
            lambda: MultiPartitionsDefinition(
                {"a": REGION, "b": DailyPartitionsDefinition("2026-01-01", fmt="%Y|%m|%d")}
            ),
            TWO + "dimension b: fmt '%Y|%m|%d' holds a |, which separates the dimensions",
        ),
        (
            lambda: MultiPartitionsDefinition({name: StaticPartitionsDefinition([name * 250]) for name in ("a", "b")}),
            TWO + "a key of a and b would be 501 bytes long; 500 are allowed",
        ),
        (
            lambda: MultiPartitionKey({"a": "x|y", "b": "z"}),
            "MultiPartitionKey: a='x|y' holds a |, which separates the dimensions",
        ),
        (
            lambda: MultiPartitionsDefinition({"a": CUSTOMERS, "b": REGION}).get_partition_keys(
                dynamic=lambda _: ["x|y"]
            ),
            "a (dynamic partitions 'customers') x b (static partitions north, south): "
            "a has the key 'x|y', which holds a |, which separates the dimensions",
        ),
        (lambda: StaticPartitionMapping({}), "StaticPartitionMapping: {} says of no key what it needs"),
        (lambda: StaticPartitionMapping({"eu": 5}), "StaticPartitionMapping: 'eu': 5 is not a list of keys"),
        (
            lambda: SpecificPartitionsPartitionMapping("north"),
            "SpecificPartitionsPartitionMapping: 'north' is not a list of keys",
        ),
        (
            lambda: TimeWindowPartitionMapping(start_offset=1),
            "TimeWindowPartitionMapping: start_offset=1 is beyond end_offset=0: no window is left",
        ),
        (
            lambda: TimeWindowPartitionMapping(start_offset="-1"),
            "TimeWindowPartitionMapping: start_offset='-1' is not a number of windows from -10000 to 10000",
        ),
    ],
)
def test_a_definition_that_is_wrong_says_why(make, message):
    said = refusal(make)
    if message.endswith("..."):
        said = said[: len(message) - 3] + "..."
    assert said == message


# -- mappings


def upstream_keys(mapping, keys, downstream, upstream):
    return mapping.upstream_keys(keys, downstream=downstream, upstream=upstream, now=NOW, dynamic=lambda _: ["a", "b"])


@pytest.mark.parametrize(
    ("mapping", "keys", "downstream", "upstream", "expected"),
    [
        (IdentityPartitionMapping(), ["2026-02-05", "2026-02-03"], DAILY, DAILY, ["2026-02-05", "2026-02-03"]),
        (
            IdentityPartitionMapping(),
            [MultiPartitionKey({"date": "2026-02-05", "region": "south"})],
            BOTH,
            BOTH,
            ["2026-02-05|south"],
        ),
        (AllPartitionMapping(), [], None, REGION, ["north", "south"]),
        (AllPartitionMapping(), ["2026-02-05"], DAILY, CUSTOMERS, ["a", "b"]),
        (LastPartitionMapping(), ["north"], REGION, DAILY, ["2026-02-09"]),
        (LastPartitionMapping(), ["north"], REGION, DailyPartitionsDefinition("2027-01-01"), []),
        (SpecificPartitionsPartitionMapping(["south"]), ["2026-02-05"], DAILY, REGION, ["south"]),
        (TimeWindowPartitionMapping(), ["2026-02-05", "2026-02-05"], DAILY, DAILY, ["2026-02-05"]),
        (TimeWindowPartitionMapping(-1, 0), ["2026-02-05"], DAILY, DAILY, ["2026-02-04", "2026-02-05"]),
        (TimeWindowPartitionMapping(-1, -1), ["2026-02-05"], DAILY, DAILY, ["2026-02-04"]),
        (TimeWindowPartitionMapping(-1, 0), ["2026-02-01"], DAILY, DAILY, ["2026-02-01"]),  # none before the start
        (TimeWindowPartitionMapping(0, 3), ["2026-02-09"], DAILY, DAILY, ["2026-02-09"]),  # none that has not ended
        (TimeWindowPartitionMapping(), ["2026-01-01"], MONTHLY, DAILY, []),
        (
            TimeWindowPartitionMapping(),
            ["2026-02-02"],
            DAILY,
            HourlyPartitionsDefinition("2026-01-01"),
            [f"2026-02-02-{hour:02}:00" for hour in range(24)],
        ),
        (TimeWindowPartitionMapping(), ["2026-02-05"], DAILY, MONTHLY, []),  # the month has not ended
        (TimeWindowPartitionMapping(), ["2025-12-31"], EARLIER, MONTHLY, ["2025-12-01"]),
        (
            TimeWindowPartitionMapping(),
            ["2026-02-05"],
            DAILY,
            DailyPartitionsDefinition("2026-01-01", timezone="Asia/Tokyo"),
            ["2026-02-05", "2026-02-06"],
        ),
        (StaticPartitionMapping({"x": ["south", "north"], "y": "north", "z": []}), ["x", "y"],
         StaticPartitionsDefinition(["x", "y", "z"]), REGION, ["south", "north"]),
        (StaticPartitionMapping({"x": [], "y": "north"}), ["x"], StaticPartitionsDefinition(["x", "y"]), REGION, []),
        (MultiToSingleDimensionPartitionMapping(), ["2026-02-05|north", "2026-02-05|south"], BOTH, DAILY,
         ["2026-02-05"]),
        (MultiToSingleDimensionPartitionMapping(), [MultiPartitionKey({"date": "2026-02-05", "region": "south"})],
         BOTH, REGION, ["south"]),
        (MultiToSingleDimensionPartitionMapping("date"), ["2026-02-05"], DAILY, BOTH,
         ["2026-02-05|north", "2026-02-05|south"]),
        (MultiToSingleDimensionPartitionMapping(), ["south"], REGION, BOTH,
         [f"2026-02-{day:02}|south" for day in range(1, 10)]),
    ],
)  # fmt: skip
def test_mappings_by_example(mapping, keys, downstream, upstream, expected):
    found = upstream_keys(mapping, keys, downstream, upstream)
    assert found == expected
    assert all(type(key) is str for key in found)
    assert hash(mapping) == hash(copy.deepcopy(mapping))


def test_a_month_needs_its_days():
    days = DailyPartitionsDefinition("2025-01-01", timezone="America/New_York")
    months = MonthlyPartitionsDefinition("2025-01-01", timezone="America/New_York")
    found = upstream_keys(TimeWindowPartitionMapping(), ["2025-11-01", "2025-03-01"], months, days)
    assert found == [f"2025-11-{day:02}" for day in range(1, 31)] + [f"2025-03-{day:02}" for day in range(1, 32)]


@given(definitions(), definitions())
@example(
    (HourlyPartitionsDefinition("2026-11-01", timezone="America/New_York"), datetime(2026, 11, 1, 12, tzinfo=UTC)),
    (DailyPartitionsDefinition("2026-10-31", timezone="America/New_York"), datetime(2026, 11, 4, tzinfo=UTC)),
)
def test_time_windows_map_to_all_that_overlap_and_no_other(down, up):
    downstream, now = down
    span = up[1] - next(iter(windows(*up).values()))[0]
    upstream = replace(up[0], start_date=downstream.start_date)
    then = next(iter(windows(downstream, now).values()))[0] + span
    there = windows(upstream, then)
    for key, (start, end) in windows(downstream, now).items():
        found = TimeWindowPartitionMapping().upstream_keys([key], downstream=downstream, upstream=upstream, now=then)
        assert found == [name for name, (first, last) in there.items() if first < end and start < last]


@given(definitions(), st.integers(-3, 3), st.integers(0, 3))
def test_offsets_count_windows(drawn, start_offset, more):
    definition, now = drawn
    keys = definition.get_partition_keys(now=now)
    mapping = TimeWindowPartitionMapping(start_offset, start_offset + more)
    for number, key in enumerate(keys):
        wanted = range(number + start_offset, number + start_offset + more + 1)
        expected = [keys[index] for index in wanted if 0 <= index < len(keys)]
        assert mapping.upstream_keys([key], downstream=definition, upstream=definition, now=now) == expected


@pytest.mark.parametrize(
    ("mapping", "keys", "downstream", "upstream", "message"),
    [
        (
            IdentityPartitionMapping(), ["2026-01-31"], DAILY, DAILY,
            "upstream daily partitions from 2026-02-01, UTC: no partition '2026-01-31'; "
            "it has 9, from '2026-02-01' to '2026-02-09'",
        ),
        (
            IdentityPartitionMapping(), [], None, DAILY,
            "IdentityPartitionMapping: downstream is not partitioned, and has no keys",
        ),
        (
            SpecificPartitionsPartitionMapping(["west"]), [], None, REGION,
            "SpecificPartitionsPartitionMapping: upstream static partitions north, south: no partition 'west'; "
            "it has 2, from 'north' to 'south'",
        ),
        (
            SpecificPartitionsPartitionMapping(["c"]), [], None, CUSTOMERS,
            "upstream dynamic partitions 'customers': no partition 'c'; it has 2, from 'a' to 'b'; "
            "instance.add_dynamic_partitions('customers', [...]) adds keys",
        ),
        (
            StaticPartitionMapping({"north": "nrth"}), ["north"], REGION, REGION,
            "StaticPartitionMapping: upstream static partitions north, south: no partition 'nrth'; "
            "it has 2, from 'north' to 'south'; did you mean 'north'?",
        ),
        (
            StaticPartitionMapping({"west": "north"}), ["north"], REGION, REGION,
            "StaticPartitionMapping: downstream static partitions north, south: no partition 'west'; "
            "it has 2, from 'north' to 'south'",
        ),
        (
            StaticPartitionMapping({"north": "north"}), ["south"], REGION, REGION,
            "StaticPartitionMapping: says nothing of the key downstream 'south'",
        ),
        (
            StaticPartitionMapping({"a": "north"}), ["b"], CUSTOMERS, REGION,
            "StaticPartitionMapping: says nothing of the key downstream 'b'",
        ),
        (
            StaticPartitionMapping({"north": "north"}), [], None, REGION,
            "StaticPartitionMapping: downstream is not partitioned, and has no keys",
        ),
        (
            TimeWindowPartitionMapping(), ["north"], REGION, DAILY,
            "TimeWindowPartitionMapping: downstream is static partitions north, south, not windows of time",
        ),
        (
            TimeWindowPartitionMapping(), [], None, DAILY,
            "TimeWindowPartitionMapping: downstream is not partitioned, not windows of time",
        ),
        (
            TimeWindowPartitionMapping(), ["5"], DAILY, HOURLY,
            "daily partitions from 2026-02-01, UTC: never has a partition '5'; keys look like '2026-02-01'",
        ),
        (
            MultiToSingleDimensionPartitionMapping(), ["north"], REGION, DAILY,
            "MultiToSingleDimensionPartitionMapping: takes two dimensions on one side, one of them on the other",
        ),
        (
            MultiToSingleDimensionPartitionMapping(), ["a"], CUSTOMERS, BOTH,
            f"MultiToSingleDimensionPartitionMapping: no dimension of {BOTH.describe()} is {CUSTOMERS.describe()}",
        ),
        (
            MultiToSingleDimensionPartitionMapping("rgion"), ["north"], REGION, BOTH,
            f"MultiToSingleDimensionPartitionMapping: no dimension 'rgion' in {BOTH.describe()}; "
            "did you mean 'region'?",
        ),
        (
            MultiToSingleDimensionPartitionMapping("date"), ["north"], REGION, BOTH,
            "MultiToSingleDimensionPartitionMapping: dimension date is daily partitions from 2026-02-01, UTC, "
            "the other side static partitions north, south",
        ),
        (
            MultiToSingleDimensionPartitionMapping(), ["2026-02-28"], DAILY, BOTH,
            "upstream dimension date: no partition '2026-02-28'; it has 9, from '2026-02-01' to '2026-02-09'; "
            "its window ends at 2026-03-01T00:00:00+00:00",
        ),
    ],
)  # fmt: skip
def test_mappings_that_cannot_answer(mapping, keys, downstream, upstream, message):
    assert refusal(upstream_keys, mapping, keys, downstream, upstream) == message


@pytest.mark.parametrize(
    ("downstream", "upstream", "mapping"),
    [
        (None, DAILY, AllPartitionMapping()),
        (DAILY, DailyPartitionsDefinition("2026-02-01"), IdentityPartitionMapping()),
        (CUSTOMERS, CUSTOMERS, IdentityPartitionMapping()),
        (BOTH, BOTH, IdentityPartitionMapping()),
        (REGION, StaticPartitionsDefinition(["south", "north"]), IdentityPartitionMapping()),
        (MONTHLY, DAILY, TimeWindowPartitionMapping()),
        (DAILY, DailyPartitionsDefinition("2025-01-01"), TimeWindowPartitionMapping()),
        (BOTH, DAILY, MultiToSingleDimensionPartitionMapping("date")),
        (REGION, BOTH, MultiToSingleDimensionPartitionMapping("region")),
    ],
)
def test_the_mapping_that_needs_no_saying(downstream, upstream, mapping):
    assert default_mapping(downstream, upstream) == mapping
    mapping.check_fits(downstream=downstream, upstream=upstream)


TWICE = MultiPartitionsDefinition({"from": REGION, "to": REGION})


@pytest.mark.parametrize(
    ("downstream", "upstream", "remedy"),
    [
        (REGION, StaticPartitionsDefinition(["west"]), "one of StaticPartitionMapping({...}), AllPartitionMapping(), "),
        (DAILY, REGION, "one of AllPartitionMapping(), LastPartitionMapping(), "),
        (BOTH, MONTHLY, "one of AllPartitionMapping(), "),
        (BOTH, TWICE, "one of AllPartitionMapping(), "),
        (
            REGION,
            TWICE,
            "MultiToSingleDimensionPartitionMapping('from') or MultiToSingleDimensionPartitionMapping('to')",
        ),
    ],
)
def test_no_mapping_is_guessed(downstream, upstream, remedy):
    with pytest.raises(UsageError) as caught:
        default_mapping(downstream, upstream)
    assert str(caught.value) == (
        f"no partition mapping is clear from {downstream.describe()} downstream to {upstream.describe()} upstream"
    )
    assert remedy in caught.value.remedy


def test_a_mapping_of_ones_own_has_one_method():
    class Same(PartitionMapping):
        def answer(self, asked):
            yield from asked.checked(asked.keys)
            yield from asked.checked(asked.keys)

    assert upstream_keys(Same(), ["south", "north"], REGION, REGION) == ["south", "north"]
    assert "no partition 'west'" in refusal(upstream_keys, Same(), ["west"], REGION, REGION)


# -- around it


def test_the_manual_is_right():
    manual = Path(__file__).parent.parent / "docs/partitions.md"
    names = {name: getattr(partitions, name) for name in partitions.__all__} | {"datetime": datetime, "UTC": UTC}
    assert doctest.testfile(str(manual), module_relative=False, globs=names) == doctest.TestResults(0, 16)


def test_time_zones_are_there_where_the_system_has_none():
    code = """
import zoneinfo
from foldlog.engine.definitions.partitions import DailyPartitionsDefinition
assert zoneinfo.TZPATH == (), zoneinfo.TZPATH
print(DailyPartitionsDefinition("2026-01-05", timezone="America/New_York").describe())
"""
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=os.environ | {"PYTHONTZPATH": ""}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("daily partitions from 2026-01-05, America/New_York\n", "")


def test_the_names_are_those_that_are_exported():
    assert partitions.__all__ == sorted(partitions.__all__, key=lambda name: (name[0].islower(), name))
    public = [getattr(partitions, name) for name in partitions.__all__ if name != "DynamicKeys"]
    methods = [method for one in public for name, method in vars(one).items() if callable(method) and name[0] != "_"]
    assert all(inspect.getdoc(one) for one in public + methods)
