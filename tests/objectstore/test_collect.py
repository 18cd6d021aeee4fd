"""Collection: garbage goes, once it is old; nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from seam import DAY_S, Dated, Seam, add_steps, append, catch_up, facts, timeline, words

from foldlog import UsageError
from foldlog.backends.objectstore import garbage, names, reaping
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.engine.events.event import Retention
from foldlog.engine.log.port import ANY, Append, ShardState


@pytest.fixture
def objects() -> Dated:
    return Dated()


@pytest.fixture
def backend(objects: Dated) -> Iterator[ObjectBackend]:
    backend = ObjectBackend(objects)
    yield backend
    backend.close()


def listed(objects: Dated, prefix: str = names.RUNS) -> list[str]:
    return [one.name for one in objects.list(prefix)]


def finished(backend: ObjectBackend, shard: str, *words: str) -> None:
    for word in words:
        append(backend, shard, word)
    catch_up(backend)
    assert backend.seal(shard)


def test_superseded_segments_go_after_a_day(objects: Dated, backend: ObjectBackend) -> None:
    finished(backend, "run", "a", "b", "c")
    backend.compact()
    assert backend.collect().garbage == {}
    objects.sleep(DAY_S + 1)
    told = backend.collect(dry_run=True)
    assert told.dry_run
    assert told.garbage["slots"].objects == 2
    assert len(listed(objects)) == 4, "a dry run deletes nothing"
    assert backend.collect().garbage == told.garbage
    assert [names.seq_of_slot(name) for name in listed(objects)] == [None, 1], "the pack, and the first slot"
    assert words(ObjectBackend(objects), "run") == ["a", "b", "c"]
    assert backend.collect().garbage == {}


def test_the_step_that_supersedes_must_be_old_too(objects: Dated, backend: ObjectBackend) -> None:
    finished(backend, "run", "a", "b", "c")
    objects.sleep(5 * DAY_S)
    backend.compact()
    assert "slots" not in backend.collect().garbage
    objects.sleep(DAY_S + 1)
    assert backend.collect().garbage["slots"].objects == 2


def test_the_content_of_a_large_first_slot_goes(objects: Dated, backend: ObjectBackend) -> None:
    import secrets

    large = secrets.token_hex(garbage.WORTH_A_STUB)
    finished(backend, "run", large, "b")
    backend.compact()
    objects.sleep(DAY_S + 1)
    reader = ObjectBackend(objects)
    assert words(reader, "run") == [large, "b"]
    assert backend.collect().garbage["contents"].bytes > garbage.WORTH_A_STUB
    assert words(reader, "run") == [large, "b"]
    assert "contents" not in backend.collect().garbage
    assert append(ObjectBackend(objects), "run", "c").first_seq == 3


def test_of_a_deleted_run_the_first_slot_and_the_fence_stay(objects: Dated, backend: ObjectBackend) -> None:
    finished(backend, "run", "a", "b", "c")
    backend.fence("run")
    catch_up(backend)
    backend.purge("run", keep=False)
    objects.sleep(DAY_S + 1)
    backend.collect()
    assert [names.seq_of_slot(name) for name in listed(objects)] == [1, 4]
    objects.sleep(DAY_S + 1)
    assert "slots" not in backend.collect().garbage


def test_a_purge_that_was_killed_before_it_freed_is_completed(objects: Dated) -> None:
    seam = Seam(objects)
    killed = ObjectBackend(seam)
    finished(killed, "run", "a" * 5000, "b", "c")
    killed.fence("run")

    def die() -> None:
        raise KeyboardInterrupt

    seam.on("list", names.folder("run"), die)
    with pytest.raises(KeyboardInterrupt):
        killed.purge("run", keep=False)
    backend = ObjectBackend(objects)
    found = backend.find_shard("run")
    assert found is not None
    assert found.state is ShardState.PURGED
    objects.sleep(DAY_S + 1)
    assert backend.collect().garbage["contents"].objects == 3
    objects.sleep(DAY_S + 1)
    backend.collect()
    assert [names.seq_of_slot(name) for name in listed(objects)] == [1, 4]


def test_stubs_of_a_trim_go(objects: Dated, backend: ObjectBackend) -> None:
    for at in range(3):
        backend.append(Append("run", facts(f"{at}", retention=Retention.LOG), bytes(16), ANY, None))
    catch_up(backend)
    backend.trim(int(Retention.LOG), through=2, shard=None)
    objects.sleep(DAY_S + 1)
    assert backend.collect().garbage["slots"].objects == 1
    assert timeline(ObjectBackend(objects)) == ["-", "-", "2"]


def test_packs_that_no_step_names_go_behind_a_step_that_says_so(objects: Dated, backend: ObjectBackend) -> None:
    finished(backend, "run", "a", "b")
    objects.put(names.pack("run", 1, 2, "ab"), b"left by a kill")
    objects.put(names.pack("unknown", 1, 2, "ab"), b"left by a kill")
    assert "packs" not in backend.collect().garbage
    objects.sleep(DAY_S + 1)
    steps = len(listed(objects, names.ORDER))
    assert backend.collect().garbage["packs"].objects == 2
    assert not any(map(names.is_pack, listed(objects)))
    assert len(listed(objects, names.ORDER)) == steps + 1
    assert words(backend, "run") == ["a", "b"]


def test_steps_that_blocks_hold_go_below_the_checkpoint_before_the_last(objects: Dated, backend: ObjectBackend) -> None:
    add_steps(backend, 300)
    before = timeline(backend)
    assert "steps" not in backend.collect().garbage
    objects.sleep(DAY_S + 1)
    done = backend.collect()
    assert done.garbage["steps"].objects == 3 * 64 - 1
    left = [names.number_of(name) for name in listed(objects, names.ORDER)]
    assert left[:2] == [0, 192], "the first step says that here is a log"
    fresh = ObjectBackend(objects)
    assert timeline(fresh) == before
    assert fresh.diagnose(full=True) == []
    newest = listed(objects, names.CHECKPOINTS)[-1]
    objects.put(newest, b"damaged")
    assert timeline(ObjectBackend(objects)) == before


def test_no_step_goes_whose_block_is_not_as_it_was(objects: Dated, backend: ObjectBackend) -> None:
    from foldlog import CorruptLogError
    from foldlog.backends.objectstore import step

    add_steps(backend, 300)
    objects.sleep(DAY_S + 1)
    whole = step.decode_block(objects.get(names.block(1)) or b"", "")
    objects.put(names.block(1), step.encode_block([*whole[:-1], whole[0]]))
    steps = listed(objects, names.ORDER)
    with pytest.raises(CorruptLogError, match=names.block(1)):
        backend.collect()
    assert listed(objects, names.ORDER) == steps
    objects.delete([names.block(1)])
    assert backend.collect().garbage["steps"].objects == 2 * 64 - 1, "nor of a block that is missing"


def test_a_writer_that_is_gone_is_reaped(objects: Dated, backend: ObjectBackend) -> None:
    killed = ObjectBackend(objects)
    append(killed, "run", "a")
    catch_up(backend)
    objects.sleep(DAY_S + 1)
    assert "writers" not in backend.collect().garbage
    objects.sleep(reaping.REAP_S)
    assert backend.collect().garbage["writers"].objects == 1
    assert listed(objects, names.WRITERS) == []
    [guard] = listed(objects, names.PENDING)
    assert names.of_marker(guard) == (guard.split("/")[1], 2)
    assert "guards" not in backend.collect().garbage
    objects.sleep(DAY_S + 1)
    assert backend.collect().garbage["guards"].objects == 1
    assert listed(objects, names.PENDING) == []
    assert append(killed, "run", "b").first_seq == 2, "it registers anew"
    assert timeline(backend) == ["a", "b"]


def test_a_guard_stays_for_a_day_after_the_reaping_however_old_it_is(objects: Dated, backend: ObjectBackend) -> None:
    killed = ObjectBackend(objects)
    append(killed, "run", "a")
    catch_up(backend)
    [writer] = [name.removeprefix(names.WRITERS) for name in listed(objects, names.WRITERS)]
    backend._gate.guard([writer])
    objects.sleep(reaping.REAP_S + 1)
    backend.collect()
    assert len(listed(objects, names.PENDING)) == 1
    assert "guards" not in backend.collect().garbage


def test_the_order_forgets_writers_that_closed(objects: Dated, backend: ObjectBackend) -> None:
    for at in range(3):
        other = ObjectBackend(objects)
        append(other, "run", str(at))
        catch_up(other)
        other.close()
    append(backend, "run", "mine")
    catch_up(backend)
    assert len(backend._order.state.writers) == 4
    backend.collect()
    assert len(backend._order.state.writers) == 1
    append(backend, "run", "more")
    assert timeline(backend)[-1] == "more"


def test_a_marker_whose_segment_never_came_goes(objects: Dated) -> None:
    seam = Seam(objects)
    backend = ObjectBackend(seam)
    append(backend, "run", "a")
    catch_up(backend)

    def die() -> None:
        raise OSError("killed")

    seam.on("create", names.RUNS, die)
    with pytest.raises(OSError, match="killed"):
        append(backend, "run", "b")
    other = ObjectBackend(objects)
    objects.sleep(DAY_S + 1)
    assert "markers" not in other.collect().garbage, "its number is not known, and a guard would go below it"
    objects.sleep(reaping.REAP_S + 1)
    other.collect()
    assert other.collect().garbage["markers"].objects == 1
    assert timeline(other) == ["a"]


def test_a_segment_that_nobody_announced_stays(objects: Dated, backend: ObjectBackend) -> None:
    append(backend, "run", "a")
    append(backend, "run", "b")
    objects.delete(listed(objects, names.PENDING)[1:])
    catch_up(backend)
    objects.sleep(9 * DAY_S)
    found = backend.collect()
    assert found.unannounced == [names.slot("run", 2, 0)]
    assert found.garbage.keys() <= {"writers"}
    assert append(ObjectBackend(objects), "run", "c").first_seq == 3
    assert timeline(backend) == ["a", "b", "c"]


def test_probes_and_old_checkpoints_go_and_what_is_kept_stays(objects: Dated, backend: ObjectBackend) -> None:
    add_steps(backend, 64)
    for k in range(1, 6):
        objects.put(names.checkpoint(k), b"old")
    objects.put("probe/left", b"x")
    backend.keep("views/1", b"snapshot")
    assert "probes" not in backend.collect().garbage
    objects.sleep(30 * DAY_S)
    found = backend.collect().garbage
    assert (found["probes"].objects, found["checkpoints"].objects) == (1, 2)
    assert backend.fetch("views/1") == b"snapshot"


def test_a_grace_that_nobody_could_rely_on_is_refused(backend: ObjectBackend) -> None:
    with pytest.raises(UsageError, match="too short") as caught:
        backend.collect(grace_s=60.0)
    assert "3600" in caught.value.remedy


def test_who_may_only_read_may_look(objects: Dated, backend: ObjectBackend) -> None:
    finished(backend, "run", "a", "b", "c")
    backend.compact()
    objects.sleep(DAY_S + 1)
    append(backend, "other", "x")
    before = objects.list("")
    assert ObjectBackend(objects, read_only=True).collect(dry_run=True).garbage["slots"].objects == 2
    assert objects.list("") == before
