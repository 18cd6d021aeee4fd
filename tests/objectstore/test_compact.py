"""Compaction: what is read stays as it was, from fewer objects."""

from __future__ import annotations

from uuid import uuid4

import pytest
from seam import Seam, add_steps, append, catch_up, timeline, words

from foldlog.backends.objectstore import compacting, names
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects


def test_finished_shards_are_put_together_by_one_step() -> None:
    objects = MemoryObjects()
    backend = ObjectBackend(objects)
    for run in range(10):
        for at in range(4):
            append(backend, f"run{run}", f"{run}.{at}")
    catch_up(backend)
    for run in range(10):
        assert backend.seal(f"run{run}")
    before, steps = timeline(backend), len(objects.list(names.ORDER))
    done = backend.compact()
    assert (done.shards, done.superseded, done.written["packs"].objects) == (10, 40, 10)
    assert len(objects.list(names.ORDER)) == steps + 1
    fresh = ObjectBackend(objects, read_only=True)
    assert timeline(backend) == before
    assert fresh.head() == backend.head()
    assert words(fresh, "run3") == ["3.0", "3.1", "3.2", "3.3"]
    assert backend.compact().shards == 0


def test_a_shard_that_goes_on_is_packed_when_its_tail_is_long() -> None:
    backend = ObjectBackend(MemoryObjects())
    key = uuid4()
    first = append(backend, "run", "0", key=key)
    for at in range(1, compacting.FEW - 1):
        append(backend, "run", str(at))
        catch_up(backend)
    assert backend.compact().shards == 0
    append(backend, "run", "last")
    catch_up(backend)
    assert backend.compact().superseded == compacting.FEW
    assert append(backend, "run", "0", key=key) == first._replace(duplicate=True)
    append(backend, "run", "behind", expected=compacting.FEW)
    assert words(backend, "run")[-2:] == ["last", "behind"]


def test_many_small_packs_become_one() -> None:
    objects = MemoryObjects()
    backend = ObjectBackend(objects)
    counts = []
    for at in range(compacting.MANY + 1):
        for part in range(2):
            append(backend, "run", f"{at}.{part}")
        catch_up(backend)
        assert backend.seal("run")
        backend.compact()
        counts.append(sum(names.is_pack(one.name) for one in objects.list(names.RUNS)))
    assert counts == [*range(1, compacting.MANY + 1), 1]
    assert words(ObjectBackend(objects), "run")[:3] == ["0.0", "0.1", "1.0"]
    assert len(words(ObjectBackend(objects), "run")) == 2 * (compacting.MANY + 1)


def test_a_large_shard_is_packed_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "BATCH_BYTES", 300)
    backend = ObjectBackend(MemoryObjects())
    for at in range(20):
        append(backend, "run", f"{at:0100d}")
    catch_up(backend)
    assert backend.seal("run")
    before = timeline(backend)
    done = backend.compact()
    assert done.written["packs"].objects > 4
    assert timeline(backend) == before


def test_blocks_and_a_checkpoint_that_are_missing_are_made() -> None:
    objects = MemoryObjects()
    backend = ObjectBackend(objects)
    add_steps(backend, 200)
    for prefix in (names.BLOCKS, names.CHECKPOINTS):
        objects.delete([one.name for one in objects.list(prefix)])
    done = backend.compact()
    assert done.written["blocks"].objects == 3
    assert done.written["checkpoints"].objects == 1
    steps = [one.name for one in objects.list(names.ORDER)]
    objects.delete(steps[: names.number_of(objects.list(names.CHECKPOINTS)[0].name)])
    assert timeline(ObjectBackend(objects)) == timeline(backend)


def test_of_two_compactions_at_once_one_counts() -> None:
    objects = Seam(MemoryObjects())
    backend, other = ObjectBackend(objects), ObjectBackend(objects.objects)
    for at in range(4):
        append(backend, "run", str(at))
    catch_up(backend)
    assert backend.seal("run")
    objects.on("create", names.RUNS, other.compact, when="after")
    done = backend.compact()
    assert objects.called == 1
    assert done.shards == 0
    packs = [one for one in objects.list(names.RUNS) if names.is_pack(one.name)]
    assert len(packs) == 1, "the one that lost is gone"
    assert words(backend, "run") == ["0", "1", "2", "3"]
