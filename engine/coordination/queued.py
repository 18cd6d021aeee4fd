"""The queue: runs wait until there is room. The daemon takes them out of it, by the rules of this class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..config.checking import Context, check_section
from ..config.fields import Field, either, flag, integer, list_of, number, one_of, section, text
from ..config.place import Place
from ..errors import UsageError
from ..events.event import Fact
from ..events.run import RunEnqueued, RunStatus
from .coordinator import RunCoordinator, warn_of_second
from .transition import existing, transition

if TYPE_CHECKING:
    from ..views.records import Run

UNLIMITED = -1
POOL_LIMIT_MAX = 1000

TAG_LIMIT = section(
    {
        "key": text(required=True),
        "value": either(text(), section({"applyLimitPerUniqueValue": flag(required=True)})),
        "limit": integer(required=True, minimum=0),
    }
)
BLOCK = section({"enabled": flag(default=True), "op_concurrency_slot_buffer": integer(minimum=0)})
POOLS = section(
    {
        "default_limit": integer(minimum=0, maximum=POOL_LIMIT_MAX),
        "granularity": one_of("run", "op", default="op"),
        "op_granularity_run_buffer": integer(minimum=0),
    }
)
SCHEMA: Mapping[str, Field] = {
    "max_concurrent_runs": integer(default=10, minimum=UNLIMITED),
    "tag_concurrency_limits": list_of(TAG_LIMIT, default=[]),
    "dequeue_interval_seconds": number(default=5, minimum=0.1, maximum=3600),
    "dequeue_use_threads": flag(default=False),
    "dequeue_num_workers": integer(minimum=1, maximum=1000),
    "max_user_code_failure_retries": integer(default=0, minimum=0),
    "user_code_failure_retry_delay": number(default=60, minimum=0),
    "block_op_concurrency_limited_runs": BLOCK,
    "concurrency": section({"pools": POOLS}),
}


class QueuedRunCoordinator(RunCoordinator):
    """Puts runs into the queue. Its arguments are the keys that docs/config.md lists; all may be left out.

    `settings`: every key, defaults filled in. Raises UsageError for a key or a value that is wrong.
    """

    def __init__(self, **settings: Any) -> None:
        checked = check_section(SCHEMA, settings, Place(), Context())
        _check_together(checked)
        self.settings = _completed(checked)

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return SCHEMA

    @property
    def max_concurrent_runs(self) -> int | None:
        """Runs in progress at once: None has no limit, 0 launches nothing."""
        limit: int = self.settings["max_concurrent_runs"]
        return None if limit == UNLIMITED else limit

    def submit_run(self, run_id: str) -> Run:
        """RUN_ENQUEUED, if the run is NOT_STARTED; as `RunCoordinator.submit_run`."""

        def enqueue(run: Run) -> Sequence[Fact]:
            return [RunEnqueued()] if run.status is RunStatus.NOT_STARTED else []

        recorded = transition(self.instance, run_id, enqueue)
        run = existing(self.instance, run_id)
        if not recorded:
            warn_of_second(run)
        return run

    def __repr__(self) -> str:
        return f"<QueuedRunCoordinator {self.settings}>"


def _check_together(settings: Mapping[str, Any]) -> None:
    """Raise UsageError for keys that are right each by itself, and not together."""
    block, concurrency = settings.get("block_op_concurrency_limited_runs"), settings.get("concurrency")
    if block is not None and concurrency is not None:
        raise UsageError("block_op_concurrency_limited_runs and concurrency exclude each other; keep concurrency.pools")
    if block is not None and not block["enabled"] and block["op_concurrency_slot_buffer"] is not None:
        raise UsageError("block_op_concurrency_limited_runs: op_concurrency_slot_buffer needs enabled: true")
    if settings.get("dequeue_num_workers") is not None and not settings.get("dequeue_use_threads"):
        raise UsageError("dequeue_num_workers needs dequeue_use_threads: true")
    pools = (concurrency or {}).get("pools")
    if pools and pools["granularity"] == "run" and pools["op_granularity_run_buffer"] is not None:
        raise UsageError("concurrency.pools: op_granularity_run_buffer needs granularity: op")
    seen: set[str] = set()
    for index, limit in enumerate(settings.get("tag_concurrency_limits") or []):
        if (name := f"{limit['key']}={limit['value']}") in seen:
            raise UsageError(f"tag_concurrency_limits[{index}]: {name} has a limit already")
        seen.add(name)
        if isinstance(limit["value"], Mapping) and not limit["value"]["applyLimitPerUniqueValue"]:
            raise UsageError(f"tag_concurrency_limits[{index}].value: applyLimitPerUniqueValue can only be true")


def _completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Both forms of the rules of pools, told in the newer one."""
    block = settings.get("block_op_concurrency_limited_runs")
    pools = (settings.get("concurrency") or {}).get("pools") or {}
    buffer = pools.get("op_granularity_run_buffer")
    if block is not None:
        buffer = block["op_concurrency_slot_buffer"]
    return {
        **settings,
        "block_op_concurrency_limited_runs": {
            "enabled": block is None or block["enabled"],
            "op_concurrency_slot_buffer": buffer or 0,
        },
        "concurrency": {
            "pools": {
                "default_limit": pools.get("default_limit"),
                "granularity": pools.get("granularity", "op"),
                "op_granularity_run_buffer": buffer or 0,
            }
        },
    }
