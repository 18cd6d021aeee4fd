"""Logs move between every pair of places, under their writers, and nothing of them changes on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from moves import ENDS, PAIRS, SERVED, at, end_at, everything, fill
from test_views_histories import apply, built, histories, orchestrations

from foldlog import AssetKey, Event, EventLog, Instance, events, moving, open_log
from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import ConflictError, CorruptLogError, HistoryDiverged, LogMoved, UsageError
from foldlog.engine.log.port import OPEN_GATE, CanMove, CanRepair, Gate, GateState, ShardState
from foldlog.serdes import Codec

LINE = [Event.now(events.LogMessage(text="x"))]


def memory() -> EventLog:
    return EventLog(MemoryBackend(), Codec())


def gate(log: EventLog) -> Gate:
    assert isinstance(log.backend, CanMove)
    return log.backend.gate()


@pytest.fixture
def source() -> EventLog:
    log = memory()
    fill(log, seed=3)
    return log


@pytest.mark.parametrize(("start", "to"), PAIRS)
def test_a_log_moves_between_every_pair_of_places(
    start: str, to: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """P10, P11: everything is equal, cursors go on, keys answer, and the old place takes nothing any more."""
    if start == to and start in SERVED:
        pytest.skip("one empty database a test")
    old, new = end_at(start, tmp_path / "old", request), end_at(to, tmp_path / "new", request)
    key = uuid4()
    with at(old) as log:
        fill(log, seed=list(ENDS).index(start), steps=80)
        receipt = log.append("run-keyed", LINE, key=key)
        log.catch_up()
        cursors = [log.cursor(position) for position in range(0, log.head().position + 1, 7)]
        before = everything(log)
        moved = moving.copy_log(log if start == "memory" else old, new, cut_over=True)
    assert (moved.state, moved.position, moved.copied) == ("moved", before["head"][1], before["head"][1])
    with at(new) as log:
        assert everything(log) == before
        assert log.head().epoch == moved.epoch == 2
        for cursor in cursors:
            log.read(after=cursor, limit=1)
        assert log.append("run-keyed", LINE, key=key) == receipt._replace(duplicate=True)
        assert log.append("run-new", LINE, wait="ordered").first_seq == 1
        assert not isinstance(log.backend, CanRepair) or log.backend.diagnose(full=True) == []
        newer = log.read(after=cursors[-1]).cursor
    with at(old) as log:
        with pytest.raises(LogMoved, match="it moved to"):
            log.append("run-keyed", LINE)
        with pytest.raises(HistoryDiverged):
            log.read(after=newer)
        assert log.head().position == before["head"][1]


@pytest.mark.parametrize(
    ("start", "to"),
    [
        ("sqlite", "consolidated"),
        ("consolidated", "sqlite"),
        *[("sqlite", name) for name in SERVED],
        *[(name, "sqlite") for name in SERVED],
        ("postgres", "mysql"),
        ("objects", "sqlite"),
        ("objects", "postgres"),
        ("sqlite", "objects"),
        ("objects", "s3"),
    ],
)
def test_a_log_moves_under_its_writers(start: str, to: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """P1, P3, P10: while it is followed and then cut over, no acknowledged append is lost, none is accepted after the
    fence, and each that was refused lands at the new place under its key, once."""
    old, new = end_at(start, tmp_path / "old", request), end_at(to, tmp_path / "new", request)
    acknowledged: list[tuple[str, int]] = []
    refused: list[tuple[str, UUID]] = []
    # Each shard is two requests of a slow server: what it cannot keep up with would never be over.
    pause_s = 0.01 if "s3" in (start, to) else 0.0

    def write(name: str) -> None:
        with at(old) as log:
            for number in range(100_000):
                time.sleep(pause_s)
                shard, key = f"{name}-{number // 20}", uuid4()
                try:
                    acknowledged.append((shard, log.append(shard, LINE, key=key).last_seq))
                except LogMoved:
                    refused.append((shard, key))
                    return

    with at(old) as log:
        fill(log, seed=5)
        writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "@c")]
        for writer in writers:
            writer.start()
        stop = threading.Event()
        follower = threading.Thread(target=moving.copy_log, args=(old, new), kwargs={"follow": True, "stop": stop})
        follower.start()
        time.sleep(0.7)
        stop.set()
        follower.join()
        moved = moving.copy_log(old, new, cut_over=True)
        for writer in writers:
            writer.join(30)
        assert len(refused) == 3
        assert log.catch_up().position == moved.position
        with at(new) as there:
            found = {(one.shard, one.seq) for one in there.backend.read(after=0, limit=10**6, types=None)}
            assert len(acknowledged) > 100
            assert set(acknowledged) <= found
            for shard, key in refused:
                assert not there.append(shard, LINE, key=key).duplicate
                assert there.append(shard, LINE, key=key).duplicate


def test_following_ends_when_another_cuts_over(tmp_path: Path) -> None:
    """P10: whoever follows is told, and opens nothing."""
    old, new = f"sqlite:///{tmp_path}/old", f"sqlite:///{tmp_path}/new"
    with open_log(old) as log:
        fill(log)
    ends: list[moving.Moved] = []
    follower = threading.Thread(target=lambda: ends.append(moving.copy_log(old, new, follow=True)))
    follower.start()
    while not (tmp_path / "new/order.db").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    assert moving.copy_log(old, new, cut_over=True).state == "moved"
    follower.join(30)
    assert [end.state for end in ends] == ["cut over elsewhere"]
    assert gate(open_log(new)) == OPEN_GATE


def test_a_followed_copy_is_closed_until_it_is_cut_over(source: EventLog) -> None:
    """P10: two logs never take appends under one id."""
    target = memory()
    stop = threading.Event()
    stop.set()
    assert moving.copy_log(source, target, follow=True, stop=stop).state == "following"
    with pytest.raises(LogMoved, match="copy of memory") as refusal:
        target.append("run-1", LINE)
    assert "foldlog copy" in refusal.value.remedy
    source.append("run-more", LINE)
    source.backend.start_epoch("on the way")
    assert moving.copy_log(source, target, follow=True, stop=stop).copied == 1
    assert target.backend.epochs() == source.backend.epochs()
    assert moving.copy_log(source, target, cut_over=True).epoch == 3


def test_an_open_source_is_not_copied_without_a_word(source: EventLog, tmp_path: Path) -> None:
    """P11: what would be old at once is an error that names the three ways."""
    with pytest.raises(UsageError, match="takes appends") as error:
        moving.copy_log(source, f"sqlite:///{tmp_path}/new")
    assert all(word in error.value.remedy for word in ("--cut-over", "--follow", "--fork"))
    assert not (tmp_path / "new").exists()


def test_a_move_that_is_complete_is_not_repeated(source: EventLog) -> None:
    """P10: the same call again, also after the log went on, finds nothing to do."""
    target = memory()
    moving.copy_log(source, target, cut_over=True)
    target.append("run-more", LINE, wait="ordered")
    before = everything(target)
    for more in ({}, {"cut_over": True}, {"follow": True}):
        assert moving.copy_log(source, target, **more).state == "moved before"
    assert everything(target) == before
    assert gate(target) == OPEN_GATE


def test_a_fork_lives_its_own_life(source: EventLog) -> None:
    """P11: same events at the same places, another log id; the source goes on, its cursors are refused."""
    target = memory()
    forked = moving.copy_log(source, target, fork=True)
    before, after = everything(source), everything(target)
    assert before["head"][1:] == after["head"][1:]
    assert before["head"][0] != after["head"][0] == forked.log_id
    assert {key: before[key] for key in ("placed", "timeline", "states")} == {
        key: after[key] for key in ("placed", "timeline", "states")
    }
    source.append("run-1a", LINE, wait="ordered")
    target.append("run-1b", LINE, wait="ordered")
    with pytest.raises(HistoryDiverged, match="of log"):
        target.read(after=source.cursor())
    assert "forked from log" in target.backend.epochs()[-1].reason
    found = moving.compare_logs(source, target)
    assert not found.same
    assert "run-1a is run-1b there" in str(found.first)
    with pytest.raises(ConflictError):
        moving.copy_log(source, target, fork=True)


def test_a_log_that_cannot_be_written_is_forked(tmp_path: Path) -> None:
    """P11: as of what has positions; it is left as it is."""
    old, new = f"sqlite:///{tmp_path}/old", f"sqlite:///{tmp_path}/new"
    with open_log(old) as log:
        fill(log, seed=17)
        before = everything(log)
        log.append("run-pending", LINE)
    with open_log(old, read_only=True) as log:
        assert moving.copy_log(log, new, fork=True).position == before["head"][1]
    with open_log(new) as log:
        assert everything(log)["timeline"] == before["timeline"]


def test_a_destination_is_read_while_it_is_filled(tmp_path: Path) -> None:
    """P5, P8: by handles that keep its files open: dense at each moment, and whole at the end without opening anew."""
    old, new = f"sqlite:///{tmp_path}/old", f"sqlite:///{tmp_path}/new"
    stop = threading.Event()
    stop.set()
    with open_log(old) as log:
        fill(log, seed=18)
        moving.copy_log(log, new, follow=True, stop=stop)
        with open_log(new) as reader, open_log(new, read_only=True) as other:
            for round_ in range(4):
                fill(log, seed=round_, steps=15)
                log.seal(f"run-{round_}")
                for one in (reader, other):
                    timeline = one.backend.read(after=0, limit=10_000, types=None)
                    assert [item.position for item in timeline] == list(range(1, len(timeline) + 1))
                assert moving.copy_log(log, new, follow=True, stop=stop).copied
                assert reader.read(limit=10_000).at_head
            moving.copy_log(log, new, cut_over=True)
            for one in (reader, other):
                assert one.backend.read(after=0, limit=10_000, types=None) == everything(log)["timeline"]
            reader.append("run-new", LINE, wait="ordered")
            assert other.head() == reader.head()


# -- destinations that are something else -------------------------------------------------------------------------


def test_a_destination_with_another_history_is_left_as_it_is(source: EventLog) -> None:
    """P11: another log; a fork of the log; an older copy that went on by itself."""
    other, fork = memory(), memory()
    fill(other, seed=9)
    moving.copy_log(source, fork, fork=True)
    for target in (other, fork):
        before = everything(target)
        for more in ({"cut_over": True}, {"follow": True}, {"fork": True}):
            with pytest.raises((ConflictError, HistoryDiverged, UsageError)) as error:
                moving.copy_log(source, target, **more)
            assert "destination" in error.value.remedy or "place" in error.value.remedy
        assert everything(target) == before
    assert gate(source) == OPEN_GATE


def test_a_destination_that_receives_another_copy_is_refused(source: EventLog, tmp_path: Path) -> None:
    """P11: a copy of another log; a fork in place of a copy, and the other way round; a history that diverged."""
    stop = threading.Event()
    stop.set()
    other, target = memory(), memory()
    fill(other, seed=9)
    moving.copy_log(other, target, follow=True, stop=stop)
    for more in ({"cut_over": True}, {"fork": True}):
        with pytest.raises((UsageError, HistoryDiverged)):
            moving.copy_log(source, target, **more)
    assert gate(source) == OPEN_GATE
    with pytest.raises(UsageError):
        moving.copy_log(other, target, fork=True)
    older, newer = f"sqlite:///{tmp_path}/older", f"sqlite:///{tmp_path}/newer"
    with open_log(older) as log:
        fill(log, seed=2)
        log.backup(tmp_path / "backup")
        log.append("run-x", [Event.now(events.LogMessage(text="one"))], wait="ordered")
        moving.copy_log(log, newer, follow=True, stop=stop)
    with open_log(f"sqlite:///{tmp_path}/backup") as restored:
        restored.append("run-x", [Event.now(events.LogMessage(text="two"))], wait="ordered")
        with pytest.raises(HistoryDiverged, match="another history"):
            moving.copy_log(restored, newer, cut_over=True)
        assert gate(restored) == OPEN_GATE


def test_a_source_that_moved_elsewhere_goes_nowhere_else(source: EventLog) -> None:
    """P11: but a fork of it can be made."""
    target = memory()
    moving.copy_log(source, target, cut_over=True)
    for more in ({}, {"cut_over": True}):
        with pytest.raises(UsageError, match="it moved to") as error:
            moving.copy_log(source, memory(), **more)
        assert "--release" in error.value.remedy
    assert moving.copy_log(source, memory(), fork=True).state == "forked"


def test_a_log_is_not_copied_to_itself(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log"
    with open_log(url) as log:
        fill(log)
        with pytest.raises(UsageError, match="itself"):
            moving.copy_log(url, f"{url}?layout=sharded", cut_over=True)
        assert gate(log) == OPEN_GATE


def test_looking_for_a_source_makes_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        moving.copy_log(f"sqlite:///{tmp_path}/none", f"sqlite:///{tmp_path}/new", cut_over=True)
    assert list(tmp_path.iterdir()) == []


# -- taking a fence back --------------------------------------------------------------------------------------------


class Interrupted(Exception):
    """In the place of a kill."""


def until(step: str) -> Any:
    """What stops a move behind a step."""

    def told(done: str) -> None:
        if done == step or (done.startswith(step) and step != "verified"):
            raise Interrupted

    return told


STEPS = ["began", "verified up", "fenced", "copied the tail", "mirrored", "verified", "started", "opened"]


@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_was_interrupted_is_completed(source: EventLog, step: str) -> None:
    """P10: behind every step, by the same call; and until then at most one of the two takes appends."""
    target = memory()
    before = everything(source)
    with pytest.raises(Interrupted):
        moving.copy_log(source, target, cut_over=True, told=until(step))
    takes = [gate(log).state is GateState.OPEN for log in (source, target)]
    assert takes == [step in STEPS[:2], step == "opened"]
    moved = moving.copy_log(source, target, cut_over=True)
    assert moved.state == ("moved before" if step == "opened" else "moved")
    assert everything(target) == before
    assert len(target.backend.epochs()) == 2
    target.append("run-more", LINE)


@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_was_killed_is_completed(tmp_path: Path, step: str) -> None:
    """P1, P10: the same with processes that are gone at once, between files."""
    old, new = f"sqlite:///{tmp_path}/old", f"sqlite:///{tmp_path}/new?layout=consolidated"
    with open_log(old) as log:
        fill(log, seed=31)
        log.append("run-pending", LINE)
    code = (
        "import os, sys\nfrom foldlog import moving\nold, new, step = sys.argv[1:]\n"
        "def told(done):\n"
        "    if done == step or (done.startswith(step) and step != 'verified'): os.kill(os.getpid(), 9)\n"
        "moving.copy_log(old, new, cut_over=True, told=told)"
    )
    killed = subprocess.run([sys.executable, "-P", "-c", code, old, new, step])
    assert killed.returncode == -signal.SIGKILL
    with open_log(old) as log:
        before = everything(log)
        assert (gate(log).state is GateState.OPEN) is (step in STEPS[:2])
    moving.copy_log(old, new, cut_over=True)
    with open_log(new) as log:
        assert everything(log) == before
        log.append("run-more", LINE)
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("step", STEPS[2:-1])
def test_a_fence_is_taken_back(source: EventLog, step: str) -> None:
    """P10: as long as the destination was not opened; it stays closed, and the move can be made later."""
    target = memory()
    with pytest.raises(Interrupted):
        moving.copy_log(source, target, cut_over=True, told=until(step))
    with pytest.raises(UsageError, match="it moved to") as error:
        moving.release_log(source)
    assert "--force" in error.value.remedy
    for _ in range(2):
        moving.release_log(source, target)
        source.append("run-more", LINE, wait="ordered")
        with pytest.raises(LogMoved):
            target.append("run-more", LINE)
    assert moving.copy_log(source, target, cut_over=True).state == "moved"
    assert moving.compare_logs(target, source).same


def test_a_release_stops_a_move_that_is_under_way(source: EventLog) -> None:
    """P10: one that was taken for dead, and is not, opens nothing."""
    target = memory()

    def told(step: str) -> None:
        if step == "verified":
            moving.release_log(source, target)
            source.append("run-late", LINE)

    with pytest.raises(ConflictError):
        moving.copy_log(source, target, cut_over=True, told=told)
    assert gate(source) == OPEN_GATE
    assert gate(target).state is GateState.RECEIVING


@pytest.mark.parametrize("late", ["copied the tail", "mirrored", "verified", "started"])
def test_the_slower_of_two_cut_overs_takes_nothing_away(source: EventLog, late: str) -> None:
    """P10, P11: whatever it was at, the other's epoch stays, and the log is opened once."""
    target = memory()
    outcomes: list[str] = []

    def told(step: str) -> None:
        if not outcomes and (step == late or (step.startswith(late) and late != "verified")):
            outcomes.append(moving.copy_log(source, target, cut_over=True).state)
            target.append("run-more", LINE, wait="ordered")

    outcomes.append(moving.copy_log(source, target, cut_over=True, told=told).state)
    assert outcomes == ["moved", "moved before"]
    assert [epoch.number for epoch in target.backend.epochs()] == [1, 2]
    assert "moved from" in target.backend.epochs()[-1].reason
    assert gate(target) == OPEN_GATE


