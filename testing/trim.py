"""Trimming: the bodies of one retention class go, and everything else stays where it is."""

from __future__ import annotations

import pytest

from ..engine.errors import AppendKeyConflict, UsageError
from ..engine.events.asset import AssetMaterialization
from ..engine.events.event import Event, Retention
from ..engine.events.key import AssetKey
from ..engine.events.log import LogMessage
from ..engine.events.run import RunStarted
from ..engine.events.tombstone import HistoryTrimmed, RunDeleted
from ..engine.log.chain import link
from ..engine.log.log import EventLog, Purged
from ..engine.log.port import ANY, Backend, CanRepair, Shard, ShardState, Weight
from .store import PLENTY, Store, SuiteBase, bodies, held, place_only, put, record, sequence, timeline

LOG = int(Retention.LOG)
TICK = int(Retention.TICK)
LINE = record(b"line", type="LINE", retention=Retention.LOG)
TICKED = record(b"tick", type="TICK", retention=Retention.TICK)
STEP = record(b"step", type="STEP")
ASSET = record(b"asset", type="ASSET", kept=True)


def fill(backend: Backend) -> None:
    """Positions 1 to 9: run-1 has 1 2 3, 5 6, 9; @ticks 4, 7 8. Keys 1 and 2 begin with a record that may go."""
    place_only(
        backend,
        put(backend, "run-1", LINE, STEP, LINE, key=1),
        put(backend, "@ticks", TICKED, key=2),
        put(backend, "run-1", ASSET, LINE),
        put(backend, "@ticks", TICKED, ASSET),
        put(backend, "run-1", LINE),
    )


def well(backend: Backend) -> bool:
    """Whether the backend, if it can tell, finds nothing wrong with what it keeps."""
    return not isinstance(backend, CanRepair) or backend.diagnose(full=True) == []


