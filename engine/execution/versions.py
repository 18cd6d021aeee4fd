"""Data versions: of what a step reads, and of what it makes.

Promises: whoever reads the same versions with the same code version makes the same version; nothing that may have
changed counts as the same. Where nobody has said a version of what is read, its place on the timeline stands for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from ..events.key import AssetKey
from .run_context import ALL_LIMIT, RunContext


class Read(NamedTuple):
    """Which state of an asset a step reads."""

    version: str | None = None  #: None: nothing is known of it
    position: int | None = None  #: of the materialization; None for several, and for one of this run


def version_read(run: RunContext, asset: AssetKey, partitions: Sequence[str] | None) -> Read:
    """What is read of an asset, or of these partitions of it: as this run has made it, or others before."""
    if partitions is not None and len(partitions) != 1:
        return Read(_of_many(run, asset, partitions))
    partition = partitions[0] if partitions else None
    if (own := run.data_versions.get((asset, partition))) is not None:
        return Read(own)
    record = run.latest(asset, partition)
    seen = run.observed(asset) if partition is None else None
    if seen is not None and (record is None or record.position is None or seen.position > record.position):
        return Read(seen.data_version or f"position {seen.position}")
    if record is None:
        return Read()
    return Read(record.event.fact.data_version or f"position {record.position}", record.position)


def _of_many(run: RunContext, asset: AssetKey, partitions: Sequence[str]) -> str | None:
    """One version for several partitions: it is another as soon as one of them has another."""
    versions: dict[str, str] = {}
    for start in range(0, len(partitions), ALL_LIMIT):
        some = partitions[start : start + ALL_LIMIT]
        found = run.instance.get_data_version_by_partition(asset, some, limit=len(some))
        versions |= {key: version for key, version in found.items() if version is not None}
        if unsaid := [key for key, version in found.items() if version is None]:
            places = run.instance.get_latest_storage_id_by_partition(asset, partitions=unsaid, limit=len(unsaid))
            versions |= {key: f"position {position}" for key, position in places.items()}
    versions |= {key: run.data_versions[asset, key] for key in partitions if (asset, key) in run.data_versions}
    return _digest(f"{key}={versions[key]}" for key in sorted(versions)) if versions else None


def version_made(run_id: str, code_version: str | None, inputs: Mapping[str, str]) -> str:
    """The data version of what was made, where user code says none: of the code and of what was read.

    Without a code version nobody knows whether the same inputs give the same; then each run makes another.
    """
    return _digest([code_version or f"run {run_id}", *(f"{key}={inputs[key]}" for key in sorted(inputs))])


def _digest(parts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{len(part)}:{part};".encode())
    return digest.hexdigest()