def test_cut_overs_at_once(tmp_path: Path) -> None:
    """P10: one of them moves the log; the others see that it has moved, or are told that they were not alone."""
    old, new = f"sqlite:///{tmp_path}/old", f"sqlite:///{tmp_path}/new"
    with open_log(old) as log:
        fill(log, seed=41)
        before = everything(log)
    states: list[str] = []

    def cut_over() -> None:
        try:
            states.append(moving.copy_log(old, new, cut_over=True).state)
        except ConflictError:
            states.append("told so")

    copies = [threading.Thread(target=cut_over) for _ in range(3)]
    moving.copy_log(old, new, follow=True, stop=_stopped())
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert len(states) == 3
    assert states.count("moved") == 1, states
    assert moving.copy_log(old, new, cut_over=True).state == "moved before"
    with open_log(new) as log:
        assert everything(log) == before
        assert len(log.backend.epochs()) == 2


def _stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def test_a_destination_that_was_opened_is_not_overruled(source: EventLog) -> None:
    """P11: neither is one of another copy taken for it."""
    target = memory()
    moving.copy_log(source, target, cut_over=True)
    with pytest.raises(ConflictError, match="was opened"):
        moving.release_log(source, target)
    with pytest.raises(UsageError):
        moving.release_log(source, memory())
    assert gate(source).state is GateState.MOVED
    assert moving.release_log(source, force=True).destination is None
    assert gate(source) == OPEN_GATE