class TrimTests(SuiteBase):
    @pytest.fixture
    def nine(self, backend: Backend) -> Backend:
        fill(backend)
        return backend

    def test_one_class_goes_up_to_a_position(self, nine: Backend, store: Store) -> None:
        """P5: positions stay dense; a freed record reads as purged, and all others as before."""
        assert nine.trim(LOG, through=6, shard=None) == Weight(3, 12)
        for handle in store.and_reopened(nine):
            assert [item.position for item in timeline(handle)] == list(range(1, 10))
            wanted = [None, b"step", None, b"tick", b"asset", None, b"tick", b"asset", b"line"]
            assert bodies(timeline(handle)) == wanted
            assert bodies(held(handle, "run-1")) == [b"step", b"asset", b"line"]
            assert [item.seq for item in held(handle, "run-1")] == [2, 4, 6]
            assert well(handle)

    def test_only_in_one_shard(self, nine: Backend) -> None:
        """P5: other shards keep theirs; a position within a receipt is where it ends."""
        put(nine, "run-2", TICKED)
        sequence(nine)
        assert nine.trim(TICK, through=7, shard="@ticks") == Weight(2, 8)
        assert bodies(held(nine, "@ticks")) == [b"asset"]
        assert bodies(held(nine, "run-2")) == [b"tick"]
        assert nine.trim(TICK, through=PLENTY, shard="unknown") == Weight()
        assert nine.trim(LOG, through=1, shard="run-1") == Weight(1, 4)
        assert bodies(held(nine, "run-1")) == [b"step", b"line", b"asset", b"line", b"line"]
        assert well(nine)

    def test_what_is_not_trimmable_stays(self, nine: Backend) -> None:
        """P1: facts of a run go with it, kept ones never; asking for it is an error."""
        for retention in (Retention.RUN, Retention.KEPT):
            with pytest.raises(UsageError):
                nine.trim(int(retention), through=9, shard=None)
        nine.trim(LOG, through=9, shard=None)
        nine.trim(TICK, through=9, shard=None)
        assert bodies(held(nine, "run-1")) == [b"step", b"asset"]
        assert bodies(held(nine, "@ticks")) == [b"asset"]

    def test_pages_go_on_over_freed_records(self, nine: Backend) -> None:
        """P5: whatever the size of the page; a page of a shard is full of what is there."""
        nine.trim(LOG, through=9, shard=None)
        for page in (1, 2, 3):
            assert len(timeline(nine, page=page)) == 9
        assert bodies(nine.read_shard("run-1", after_seq=0, limit=1, types=None, newest_first=False)) == [b"step"]
        assert bodies(nine.read_shard("run-1", after_seq=2, limit=2, types=None, newest_first=False)) == [b"asset"]
        assert bodies(nine.read_shard("run-1", after_seq=0, limit=9, types=None, newest_first=True)) == [
            b"asset",
            b"step",
        ]
        assert bodies(nine.read_shard("run-1", after_seq=4, limit=9, types=None, newest_first=True)) == [b"step"]
        assert nine.read_shard("run-1", after_seq=4, limit=9, types=None, newest_first=False) == []

    def test_a_filter_finds_what_is_left(self, nine: Backend) -> None:
        """P5: a freed record has no type any more; a receipt is found by the types it still holds."""
        nine.trim(LOG, through=6, shard=None)
        assert [item.position for item in timeline(nine, types=frozenset(["LINE"]))] == [9]
        assert [item.position for item in timeline(nine, types=frozenset(["LINE", "STEP"]), page=1)] == [2, 9]
        assert timeline(nine, types=frozenset([""])) == []
        nine.trim(LOG, through=9, shard=None)
        assert timeline(nine, types=frozenset(["LINE"])) == []
        of_shard = nine.read_shard("run-1", after_seq=0, limit=9, types=frozenset(["LINE", ""]), newest_first=False)
        assert of_shard == []

    def test_receipts_stay_whole(self, nine: Backend, store: Store) -> None:
        """P3, P11: keys still answer, a reused key is still refused, and the chain is the same."""
        before = nine.placed(after=0, limit=9)
        nine.trim(LOG, through=9, shard=None)
        nine.trim(TICK, through=9, shard=None)
        for handle in store.and_reopened(nine):
            assert handle.placed(after=0, limit=9) == before
            assert put(handle, "run-1", LINE, STEP, LINE, key=1).duplicate
            assert put(handle, "@ticks", TICKED, key=2)._replace(duplicate=False) == before[1].receipt
            with pytest.raises(AppendKeyConflict):
                put(handle, "run-1", STEP, key=1)
            chain = bytes(16)
            for entry in handle.placed(after=0, limit=9):
                chain = link(chain, entry.receipt)
                assert chain == entry.chain

    def test_a_shard_goes_on(self, nine: Backend, other: Backend) -> None:
        """P2, P4: the next append stands right behind, for a writer that had the shard open and for others."""
        nine.trim(LOG, through=9, shard=None)
        assert put(nine, "run-1", LINE, expected=6).first_seq == 7
        assert put(other, "run-1", LINE, expected=7).first_seq == 8
        assert sequence(other) == 11
        assert bodies(held(nine, "run-1")) == [b"step", b"asset", b"line", b"line"]
        assert nine.trim(LOG, through=10, shard=None) == Weight(1, 4)
        assert nine.trim(LOG, through=11, shard="run-1") == Weight(1, 4)
        assert well(other)

    def test_pending_events_are_never_freed(self, nine: Backend) -> None:
        """P5: what has no position yet has not been seen by anybody, whatever position is named."""
        put(nine, "run-1", LINE)
        assert nine.trim(LOG, through=PLENTY, shard=None).events == 4
        assert bodies(held(nine, "run-1")) == [b"step", b"asset", b"line"]
        assert sequence(nine) == 10
        assert nine.trim(LOG, through=10, shard=None) == Weight(1, 4)

    def test_twice(self, nine: Backend, store: Store) -> None:
        """P5: idempotent; a position before the last one frees nothing more."""
        nine.trim(LOG, through=6, shard=None)
        before = timeline(nine)
        for handle in store.and_reopened(nine):
            assert handle.trim(LOG, through=6, shard=None) == Weight()
            assert handle.trim(LOG, through=2, shard=None) == Weight()
            assert handle.trim(LOG, through=6, shard="run-1") == Weight()
            assert timeline(handle) == before

    @pytest.mark.parametrize("state", [ShardState.SEALED, ShardState.FENCED], ids=lambda state: state.value)
    def test_a_shard_that_has_ended(self, nine: Backend, other: Backend, state: ShardState) -> None:
        """P1, P5: sealed or fenced, it is trimmed like any other and stays what it was."""
        held(other, "run-1")
        if state is ShardState.SEALED:
            assert nine.seal("run-1")
        else:
            nine.fence("run-1")
        assert nine.trim(LOG, through=9, shard=None).events == 4
        assert nine.find_shard("run-1") == Shard("run-1", state, 6)
        for handle in (nine, other):
            assert bodies(held(handle, "run-1")) == [b"step", b"asset"]
        if state is ShardState.SEALED:
            assert put(other, "run-1", LINE, expected=ANY).first_seq == 7
            assert sequence(nine) == 10
            assert well(nine)

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_trimmed_shard_is_purged(self, nine: Backend, store: Store, keep: bool) -> None:
        """P5, P9: kept facts stay, in their places; the index of types is that of what is kept."""
        nine.trim(LOG, through=9, shard=None)
        nine.fence("run-1")
        nine.purge("run-1", keep=keep)
        for handle in store.and_reopened(nine):
            assert bodies(held(handle, "run-1")) == ([b"asset"] if keep else [])
            assert len(timeline(handle)) == 9
            assert [item.position for item in timeline(handle, types=frozenset(["ASSET", "LINE", "STEP"]))] == (
                [5, 8] if keep else [8]
            )
            assert well(handle)

    def test_around_purged_shards(self, nine: Backend) -> None:
        """P5, P9: what a purge has kept stays kept."""
        nine.fence("run-1")
        nine.purge("run-1", keep=True)
        before = timeline(nine)
        assert nine.trim(LOG, through=9, shard=None) == Weight()
        assert nine.trim(LOG, through=9, shard="run-1") == Weight()
        assert timeline(nine) == before
        assert nine.trim(TICK, through=9, shard=None).events == 2
        assert bodies(held(nine, "run-1")) == [b"asset"]
        assert well(nine)

    def test_weighing_changes_nothing(self, nine: Backend) -> None:
        """P5: it says, class by class, what a trim would free."""
        put(nine, "run-1", LINE)
        before = timeline(nine)
        assert nine.weigh(None, through=9, shard=None) == {
            0: Weight(1, 4), LOG: Weight(4, 16), TICK: Weight(2, 8), int(Retention.KEPT): Weight(2, 10)
        }  # fmt: skip
        assert nine.weigh(LOG, through=6, shard=None) == {LOG: Weight(3, 12)}
        assert nine.weigh(TICK, through=9, shard="run-1") == {}
        assert nine.weigh(None, through=9, shard="unknown") == {}
        assert timeline(nine) == before
        nine.trim(LOG, through=6, shard=None)
        assert nine.weigh(LOG, through=9, shard=None) == {LOG: Weight(1, 4)}
        sequence(nine)
        nine.fence("run-1")
        nine.purge("run-1", keep=True)
        assert nine.weigh(None, through=9, shard="run-1") == {int(Retention.KEPT): Weight(1, 5)}

    def test_many(self, backend: Backend) -> None:
        """P5: more than fits one transaction, in receipts of several sizes."""
        for size in (1, 700, 2500, 3):
            parts = [(LINE, STEP, ASSET)[n % 3] for n in range(size)]
            put(backend, "run-1", *parts)
            put(backend, f"run-{size}", *parts)
        last = sequence(backend)
        lines = backend.weigh(LOG, through=last, shard=None)[LOG]
        assert lines.events > 2000
        assert backend.trim(LOG, through=last, shard=None) == lines
        assert backend.weigh(LOG, through=last, shard=None) == {}
        assert [item.position for item in timeline(backend)] == list(range(1, last + 1))
        assert well(backend)

    # -- as callers see it ---------------------------------------------------------------------------------------

    @pytest.fixture
    def talk(self, log: EventLog) -> EventLog:
        """A run whose every second event is a line of a log: positions 1 to 5."""
        line, start = Event(LogMessage(text="hello"), 0), Event(RunStarted(), 0)
        asset = Event(AssetMaterialization(asset_key=AssetKey(("a",))), 0)
        log.append("run-1", [line, start, line, asset, line], wait="ordered")
        return log

    def test_the_timeline_says_so_first(self, talk: EventLog, store: Store) -> None:
        """P5, P9: a fact tells of it, once; readers get one purged range for each stretch, and cursors go on."""
        old = talk.read(limit=2).cursor
        first = talk.trim(Retention.LOG, 3)
        assert not first.receipt.duplicate
        assert first.freed.events == 2
        again = talk.trim(Retention.LOG, 3)
        assert again.receipt.duplicate
        assert again.freed == Weight()
        facts = [record.event.fact for record in talk.read_shard("@instance").records]
        assert facts == [HistoryTrimmed(retention=LOG, through_position=3)]
        page = talk.read()
        assert [record.event.type for record in page.events] == [
            "RUN_START", "ASSET_MATERIALIZATION", "LOG_MESSAGE", "HISTORY_TRIMMED",
        ]  # fmt: skip
        assert [record for record in page.records if isinstance(record, Purged)] == [Purged(1, 1), Purged(3, 3)]
        assert [record.position for record in talk.read(after=str(old)).records] == [3, 4, 5, 6]

    def test_another_trim_is_another_fact(self, talk: EventLog) -> None:
        """P3: by class, position and shard."""
        talk.trim(Retention.LOG, 2)
        for retention in (Retention.LOG, Retention.TICK):
            talk.trim(retention, 2, shard="run-1")
        talk.trim(Retention.LOG, 5)
        assert len(talk.read_shard("@instance").records) == 4
        assert talk.weigh(Retention.LOG) == {}
        assert talk.weigh(shard="run-1").keys() == {Retention.RUN, Retention.KEPT}

    def test_a_trimmed_run_is_deleted(self, talk: EventLog) -> None:
        """P5, P9: as any other."""
        talk.trim(Retention.LOG, 5)
        talk.purge("run-1", Event(RunDeleted(run_id="run-1"), 0))
        page = talk.read()
        assert [record.event.type for record in page.events] == [
            "ASSET_MATERIALIZATION", "HISTORY_TRIMMED", "RUN_DELETED",
        ]  # fmt: skip
        assert well(talk.backend)

    def test_what_cannot_be_trimmed_is_refused(self, talk: EventLog) -> None:
        """P1: and nothing is written."""
        for refused in (Retention.RUN, Retention.KEPT, 7):
            with pytest.raises(UsageError, match="retention="):
                talk.trim(refused, 1)  # type: ignore[arg-type]
        for position in (0, -1, 6, True, 1.5):
            with pytest.raises(UsageError, match="through_position"):
                talk.trim(Retention.LOG, position)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="without shard=") as caught:
            talk.trim(Retention.TICK, 1)
        assert "@ticks" in caught.value.remedy
        assert "apply_retention" in caught.value.remedy
        with pytest.raises(UsageError, match="no shard run-9"):
            talk.trim(Retention.LOG, 1, shard="run-9")
        assert talk.head().position == 5
