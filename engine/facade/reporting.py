"""What programs report: runs, events of assets outside of runs, deletions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from ..errors import UsageError
from ..events.asset import AssetWiped
from ..events.event import Event, Fact, Topic
from ..events.key import AssetKey, AssetLike
from ..log.names import check_run_id, is_system_shard
from ..log.port import Receipt
from .base import check_name, keys_of, tags_of, texts
from .runs import RunQuestions

if TYPE_CHECKING:
    from ..reporting import RunReporter

ASSET_SHARDS = 16  #: shards that asset events of no run are spread over


class Reporting(RunQuestions):
    """The half of an instance that writes; a run it reports may need to know its parent."""

    def run(
        self,
        job_name: str,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        run_config: Mapping[str, Any] | None = None,
        parent_run_id: str | None = None,
        root_run_id: str | None = None,
        plan: Iterable[AssetLike] | None = None,
        code_location: str | None = None,
    ) -> RunReporter:
        """A run to report, as a context manager: created and started on entry, ended on exit.

        `run_id`: a name of the caller's, else a new one. `plan`: the assets the run means to make.
        `root_run_id`: by default that of the parent, or the parent itself.

        Entering raises ConflictError if there is a run of that id, ShardPurged if it was deleted.
        """
        from ..events.run import RunCreated  # who only asks does not load what only reporting needs
        from ..reporting import RunReporter

        check_name("job_name", job_name)
        if parent_run_id is not None and root_run_id is None:
            parent = self.get_run_by_id(parent_run_id)
            root_run_id = (parent.root_run_id if parent else None) or parent_run_id
        created = RunCreated(
            job_name=job_name,
            tags=tags_of(tags),
            run_config=dict(run_config or {}),
            parent_run_id=parent_run_id,
            root_run_id=root_run_id,
            asset_selection=None if plan is None else tuple(keys_of("plan", plan)),
            code_location=code_location,
        )
        return RunReporter(self.log, self.writer, created, str(uuid4()) if run_id is None else check_run_id(run_id))

    def report_runless_asset_event(self, fact: Fact, *, key: UUID | None = None) -> Receipt:
        """Record what happened to an asset outside of any run: a materialization, an observation, a wipe.

        `key`: fresh per decision, the same on its every retry. Raises UsageError for a fact of no asset.
        """
        asset_key = getattr(fact, "asset_key", None)
        if not isinstance(asset_key, AssetKey) or not fact.KIND.topics & Topic.ASSET:
            raise UsageError(f"{type(fact).__name__} is no event of an asset")
        return self.log.append(asset_shard(asset_key), [Event.now(fact)], key=key)

    def add_run_tags(self, run_id: str, tags: Mapping[str, str]) -> Receipt:
        """Set tags on a run; one that it has gets the new value. Raises UsageError if there is no such run."""
        from ..events.run import RunTagsAdded

        if not tags:
            raise UsageError("add_run_tags: there is nothing to set")
        return self._tell_of_run(run_id, RunTagsAdded(tags=tags_of(tags)))

    def remove_run_tags(self, run_id: str, tag_keys: Iterable[str]) -> Receipt:
        """Take tags off a run; those it does not have are no matter. Raises UsageError if there is no such run."""
        from ..events.run import RunTagsRemoved

        return self._tell_of_run(run_id, RunTagsRemoved(keys=tuple(texts("tag_keys", tag_keys))))

    def _tell_of_run(self, run_id: str, fact: Fact) -> Receipt:
        if is_system_shard(run_id) or self.log.backend.find_shard(run_id) is None:
            raise UsageError(f"there is no run {run_id}")
        return self._tell(run_id, fact)

    def wipe_assets(self, asset_keys: Iterable[AssetLike]) -> None:
        """Forget what is known of assets: until something new happens to one, no question finds it, nor its checks.

        The data itself is not touched, and the log keeps the events. An asset of which nothing is known is no matter.
        """
        for key in keys_of("asset_keys", asset_keys):
            self.report_runless_asset_event(AssetWiped(asset_key=key))

    def wipe_asset_partitions(self, asset_key: AssetLike, partitions: Iterable[str]) -> None:
        """Forget what is known of some partitions of an asset, as `wipe_assets` does of all of it."""
        names = tuple(dict.fromkeys(texts("partitions", partitions)))
        if names:
            self.report_runless_asset_event(AssetWiped(asset_key=AssetKey.of(asset_key), partitions=names))

    def delete_run(self, run_id: str, *, keep_assets: bool = True, reason: str | None = None) -> Receipt:
        """Delete a run for good: its events and its rows. Its storage is freed, and its id takes no events any more.

        `keep_assets`: what the run did to assets stays; else it goes too, and what was known before shows again.
        Interrupted, or asked again, the same call completes it. Raises UsageError if there is no such run.
        """
        from ..events.tombstone import RunDeleted

        fact = RunDeleted(run_id=run_id, keep_assets=keep_assets, reason=reason)
        return self.log.purge(run_id, Event.now(fact), keep=keep_assets)


def asset_shard(asset_key: AssetKey) -> str:
    """The shard of an asset's events of no run: the same in every process, for ever."""
    number = int.from_bytes(blake2b(asset_key.to_text().encode(), digest_size=8).digest()) % ASSET_SHARDS
    return f"@asset-events/{number}"