# -- what happens on the way ----------------------------------------------------------------------------------------


def test_what_ends_at_the_source_ends_at_the_destination(source: EventLog) -> None:
    """P9: runs sealed, deleted and trimmed after they were copied, and a deletion that was begun."""
    target = memory()
    stop = threading.Event()
    stop.set()
    for name in ("gone", "gone-whole", "begun", "sealed", "stays"):
        made = events.AssetMaterialization(asset_key=AssetKey("a"))
        source.append(name, [Event.now(events.RunStarted()), Event.now(made), *LINE], key=UUID(int=7))
    moving.copy_log(source, target, follow=True, stop=stop)
    source.purge("gone", Event.now(events.RunDeleted(run_id="gone")), keep=True)
    source.purge("gone-whole", Event.now(events.RunDeleted(run_id="gone-whole", keep_assets=False)), keep=False)
    source.seal("sealed")
    source.backend.fence("begun")
    source.trim(256, source.catch_up().position)  # type: ignore[arg-type]
    moving.copy_log(source, target, follow=True, stop=stop)
    source.purge("gone", Event.now(events.RunDeleted(run_id="gone", keep_assets=False)), keep=False)
    moving.copy_log(source, target, cut_over=True)
    assert everything(target) == everything(source)
    states = {shard.name: shard.state for shard in target.shards(limit=10_000)}
    assert (states["gone"], states["begun"]) == (ShardState.PURGED, ShardState.FENCED)


