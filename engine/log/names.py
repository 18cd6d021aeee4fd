"""What may name a shard. Names become file names and keys on every backend, so what could leave a folder, or be taken
for another name by a careless collation, is refused here, once."""

from __future__ import annotations

from ..errors import UsageError
from .port import LIMITS

_SEEN: set[str] = set()  #: names found good, so that an append pays one set look-up
_SEEN_LIMIT = 10_000

SYSTEM = "@"
INSTANCE_SHARD = "@instance"  #: of facts that concern the deployment as a whole: backfills, snapshots, deletions


def is_system_shard(name: str) -> bool:
    """Whether a shard holds facts of no run: `@queue`, `@partitions/<name>`."""
    return name.startswith(SYSTEM)


def check_shard_name(name: str) -> None:
    """Refuse a name no backend can keep: raises UsageError with the reason."""
    if name in _SEEN:
        return
    if reason := _fault(name):
        raise UsageError(f"shard name {name!r:.80} {reason}")
    if len(_SEEN) >= _SEEN_LIMIT:
        _SEEN.clear()
    _SEEN.add(name)


def check_run_id(run_id: str) -> str:
    """The id of a new run. Raises UsageError for what names no shard, or one of the system."""
    try:
        check_shard_name(run_id)
        if not is_system_shard(run_id):
            return run_id
        reason = f"run id {run_id!r:.80} begins with {SYSTEM}, as shards do that are no run's"
    except UsageError as trouble:
        reason = str(trouble).replace("shard name", "run id", 1)
    error = UsageError(reason)
    error.remedy = "Give another, or none for a new one."
    raise error


def _fault(name: str) -> str | None:
    if not isinstance(name, str):
        return "is not text"
    if not name:
        return "is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "holds a lone surrogate, which no encoding can store"
    if size > LIMITS.shard_name:
        return f"is {size} bytes long; {LIMITS.shard_name} are allowed"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "holds a control character"
    if name in (".", "..") or name.startswith(("./", "../", "/")) or name.endswith(("/..", "/.")) or "/../" in name:
        return "tries to leave its folder"
    if not is_system_shard(name) and ("/" in name or "\\" in name):
        return "holds a slash; a run id is one name, not a path"
    if name != name.strip():
        return "begins or ends with a blank"
    return None
