"""checksums of placed receipts, a gate, fences within shards

Revision 0002, behind 0001. Rewrites every row of the timeline, some thousand at a time, while programs of format 1 go
on appending and placing. Each step asks first whether it is done: a crash may come after any statement.
"""

from __future__ import annotations

from collections.abc import Callable

from alembic import context

from foldlog.migrations import checksums
from foldlog.migrations.functions_2 import FUNCTIONS
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
    note text NOT NULL
)
"""

# A guard row stands right behind the last event of a shard that refuses appends: the primary key refuses whoever comes
# late. Both at once, so that there is no fence without its guard.
FENCE = """
WITH fenced AS (
    UPDATE foldlog.shard s SET fence_seq = 1 + greatest(s.ordered_seq,
        (SELECT coalesce(max(e.seq), 0) FROM foldlog.event e WHERE e.shard_id = s.shard_id))
    WHERE s.state >= 2 AND s.fence_seq IS NULL RETURNING s.shard_id, s.fence_seq
)
INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, type, body)
SELECT f.shard_id, f.fence_seq, 0, 0, 0, '', CAST('' AS bytea) FROM fenced f ON CONFLICT DO NOTHING
"""
FENCED = "shard_fence_check"


def close_fences(work: Work) -> None:
    """From now on, nobody fences a shard without saying where it ends."""
    if _fence_check(work) is not None:
        return
    # A program of format 1 that fences a shard before the constraint is there would leave it without a guard. The whole
    # lock at once: a weaker one, raised later, and a sequencer at its work would wait for each other.
    work.execute("LOCK TABLE foldlog.shard IN ACCESS EXCLUSIVE MODE")
    work.execute(FENCE)
    work.execute(
        f"ALTER TABLE foldlog.shard ADD CONSTRAINT {FENCED} CHECK (state < 2 OR fence_seq IS NOT NULL) NOT VALID"
    )


def check_fences(work: Work) -> None:
    """Look at the rows that were there before, which takes longer, and holds nobody up."""
    if not _fence_check(work):
        work.execute(f"ALTER TABLE foldlog.shard VALIDATE CONSTRAINT {FENCED}")


def _fence_check(work: Work) -> bool | None:
    """Whether the constraint holds for all rows; None if there is none."""
    found: bool | None = work.one(
        "SELECT c.convalidated FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class t ON t.oid = c.conrelid "
        "JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace "
        "WHERE n.nspname = :schema AND t.relname = 'shard' AND c.conname = :name",
        schema=work.place.schema,
        name=FENCED,
    )
    return found


POSTGRESQL_BEFORE: dict[str, Step] = {
    "the gate": run(GATE, "INSERT INTO foldlog.gate (one, note) VALUES (1, '') ON CONFLICT DO NOTHING"),
    "what news tell": lambda work: work.add_columns(
        "news", {"count": "bigint", "key": "uuid", "digest": "bytea", "types": "text"}
    ),
    "room for checksums": lambda work: work.add_columns("timeline", {"crc": "integer"}),
    "room for fences": lambda work: work.add_columns("shard", {"fence_seq": "bigint"}),
}
POSTGRESQL_BEHIND: dict[str, Step] = {
    "guards of what is deleted": run(FENCE),
    "guards for good": close_fences,
    "guards looked at": check_fences,
    "functions": run(*FUNCTIONS),
}

# -- MySQL and MariaDB, where no release wrote format 1: no program of it can be at work -------------------------------

MYSQL_GATE = """
CREATE TABLE IF NOT EXISTS gate (
    one SMALLINT NOT NULL,
    state SMALLINT NOT NULL DEFAULT 0,
    note LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (one),
    CONSTRAINT gate_one_check CHECK (one = 1)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE utf8mb4_bin
"""
MYSQL_FENCE = """
UPDATE shard s SET s.fence_seq = 1 + GREATEST(s.ordered_seq,
    (SELECT COALESCE(MAX(e.seq), 0) FROM event e WHERE e.shard_id = s.shard_id))
WHERE s.state >= 2 AND s.fence_seq IS NULL
"""
MYSQL_GUARD = """
INSERT IGNORE INTO event (shard_id, seq, ts_us, topics, crc, type, body)
SELECT s.shard_id, s.fence_seq, 0, 0, 0, '', '' FROM shard s WHERE s.state >= 2
"""


def close_fences_mysql(work: Work) -> None:
    there = work.one(
        "SELECT 1 FROM information_schema.table_constraints WHERE constraint_schema = DATABASE() "
        "AND table_name = 'shard' AND constraint_name = :name",
        name=FENCED,
    )
    if there is None:
        work.execute(f"ALTER TABLE shard ADD CONSTRAINT {FENCED} CHECK (state < 2 OR fence_seq IS NOT NULL)")


MYSQL_BEFORE: dict[str, Step] = {
    "the gate": run(MYSQL_GATE, "INSERT IGNORE INTO gate (one, note) VALUES (1, '')"),
    "what news tell": lambda work: work.add_columns(
        "news", {"count": "BIGINT", "`key`": "BINARY(16)", "digest": "BINARY(16)", "types": "LONGBLOB"}
    ),
    "room for checksums": lambda work: work.add_columns("timeline", {"crc": "INTEGER"}),
    "room for fences": lambda work: work.add_columns("shard", {"fence_seq": "BIGINT"}),
}
MYSQL_BEHIND: dict[str, Step] = {
    "guards of what is deleted": run(MYSQL_FENCE, MYSQL_GUARD),
    "guards for good": close_fences_mysql,
}

# -- SQLite: files of shards have fences of their own, and the gate is a line in `meta` -------------------------------

SQLITE_BEFORE: dict[str, Step] = {
    "room for checksums": run(
        "CREATE TABLE IF NOT EXISTS timeline_crc (position INTEGER PRIMARY KEY, crc INTEGER NOT NULL)"
    )
}

STEPS = {
    "mysql": (MYSQL_BEFORE, MYSQL_BEHIND),
    "postgresql": (POSTGRESQL_BEFORE, POSTGRESQL_BEHIND),
    "sqlite": (SQLITE_BEFORE, {}),
}
