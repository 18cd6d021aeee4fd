"""What a copy of entries alone leaves out: the ends of shards, and bodies that were freed after they were copied.

Every step is idempotent. Not here: what the source may still do meanwhile; the caller asks again once it is fenced.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...engine.errors import CorruptLogError
from ...engine.events.tombstone import HistoryTrimmed
from ...engine.log.names import INSTANCE_SHARD
from ...engine.log.port import TRIMMABLE, Shard, ShardState
from .place import MovingBackend, Place

PAGE = 1000
OVER = (ShardState.FENCED, ShardState.PURGED)

Trim = tuple[int, str | None, int]  #: retention class, shard, up to which position


def shards_of(backend: MovingBackend) -> Iterator[Shard]:
    """All shards of a log, by name."""
    after = ""
    while page := backend.shards(after=after, limit=PAGE):
        yield from page
        after = page[-1].name


def mirror_shards(source: Place, target: Place, *, fenced: bool) -> None:
    """Let shards be at the target what they are at the source: sealed, fenced or purged, if they are all there.

    `fenced`: nothing is appended to the source any more, so what is being purged there has all its positions.
    """
    for shard in shards_of(source.backend):
        if shard.state is ShardState.OPEN:
            continue
        here = target.backend.find_shard(shard.name)
        if here is None or here.ordered_seq != shard.ordered_seq:
            continue
        if shard.state is ShardState.SEALED and here.state is ShardState.OPEN:
            target.backend.seal(shard.name)
        elif shard.state is ShardState.FENCED and here.state not in OVER:
            if fenced or _is_whole(source, shard):
                target.backend.fence(shard.name)
        elif shard.state is ShardState.PURGED:
            _mirror_purge(source.backend, target.backend, shard.name, here.state, fenced)


def _is_whole(source: Place, shard: Shard) -> bool:
    """Whether all events of a fenced shard have positions."""
    source.log.catch_up()
    now = source.backend.find_shard(shard.name)
    return now is not None and now.ordered_seq == shard.ordered_seq


def _mirror_purge(source: MovingBackend, target: MovingBackend, name: str, state: ShardState, fenced: bool) -> None:
    if state is ShardState.PURGED and fenced:
        return  # whatever a second purge has freed was seen before the fence
    if state is not ShardState.PURGED:
        target.fence(name)
        target.purge(name, keep=holds(source, name))
    elif holds(target, name) and not holds(source, name):
        target.purge(name, keep=False)


def holds(backend: MovingBackend, name: str) -> bool:
    """Whether anything of a shard can be read."""
    return bool(backend.read_shard(name, after_seq=0, limit=1, types=None, newest_first=False))


def mirror_trims(target: Place, *others: Place) -> None:
    """Free what facts on the timeline say was freed; at `others`, the source, too, where a trim was cut short."""
    for retention, shard, through in _trims(target):
        for place in (target, *others):
            place.backend.trim(retention, through=through, shard=shard)


def _trims(place: Place) -> list[Trim]:
    """Each trim that was recorded, the farthest of its kind."""
    farthest: dict[tuple[int, str | None], int] = {}
    before: int | None = None
    types = frozenset([HistoryTrimmed.KIND.name])
    while page := place.backend.read_back(before=before, limit=PAGE, types=types):
        for stored in page:
            if stored.record is None or stored.position is None:
                raise CorruptLogError(f"{place.url}: a record of a trim was found without its body or position")
            before = stored.position
            if stored.shard != INSTANCE_SHARD:
                continue  # nobody obeys one that may go with its run
            fact = place.log.decode(stored.record).fact
            if isinstance(fact, HistoryTrimmed) and fact.retention in TRIMMABLE:
                kind = (fact.retention, fact.shard)
                farthest[kind] = max(farthest.get(kind, 0), min(fact.through_position, stored.position))
    return [(retention, shard, through) for (retention, shard), through in farthest.items()]
