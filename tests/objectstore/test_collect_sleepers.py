"""Whoever sleeps in the middle of something, while what it went by is superseded, compacted and collected: nothing that
was acknowledged is lost, and nothing is there twice. And without what protects it, something is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from seam import DAY_S, Dated, Seam, add_steps, append, catch_up, timeline, words

from foldlog import LogMoved
from foldlog.backends.objectstore import landing, life, markers, names, packing, state
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState, ShardState

MOVED = Gate(GateState.MOVED, "elsewhere")
NEVER_S = 1e12  #: a stall so long that nobody looks again


class World:
    """One who sleeps, and one who is awake; both have the log open."""

    def __init__(self, *, stall_s: float = 30.0) -> None:
        self.objects = Dated()
        self.seam = Seam(self.objects)
        self.sleeper = ObjectBackend(self.seam, stall_s=stall_s)
        self.other = ObjectBackend(self.objects)

    def pass_by(self, *, days: float = 2) -> None:
        self.objects.sleep(days * DAY_S)

    def supersede(self) -> None:
        """Seal, pack and collect the run."""
        catch_up(self.other)
        assert self.other.seal("run")
        self.other.compact()
        self.pass_by()
        assert self.other.collect().garbage["slots"].objects
        self.pass_by()


# -- a writer ----------------------------------------------------------------------------------------------------------


def sleeping_writer(world: World) -> list[str]:
    """It thinks that the run ends at 1, and sleeps before its segment is made."""

    def meanwhile() -> None:
        for word in ("b", "c", "d"):
            append(world.other, "run", word)
        world.supersede()

    append(world.sleeper, "run", "a")
    world.seam.on("create", names.slot("run", 2, 0), meanwhile)
    append(world.sleeper, "run", "late")
    assert world.seam.called == 1
    assert timeline(world.other)[-1] == timeline(world.sleeper)[-1]
    return timeline(ObjectBackend(world.objects))


def test_a_writer_that_slept_goes_behind_what_came_meanwhile() -> None:
    assert sleeping_writer(World()) == ["a", "b", "c", "d", "late"]


def test_control_without_the_look_behind_it_is_lost() -> None:
    assert "late" not in sleeping_writer(World(stall_s=NEVER_S))


def slow_writer(world: World) -> list[str]:
    """Its segment was made in time, placed and packed; it sleeps before it hears of it."""

    def meanwhile() -> None:
        append(world.other, "run", "b")
        world.supersede()

    append(world.sleeper, "run", "a")
    world.seam.on("create", names.slot("run", 2, 0), meanwhile, when="after")
    append(world.sleeper, "run", "once")
    assert world.seam.called == 1
    return timeline(ObjectBackend(world.objects))


def test_what_was_packed_before_its_writer_woke_is_there_once() -> None:
    assert slow_writer(World()) == ["a", "once", "b"]


def test_control_by_its_slot_alone_it_would_be_there_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    # its receipt is what tells the append in the pack for its own
    monkeypatch.setattr(landing, "place_of", lambda line, seq: None)
    assert slow_writer(World()).count("once") > 1


def writer_without_its_marker(world: World) -> list[str]:
    """Its marker is there, its segment not; the marker is taken for one whose segment never comes."""

    def meanwhile() -> None:
        world.pass_by(days=1.1)
        lane = next(one.name for one in world.objects.list(names.WRITERS))
        world.objects.delete([lane])  # as if reaped, which takes longer
        assert world.other.collect().garbage["markers"].objects == 1

    append(world.sleeper, "run", "a")
    catch_up(world.other)
    monkey = world.sleeper._order.parallel
    monkey.run = lambda calls: [call() for call in calls]  # type: ignore[method-assign]  # the marker first
    world.seam.on("create", names.slot("run", 2, 0), meanwhile)
    append(world.sleeper, "run", "b")
    assert world.seam.called == 1
    return timeline(ObjectBackend(world.objects))


def test_a_writer_whose_marker_was_collected_announces_once_more() -> None:
    assert writer_without_its_marker(World()) == ["a", "b"]


def test_control_without_the_look_for_it_nobody_is_told() -> None:
    assert writer_without_its_marker(World(stall_s=NEVER_S)) == ["a"]


def reaped_writer(world: World) -> None:
    """It sleeps before its marker; it is reaped, its guard collected, and the log handed over."""

    def meanwhile() -> None:
        world.pass_by(days=3)
        assert world.other.collect().garbage["writers"].objects == 1
        assert world.other.set_gate(MOVED, expected=OPEN_GATE)
        world.pass_by()
        assert world.other.collect().garbage["guards"].objects == 1

    append(world.sleeper, "run", "a")
    catch_up(world.other)
    world.seam.on("create", names.PENDING, meanwhile)
    try:
        append(world.sleeper, "run", "late")
    finally:
        assert world.seam.called == 1


def test_a_writer_that_was_reaped_while_it_slept_is_refused_behind_the_gate() -> None:
    world = World()
    with pytest.raises(LogMoved):
        reaped_writer(world)
    assert timeline(world.other) == ["a"]


def test_control_without_the_look_for_its_registration_it_is_let_in() -> None:
    reaped_writer(World(stall_s=NEVER_S))


def test_a_lane_that_grew_old_between_two_requests_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    append(world.sleeper, "run", "a")
    take = world.sleeper._writers.take

    def slept() -> markers.Lane:
        lane = take()
        monkeypatch.setattr(world.sleeper._writers, "take", take)
        world.pass_by(days=3)
        world.other.collect()
        assert world.other.set_gate(MOVED, expected=OPEN_GATE)
        world.pass_by()
        world.other.collect()
        return lane

    monkeypatch.setattr(world.sleeper._writers, "take", slept)
    with pytest.raises(LogMoved):
        append(world.sleeper, "run", "late")
    assert timeline(world.other) == ["a"]


# -- who fences --------------------------------------------------------------------------------------------------------


def sleeping_fencer(world: World) -> None:
    def meanwhile() -> None:
        for word in ("b", "c", "d"):
            append(world.other, "run", word)
        world.supersede()

    append(world.other, "run", "a")
    catch_up(world.other)
    world.seam.on("create", names.slot("run", 2, 0), meanwhile)
    world.sleeper.fence("run")
    assert world.seam.called == 1
    found = world.other.find_shard("run")
    assert found is not None
    assert found.state is ShardState.FENCED
    append(world.other, "run", "behind the fence")


def test_a_fence_that_came_late_is_put_up_behind_the_end() -> None:
    from foldlog import ShardPurged

    with pytest.raises(ShardPurged):
        sleeping_fencer(World())


def test_control_without_the_look_it_fences_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from foldlog import ShardPurged

    monkeypatch.setattr(life.Life, "_is_end", lambda self, tail: True)
    world = World()
    with pytest.raises(ShardPurged):  # the order says so; the slot behind the end is free
        sleeping_fencer(world)
    assert world.objects.get(names.slot("run", 5, 0)) is None


# -- who reads the order, and adds to it -------------------------------------------------------------------------------


def steps_go(world: World) -> Callable[[], None]:
    def meanwhile() -> None:
        add_steps(world.other, 200)
        world.pass_by()
        assert world.other.collect().garbage["steps"].objects
        world.pass_by()

    return meanwhile


def sleeping_reader(world: World) -> bool:
    add_steps(world.other, 3)
    world.sleeper.head()
    world.seam.on("get", names.ORDER, steps_go(world))
    found = world.sleeper.head()
    assert world.seam.called == 1
    return found == world.other.head()


def test_a_reader_that_slept_before_a_step_it_asks_for_finds_the_end() -> None:
    assert sleeping_reader(World())


def test_control_without_the_look_for_checkpoints_it_stays_behind() -> None:
    assert not sleeping_reader(World(stall_s=NEVER_S))


def test_a_reader_that_opens_while_steps_go_finds_the_end() -> None:
    """A burst of steps and a collection come between its look for checkpoints and the steps behind it."""
    world = World()
    add_steps(world.other, 3)
    world.pass_by()
    seam = Seam(world.objects)

    def burst() -> None:
        add_steps(world.other, 200)
        assert world.other.collect().garbage["steps"].objects == 3

    seam.on("get", names.order(3), burst)
    world.pass_by()
    reader = ObjectBackend(seam, read_only=True)
    assert seam.called == 1
    assert reader.head() == world.other.head()


def test_a_reader_of_a_block_that_is_written_while_it_looks() -> None:
    world = World()
    add_steps(world.other, 200)
    block = world.objects.get(names.block(0))
    assert block is not None
    world.objects.delete([names.block(0)])
    seam = Seam(world.objects)

    def meanwhile() -> None:
        world.objects.put(names.block(0), block)
        world.pass_by()
        assert world.other.collect().garbage["steps"].objects

    seam.on("get", names.order(5), meanwhile)
    assert len(timeline(ObjectBackend(seam))) == 200


def sleeping_sequencer(world: World, when: str) -> list[str]:
    add_steps(world.other, 3)
    append(world.other, "run", "a")
    world.sleeper.head()
    world.seam.on("create", names.ORDER, steps_go(world), when=when)  # type: ignore[arg-type]
    catch_up(world.sleeper)
    assert world.seam.called == 1
    assert world.sleeper.head() == world.other.head()
    assert timeline(world.sleeper) == timeline(world.other)
    return timeline(ObjectBackend(world.objects))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sequencer_that_slept_around_its_step_takes_in_what_came(when: str) -> None:
    world = World()
    assert sleeping_sequencer(world, when).count("a") == 1
    assert world.other.diagnose(full=True) == []
    world.pass_by()
    world.other.collect()
    assert [names.number_of(one.name) for one in world.objects.list(names.ORDER)][:2] in ([0, 128], [0, 192])


def test_control_without_the_look_its_step_is_one_that_nobody_knows() -> None:
    with pytest.raises(AssertionError):
        sleeping_sequencer(World(stall_s=NEVER_S), "before")


# -- who compacts ------------------------------------------------------------------------------------------------------


def sleeping_compactor(world: World, *, number: str = "create order") -> list[str]:
    """Its packs are written; they are taken for left over before its step."""

    def meanwhile() -> None:
        world.pass_by()
        assert world.other.collect().garbage["packs"].objects == 1
        world.pass_by()

    for word in ("a", "b", "c"):
        append(world.other, "run", word)
    catch_up(world.other)
    assert world.other.seal("run")
    world.seam.on("create", names.ORDER, meanwhile)
    world.sleeper.compact()
    assert world.seam.called == 1
    world.pass_by()
    world.other.collect()
    return words(ObjectBackend(world.objects), "run")


def test_a_compactor_that_slept_before_its_step_begins_anew() -> None:
    assert sleeping_compactor(World()) == ["a", "b", "c"]


def test_control_without_the_sweep_the_pack_that_counts_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from foldlog import CorruptLogError

    monkeypatch.setitem(state._APPLY, "swept", lambda state, operation, k: None)
    monkeypatch.setattr(packing.Packer, "sweeps", lambda self: 0)
    with pytest.raises(CorruptLogError, match="it is gone"):
        sleeping_compactor(World())


def test_a_trim_that_slept_before_its_step_begins_anew() -> None:
    from seam import facts

    from foldlog.engine.events.event import Retention
    from foldlog.engine.log.port import ANY, Append

    world = World()
    for at in range(3):
        world.other.append(Append("run", facts(f"{at}", retention=Retention.LOG), bytes(16), ANY, None))
    catch_up(world.other)

    def meanwhile() -> None:
        world.pass_by()
        assert world.other.collect().garbage["packs"].objects == 1
        world.pass_by()

    world.seam.on("create", names.ORDER, meanwhile)
    assert world.sleeper.trim(int(Retention.LOG), through=2, shard=None).events == 2
    assert world.seam.called == 1
    assert timeline(ObjectBackend(world.objects)) == ["-", "-", "2"]


def test_a_collector_that_slept_before_it_deletes_harms_nothing() -> None:
    world = World()
    for word in ("a", "b", "c"):
        append(world.other, "run", word)
    catch_up(world.other)
    assert world.other.seal("run")
    world.other.compact()
    add_steps(world.other, 200)
    world.pass_by()

    def meanwhile() -> None:
        world.other.collect()
        append(world.other, "run", "d")
        catch_up(world.other)
        world.pass_by()
        world.other.collect()
        append(world.other, "run", "e")

    world.seam.on("delete", names.RUNS, meanwhile)
    world.sleeper.collect()
    assert world.seam.called == 1
    fresh = ObjectBackend(world.objects)
    assert words(fresh, "run") == ["a", "b", "c", "d", "e"]
    assert len(timeline(fresh)) == 205
    assert fresh.diagnose(full=True) == []
