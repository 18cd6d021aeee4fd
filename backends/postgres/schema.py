"""The tables of a log, version 1, and how they come to be: docs/format.md.

    log             one row: which log this is, and the end of its timeline
    epoch           stretches of history under one order
    shard           one row a shard: its state, and how much of it has positions
    event           one row a record; the receipt of an append lives on its first row
    news            one row for each receipt that has no position yet, written with its event, deleted when placed
    timeline        one row for each placed receipt
    timeline_type   where on the timeline each type occurs: one row for each placed receipt and type in it
    kept            what outlives the purge of its shard

Promises: made whole or not at all, by one of several processes that open a new database at once.
"""

from __future__ import annotations

from uuid import uuid4

from ...engine.errors import CorruptLogError, UsageError
from ...engine.log.port import GENESIS
from .database import Database, Mode, Transaction

FORMAT = 1
PROGRAM = "foldlog"
SERVER = 130_000  #: the oldest server this was made for, as server_version_num
TURN = 0x666F6C64  #: the advisory lock under which tables are made; any constant would do

# Numbers are bigint throughout: the first int to overflow would stop all appends. No foreign keys: the lock that an
# append takes on its shard's row is the one they would take, and the rest is checked by `diagnose`.
# Names compare by bytes (COLLATE "C"): a language's rules would take two names for one, or list them in another order
# than the other backends do.
TABLES = """
CREATE TABLE foldlog.log (
    one smallint PRIMARY KEY CHECK (one = 1),
    program text NOT NULL,
    format bigint NOT NULL,
    log_id uuid NOT NULL,
    epoch bigint NOT NULL,
    position bigint NOT NULL,
    chain bytea NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE foldlog.epoch (
    number bigint PRIMARY KEY,
    after_position bigint NOT NULL,
    chain bytea NOT NULL,
    started_us bigint NOT NULL,
    reason text NOT NULL
);
CREATE TABLE foldlog.shard (
    shard_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    state smallint NOT NULL DEFAULT 0,
    ordered_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE TABLE foldlog.event (
    shard_id bigint NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    ts_us bigint NOT NULL,
    topics bigint NOT NULL,
    crc bigint NOT NULL,
    at_us bigint,
    count bigint,
    key uuid,
    keyed boolean,
    type text COLLATE "C" NOT NULL,
    digest bytea,
    body bytea NOT NULL,
    PRIMARY KEY (shard_id, seq),
    CHECK (num_nulls(at_us, count, key, keyed, digest) IN (0, 5))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02);
CREATE UNIQUE INDEX event_key ON foldlog.event (shard_id, key) WHERE keyed;
CREATE TABLE foldlog.news (
    shard_id bigint NOT NULL,
    first_seq bigint NOT NULL,
    at_us bigint NOT NULL,
    PRIMARY KEY (shard_id, first_seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE foldlog.timeline (
    position bigint PRIMARY KEY,
    shard_id bigint NOT NULL,
    first_seq bigint NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    at_us bigint NOT NULL,
    key uuid NOT NULL,
    digest bytea NOT NULL,
    chain bytea NOT NULL,
    UNIQUE (shard_id, first_seq)
);
CREATE TABLE foldlog.timeline_type (
    type text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (type, position)
);
CREATE TABLE foldlog.kept (
    shard_id bigint NOT NULL,
    seq bigint NOT NULL,
    ts_us bigint NOT NULL,
    topics bigint NOT NULL,
    crc bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (shard_id, seq)
);
INSERT INTO foldlog.log VALUES (1, %(program)s, %(format)s, %(log_id)s, 1, 0, %(genesis)s);
INSERT INTO foldlog.epoch
    VALUES (1, 0, %(genesis)s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 'created');
"""

# The catalogs may be read by everyone: a role without rights on the schema learns that it is there, too.
COLUMNS = """
SELECT a.attname FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = 'log' AND a.attnum > 0 AND NOT a.attisdropped
"""


def prepare(database: Database, *, read_only: bool) -> None:
    """Check that the schema holds a log this program knows, and make one where there is none.

    Raises CorruptLogError for another program's tables, UsageError for another version, for a missing log with
    `read_only`, and for a server that cannot hold one.
    """
    deed = f"opening the log in schema {database.address.schema}"
    if database.run(deed, lambda tx: _check(tx, database)):
        return
    if read_only:
        raise UsageError(
            f"there is no log in schema {database.address.schema} at {database.address.shown}, and with "
            "read_only=True none is made; open it for writing once, or correct the URL"
        )
    database.run(deed, lambda tx: _create(tx, database), mode=Mode.WRITE, repeatable=True)


def _check(tx: Transaction, database: Database) -> bool:
    """Whether a log is there; what else could be there is refused."""
    place = f"schema {database.address.schema} at {database.address.shown}"
    server = tx.one("SELECT current_setting('server_version_num')::int, pg_catalog.getdatabaseencoding()")
    if server is None or server[0] < SERVER or server[1] != "UTF8":
        raise UsageError(f"{place}: a log needs PostgreSQL {SERVER // 10_000} or newer and a database in UTF8")
    columns = {name for (name,) in tx.all(COLUMNS, {"schema": database.address.schema})}
    if not columns:
        return False
    found = tx.one("SELECT program, format FROM foldlog.log") if {"program", "format"} <= columns else None
    if found is None or found[0] != PROGRAM:
        raise CorruptLogError(f"{place}: the table `log` there is not foldlog's; choose another with ?schema=NAME")
    if found[1] != FORMAT:
        raise UsageError(
            f"{place}: the log has format {found[1]}, this foldlog knows {FORMAT}; install the release "
            "that wrote it, or a newer one"
        )
    return True


def _create(tx: Transaction, database: Database) -> None:
    # IF NOT EXISTS alone races: two processes that both find nothing both create, and one fails on a catalog's index.
    # The lock is a statement of its own: what the other has made is seen by statements that begin after it.
    tx.execute("SELECT pg_catalog.pg_advisory_xact_lock(%(turn)s)", {"turn": TURN})
    if _check(tx, database):
        return
    schema = database.address.schema
    # Asked first, because CREATE SCHEMA IF NOT EXISTS needs the right to create one even where it exists.
    if tx.one("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s", {"schema": schema}) is None:
        tx.execute(f'CREATE SCHEMA "{schema}"')
    tx.execute(TABLES, {"program": PROGRAM, "format": FORMAT, "log_id": str(uuid4()), "genesis": GENESIS})
