"""Snapshots of jobs and plans, kept once per content; and the small values that programs keep under names."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from ..errors import AppendKeyConflict, CorruptLogError, UsageError
from ..events.event import Fact
from ..log.names import INSTANCE_SHARD
from ..log.port import Receipt
from .base import Facade, check_limit, check_name, texts

if TYPE_CHECKING:
    from ..views.orchestration_records import Snapshot

LONG = 256 * 1024  #: characters of a document that is not sent before it is known that it is not there


class Snapshots(Facade):
    """What jobs and plans looked like when runs were made of them."""

    def add_job_snapshot(self, job_name: str, document: Mapping[str, Any]) -> str:
        """Keep the structure of a job. Its id, which is derived from name and document; kept once, however often told.

        `document`: plain values (None, bool, int, float, text, lists, dicts with text keys), 16 MiB at most.
        Raises UsageError for what is none.
        """
        from ..events.snapshot import JobSnapshot

        check_name("job_name", job_name)
        text = _text_of("job", job_name, document)
        fact = JobSnapshot(snapshot_id=_id_of(text), job_name=job_name, document=dict(document))
        return self._keep("JOB", fact.snapshot_id, fact, len(text))

    def add_plan_snapshot(self, document: Mapping[str, Any], *, job_snapshot_id: str | None = None) -> str:
        """Keep the steps of a plan, and what they wait for; as `add_job_snapshot`."""
        from ..events.snapshot import PlanSnapshot

        text = _text_of("plan", job_snapshot_id, document)
        fact = PlanSnapshot(snapshot_id=_id_of(text), job_snapshot_id=job_snapshot_id, document=dict(document))
        return self._keep("PLAN", fact.snapshot_id, fact, len(text))

    def get_job_snapshot(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot with its document, or None."""
        return self._snapshot("JOB", snapshot_id)

    def get_plan_snapshot(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot with its document, or None."""
        return self._snapshot("PLAN", snapshot_id)

    def has_job_snapshot(self, snapshot_id: str) -> bool:
        """Whether there is such a snapshot of a job."""
        return self._place("JOB", snapshot_id) is not None

    def has_plan_snapshot(self, snapshot_id: str) -> bool:
        """Whether there is such a snapshot of a plan."""
        return self._place("PLAN", snapshot_id) is not None

    def _keep(self, kind: str, snapshot_id: str, fact: Fact, size: int) -> str:
        """Record it, unless it is there. The key of the append is made of the id, and the id of the content.

        A short one is just sent: a process that executes runs then has no need of the views, which take longer to open
        than it takes to find the key. A long one is not sent again to be found to be there.
        """
        if size > LONG and self._place(kind, snapshot_id) is not None:
            return snapshot_id
        with suppress(AppendKeyConflict):  # it is there, with its keys in another order or as another release writes it
            self._tell(INSTANCE_SHARD, fact, key=uuid5(NAMESPACE_OID, f"foldlog snapshot {kind} {snapshot_id}"))
        return snapshot_id

    def _place(self, kind: str, snapshot_id: str) -> Any:
        from ..views import snapshots

        with self.views.asking("snapshots") as (connection, tables):
            return snapshots.place(connection, tables[snapshots.SNAPSHOTS], kind, snapshot_id)

    def _snapshot(self, kind: str, snapshot_id: str) -> Snapshot | None:
        from ..views.orchestration_records import Snapshot

        at = self._place(kind, snapshot_id)
        if at is None:
            return None
        records = self.log.read_shard(at.shard, after_seq=at.seq - 1, limit=1).records
        if not records or records[0].seq != at.seq:
            raise CorruptLogError(f"snapshot {snapshot_id} is not at {at.shard}, seq {at.seq}, where it was recorded")
        fact = records[0].event.fact
        return Snapshot(
            snapshot_id=fact.snapshot_id,
            job_name=getattr(fact, "job_name", None),
            job_snapshot_id=getattr(fact, "job_snapshot_id", None),
            document=fact.document,
            position=at.position,
            timestamp_us=at.timestamp_us,
        )


class Values(Facade):
    """Small texts that outlive the programs that keep them, such as how far one has read."""

    def set_values(self, values: Mapping[str, str | None]) -> Receipt:
        """Set all of these, or none; None takes a name away. Raises UsageError if there is nothing to set."""
        from ..events.instance import ValuesSet

        if not values:
            raise UsageError("set_values: there is nothing to set")
        if not isinstance(values, Mapping):
            raise UsageError(f"set_values: {values!r:.80} is no mapping of names to texts")
        return self._tell(INSTANCE_SHARD, ValuesSet(values=dict(values)))

    def get_values(self, names: Collection[str]) -> dict[str, str]:
        """The values of these names, at most 10,000; those that have none are left out."""
        from ..views import values

        wanted = texts("names", names)
        if not wanted:
            return {}
        check_limit(len(wanted))
        with self.views.asking("values") as (connection, tables):
            return values.of_names(connection, tables[values.VALUES], wanted)


def _text_of(kind: str, of: str | None, document: Mapping[str, Any]) -> str:
    """The same for the same content, in every process and release; equal numbers of other types are other content."""
    try:
        return json.dumps([kind, of, document], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the snapshot of a {kind} holds what is no plain value: {error}") from error


def _id_of(text: str) -> str:
    return blake2b(text.encode(), digest_size=20).hexdigest()
