"""The tables of a log as PostgreSQL has them.

Names compare by bytes (COLLATE "C"): a language's rules would take two names for one, or list them in another order
than the other backends do.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ..sql.tables import Types, declare

_NAME = sa.Text(collation="C")

METADATA = declare(
    Types(
        name=_NAME,
        type=_NAME,
        types=sa.Text(),
        text=sa.Text(),
        uuid=postgresql.UUID(),
        hash=postgresql.BYTEA(),
        body=postgresql.BYTEA(),
        options={
            # Room in each page for the new version of a row that changes often.
            "log": {"postgresql_with": {"fillfactor": 50}},
            "shard": {"postgresql_with": {"fillfactor": 70}},
            # Nothing ever changes there, so it has to be frozen some time; the sooner, the less at once.
            "event": {"postgresql_with": {"autovacuum_vacuum_insert_scale_factor": 0.02}},
            "news": {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 5000}},
        },
    )
)

_event = METADATA.tables["event"]
_event.append_constraint(
    sa.CheckConstraint("num_nulls(at_us, count, key, keyed, digest) IN (0, 5)", name="event_check")
)
sa.Index("event_key", _event.c.shard_id, _event.c.key, unique=True, postgresql_where=sa.text("keyed"))
