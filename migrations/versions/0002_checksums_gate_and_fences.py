"""checksums of placed receipts, a gate, fences within shards

Revision 0002, behind 0001. Rewrites every row of the timeline, some thousand at a time, while programs of format 1 go
on appending and placing. Each step asks first whether it is done: a crash may come after any statement.
"""

from __future__ import annotations

from collections.abc import Callable

from alembic import context

from foldlog.migrations import checksums
from foldlog.migrations.work import Work

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Step = Callable[[Work], None]


def upgrade() -> None:
    work: Work = context.config.attributes["work"]
    before, behind = STEPS[work.place.kind]
    for name, step in before.items():
        work.step(name, step)
    checksums.fill(work)
    for name, step in behind.items():
        work.step(name, step)
    # Last: from now on programs of the older release refuse to open the log, and those of this one do.
    work.step("format 2", lambda work: work.place.set_format(work, 2))


def run(*statements: str) -> Step:
    """A step of statements that do no harm a second time."""

    def step(work: Work) -> None:
        for statement in statements:
            work.execute(statement)

    return step


# -- PostgreSQL -----------------------------------------------------------------------------------------------------

GATE = """
CREATE TABLE IF NOT EXISTS foldlog.gate (
    one smallint PRIMARY KEY CHECK (one = 1),
    state smallint NOT NULL DEFAULT 0,
    note text NOT NULL DEFAULT ''
)
"""

# A guard row stands right behind the last event of a shard that refuses appends: the primary key refuses whoever comes
# late. Where a program of format 1 has deleted one with its run, the next upgrade puts it there again.
GUARD = """
INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, type, body)
SELECT s.shard_id, s.fence_seq, 0, 0, 0, '', CAST('' AS bytea) FROM foldlog.shard s
WHERE s.state >= 2 ON CONFLICT DO NOTHING
"""
FENCE = """
UPDATE foldlog.shard s SET fence_seq = 1 + greatest(s.ordered_seq,
    (SELECT coalesce(max(e.seq), 0) FROM foldlog.event e WHERE e.shard_id = s.shard_id))
WHERE s.state >= 2 AND s.fence_seq IS NULL
"""
FENCED = "shard_fence_check"


def fences(work: Work) -> None:
    """Guards for what is fenced or purged; and from then on, nobody fences a shard without saying where it ends."""
    # Held until the constraint is there: a program of format 1 that fences a shard in between would leave it without a
    # guard. Appends go on: they lock the row of their shard, not the table against this.
    work.execute("LOCK TABLE foldlog.shard IN SHARE ROW EXCLUSIVE MODE")
    work.execute(FENCE)
    work.execute(GUARD)
    there = work.one(
        "SELECT 1 FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class t ON t.oid = c.conrelid "
        "JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace "
        "WHERE n.nspname = :schema AND t.relname = 'shard' AND c.conname = :name",
        schema=work.place.schema,
        name=FENCED,
    )
    if there is None:
        work.execute(f"ALTER TABLE foldlog.shard ADD CONSTRAINT {FENCED} CHECK (state < 2 OR fence_seq IS NOT NULL)")


POSTGRESQL_BEFORE: dict[str, Step] = {
    "the gate": run(GATE, "INSERT INTO foldlog.gate (one) VALUES (1) ON CONFLICT DO NOTHING"),
    "what news tell": lambda work: work.add_columns(
        "news", {"count": "bigint", "key": "uuid", "digest": "bytea", "types": "text"}
    ),
    "room for checksums": lambda work: work.add_columns("timeline", {"crc": "bigint"}),
    "room for fences": lambda work: work.add_columns("shard", {"fence_seq": "bigint"}),
}
POSTGRESQL_BEHIND: dict[str, Step] = {"fences": fences}

# -- SQLite: files of shards have fences of their own, and the gate is a line in `meta` -------------------------------

SQLITE_BEFORE: dict[str, Step] = {
    "room for checksums": run(
        "CREATE TABLE IF NOT EXISTS timeline_crc (position INTEGER PRIMARY KEY, crc INTEGER NOT NULL)"
    )
}

STEPS = {"postgresql": (POSTGRESQL_BEFORE, POSTGRESQL_BEHIND), "sqlite": (SQLITE_BEFORE, {})}
