"""Values in the memory of this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from .contexts import InputContext, OutputContext
from .io_manager import IOManager
from .loading import WhyMissing, load_each_or_say
from .value_id import ValueId

LOST = WhyMissing(
    "such values live in the memory of the process that made them, as long as it runs",
    "Use FilesIOManager as the IO manager: what it keeps is there for other processes and for re-execution. "
    "Within one process, first {maker}.",
)


class InMemoryIOManager(IOManager):
    """Keeps values as they are, no copy made: who changes one changes it for all. Thread-safe.

    What it keeps ends with the process, and another object of this class does not have it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[ValueId, Any] = {}

    def handle_output(self, context: OutputContext, value: Any) -> None:
        with self._lock:
            self._values[context.value_id] = value

    def load_input(self, context: InputContext) -> Any:
        """As IOManager says. Raises UsageError for what this object has not been given."""
        return load_each_or_say(context, self._found, lambda _, kept: kept[0], LOST)

    def forget_run(self, run_id: str) -> None:
        """Free what the steps of a run have given; values of assets stay. A run that is not known is no matter."""
        with self._lock:
            for one in [one for one in self._values if one.asset_key is None and one.run_id == run_id]:
                del self._values[one]

    def _found(self, value_ids: Sequence[ValueId]) -> dict[ValueId, tuple[Any]]:
        with self._lock:
            return {one: (self._values[one],) for one in value_ids if one in self._values}

    def __repr__(self) -> str:
        return f"<InMemoryIOManager, {len(self._values)} values>"