def test_a_difference_keeps_the_destination_closed(source: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: it is named, and the source can have its fence back."""
    target = memory()

    def told(step: str) -> None:
        if step == "copied the tail":
            shard = target.backend._shards["run-0"]  # type: ignore[attr-defined]
            shard.receipts[0] = shard.receipts[0]._replace(digest=bytes(16))
            place = next(i for i, p in enumerate(target.backend._timeline) if p.receipt.shard == "run-0")  # type: ignore[attr-defined]
            entry = target.backend._timeline[place]  # type: ignore[attr-defined]
            target.backend._timeline[place] = entry._replace(receipt=shard.receipts[0])  # type: ignore[attr-defined]

    with pytest.raises(Interrupted):
        moving.copy_log(source, target, cut_over=True, told=until("fenced"))
    with pytest.raises(CorruptLogError, match=r"1 differences .* shard run-0, seq 1: digest") as error:
        moving.copy_log(source, target, cut_over=True, told=told)
    assert "--release" in error.value.remedy
    assert gate(target).state is GateState.RECEIVING
    moving.release_log(source, target)


def test_progress_tells_how_far_it_is(source: EventLog) -> None:
    seen: list[tuple[str, int, int]] = []
    told: list[str] = []
    target = memory()
    moved = moving.copy_log(source, target, cut_over=True, progress=lambda *one: seen.append(one), told=told.append)
    assert ("events", moved.position, moved.position) in seen
    assert ("positions", moved.position, moved.position) in seen
    assert all(0 <= done <= total for what, done, total in seen if what == "events")
    assert [step.split()[0] for step in told] == [
        "began", "verified", "fenced", "copied", "mirrored", "verified", "started", "opened"
    ]  # fmt: skip


def test_an_instance_sees_the_same_at_the_new_place(tmp_path: Path) -> None:
    """P10: runs, assets and steps, through the façade; views are made anew there by themselves."""
    old, new = f"sqlite:///{tmp_path}/old", f"sqlite:///{tmp_path}/new"
    with Instance.from_url(old) as instance:
        for number in range(3):
            with instance.run(f"job-{number}", tags={"team": "a"}) as run:
                with run.step("load"):
                    pass
                run.materialize(["raw", "orders"], partition=f"p{number}")
        before = instance.get_run_records(), instance.get_asset_records(), instance.verify()
    moving.copy_log(old, new, cut_over=True)
    with Instance.from_url(new) as instance:
        assert (instance.get_run_records(), instance.get_asset_records()) == before[:2]
        found = instance.verify()
        assert found.ok
        assert [(one.view, one.rows, one.digest) for one in found.views] == [
            (one.view, one.rows, one.digest) for one in before[2].views
        ]
        with instance.run("job-4"):
            pass
    with Instance.from_url(old) as instance:
        with pytest.raises(LogMoved), instance.run("job-5"):
            pass


@pytest.mark.parametrize("kind", ["memory", "sqlite", "consolidated"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=histories | orchestrations)
def test_views_of_a_copy_are_those_of_the_log(
    kind: str, history: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """P9, P10: whatever happened to a log, its views at the new place are the same rows, byte for byte."""
    source = memory()
    with Instance(source) as instance:
        apply(instance, history, live=instance.views.store)  # type: ignore[attr-defined]
        folder = tmp_path_factory.mktemp("copy")
        url = f"sqlite:///{folder}/log" + ("?layout=consolidated" if kind == "consolidated" else "")
        target = memory() if kind == "memory" else open_log(url)
        moving.copy_log(source, target, cut_over=True)
        with target:
            assert moving.compare_logs(target, source).same
            assert _rows(target) == _rows(source)


def _rows(log: EventLog) -> dict[str, Any]:
    """All rows of all views; a cursor has the epoch in it, which a move begins anew."""
    return {name: rows for name, rows in built(log, page=1000).items() if not name.endswith(" checkpoint")}
