"""the tables of format 1

Revision 0001, the first. Logs in use were made by their programs and never ran this: they count as 0001 by their
format. It is here so that the chain makes a whole log from nothing, which tests compare with a new one.
"""

from __future__ import annotations

from uuid import uuid4

from alembic import context

from foldlog.migrations.work import Work

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

POSTGRESQL = """
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
INSERT INTO foldlog.epoch
    VALUES (1, 0, decode('00000000000000000000000000000000', 'hex'),
    CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), 'created');
INSERT INTO foldlog.log
    VALUES (1, 'foldlog', 1, CAST(:log_id AS uuid), 1, 0, decode('00000000000000000000000000000000', 'hex'));
"""

SQLITE = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE place (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
  slot INTEGER UNIQUE, bell INTEGER NOT NULL DEFAULT 0, ordered_seq INTEGER NOT NULL DEFAULT 0);
CREATE TABLE free_slot (slot INTEGER PRIMARY KEY);
CREATE TABLE timeline (
  position INTEGER PRIMARY KEY, shard INTEGER NOT NULL, first_seq INTEGER NOT NULL, count INTEGER NOT NULL,
  at_us INTEGER NOT NULL, key BLOB NOT NULL, digest BLOB NOT NULL, chain BLOB NOT NULL);
CREATE UNIQUE INDEX timeline_shard ON timeline (shard, first_seq);
CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE timeline_type (type INTEGER, position INTEGER, PRIMARY KEY (type, position)) WITHOUT ROWID;
CREATE TABLE kept (
  shard INTEGER, seq INTEGER, type TEXT NOT NULL, ts_us INTEGER NOT NULL, topics INTEGER NOT NULL,
  crc INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (shard, seq)) WITHOUT ROWID;
CREATE TABLE epoch (
  number INTEGER PRIMARY KEY, after_position INTEGER NOT NULL, chain BLOB NOT NULL,
  started_us INTEGER NOT NULL, reason TEXT NOT NULL);
INSERT INTO epoch VALUES (1, 0, zeroblob(16), CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'created');
INSERT INTO meta VALUES ('log_id', :log_id);
INSERT INTO meta VALUES ('kind', 'order');
PRAGMA application_id=1718578276;
PRAGMA user_version=1;
"""

# No release ever wrote format 1 to MySQL or MariaDB; the chain begins there all the same.
MYSQL_TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
MYSQL_OPTIONS = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE utf8mb4_bin"
MYSQL = f"""
CREATE TABLE IF NOT EXISTS log (
    one SMALLINT NOT NULL, program {MYSQL_TEXT} NOT NULL, format BIGINT NOT NULL, log_id BINARY(16) NOT NULL,
    epoch BIGINT NOT NULL, position BIGINT NOT NULL, chain BINARY(16) NOT NULL,
    PRIMARY KEY (one), CONSTRAINT log_one_check CHECK (one = 1)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS epoch (
    number BIGINT NOT NULL, after_position BIGINT NOT NULL, chain BINARY(16) NOT NULL, started_us BIGINT NOT NULL,
    reason {MYSQL_TEXT} NOT NULL, PRIMARY KEY (number)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS shard (
    shard_id BIGINT NOT NULL AUTO_INCREMENT, name VARBINARY(200) NOT NULL, state SMALLINT NOT NULL DEFAULT 0,
    ordered_seq BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (shard_id), CONSTRAINT shard_name_key UNIQUE (name)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS event (
    shard_id BIGINT NOT NULL, seq BIGINT NOT NULL, ts_us BIGINT NOT NULL, topics BIGINT NOT NULL, crc BIGINT NOT NULL,
    at_us BIGINT, count BIGINT, `key` BINARY(16), keyed BOOL, type VARBINARY(1000) NOT NULL, digest BINARY(16),
    body LONGBLOB NOT NULL, given_key BINARY(16), PRIMARY KEY (shard_id, seq),
    CONSTRAINT event_seq_check CHECK (seq > 0), CONSTRAINT event_key UNIQUE (shard_id, given_key),
    CONSTRAINT event_check CHECK (
        (at_us IS NULL) + (`count` IS NULL) + (`key` IS NULL) + (keyed IS NULL) + (digest IS NULL) IN (0, 5))
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS piece (
    shard_id BIGINT NOT NULL, seq BIGINT NOT NULL, part BIGINT NOT NULL, data LONGBLOB NOT NULL,
    PRIMARY KEY (shard_id, seq, part)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS news (
    shard_id BIGINT NOT NULL, first_seq BIGINT NOT NULL, at_us BIGINT NOT NULL, PRIMARY KEY (shard_id, first_seq)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS timeline (
    position BIGINT NOT NULL, shard_id BIGINT NOT NULL, first_seq BIGINT NOT NULL, count BIGINT NOT NULL,
    at_us BIGINT NOT NULL, `key` BINARY(16) NOT NULL, digest BINARY(16) NOT NULL, chain BINARY(16) NOT NULL,
    PRIMARY KEY (position), CONSTRAINT timeline_shard_id_first_seq_key UNIQUE (shard_id, first_seq),
    CONSTRAINT timeline_count_check CHECK (count > 0)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS timeline_type (
    type VARBINARY(1000) NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (type, position)
) {MYSQL_OPTIONS};
CREATE TABLE IF NOT EXISTS kept (
    shard_id BIGINT NOT NULL, seq BIGINT NOT NULL, ts_us BIGINT NOT NULL, topics BIGINT NOT NULL, crc BIGINT NOT NULL,
    type VARBINARY(1000) NOT NULL, body LONGBLOB NOT NULL, PRIMARY KEY (shard_id, seq)
) {MYSQL_OPTIONS};
INSERT IGNORE INTO epoch
    VALUES (1, 0, REPEAT(x'00', 16), CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED), 'created');
INSERT IGNORE INTO log VALUES (1, 'foldlog', 1, :log_id, 1, 0, REPEAT(x'00', 16));
"""

TABLES = {"mysql": MYSQL, "postgresql": POSTGRESQL, "sqlite": SQLITE}


def upgrade() -> None:
    work: Work = context.config.attributes["work"]
    work.step("the tables of format 1", create)


def create(work: Work) -> None:
    """All tables, in one transaction where the database has such."""
    log_id = uuid4()
    for statement in filter(str.strip, TABLES[work.place.kind].split(";")):
        work.execute(statement, **({"log_id": work.place.uuid(log_id)} if ":log_id" in statement else {}))
