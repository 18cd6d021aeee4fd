"""The SQL functions of an append: one round trip, planned once a session, and nothing prepared in it.

A function is an object of the schema, so it works behind a proxy that pools connections by transaction, where a
prepared statement would be left in somebody else's session. They are named by the format of the log: programs of two
formats use the log side by side while it is upgraded. Each runs as its caller, in his own transaction.

append_one_2    one event
append_2        any number of receipts and events

Both give the time of each receipt, or null if a shard does not end with the receipt that the writer thinks is its last:
after a backup was restored under a living process, a remembered end would leave a hole. The gate is looked at behind
the insert, in a snapshot of its own: whoever closes it waits for inserts under way, and is seen by all that come after.
Errors of their own: FL001 the gate is closed, FL002 a transaction at another isolation level, where that look would be
as old as the transaction.
"""

from __future__ import annotations

# A wait for another's lock ends; what is acknowledged is on the disk, whatever the role's or the database's defaults.
_BEGIN = """
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the append needs READ COMMITTED' USING ERRCODE = 'FL002';
    END IF;
    IF p_durable THEN
        IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
            v_note := set_config('synchronous_commit', 'on', true);
        END IF;
    ELSIF current_setting('synchronous_commit') <> 'off' THEN
        v_note := set_config('synchronous_commit', 'off', true);
    END IF;
    IF current_setting('lock_timeout') = '0' THEN
        v_note := set_config('lock_timeout', '20s', true);
    END IF;
"""

_GATE = """
    SELECT g.state, g.note INTO v_state, v_note FROM foldlog.gate g WHERE g.one = 1;
    IF v_state <> 0 THEN
        RAISE EXCEPTION '%', v_state || ' ' || v_note USING ERRCODE = 'FL001';
    END IF;
"""

CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

ONE = f"""
CREATE OR REPLACE FUNCTION foldlog.append_one_2(
    p_durable boolean, p_shard bigint, p_seq bigint, p_last_seq bigint, p_last_count bigint, p_last_us bigint,
    p_key uuid, p_keyed boolean, p_digest bytea, p_ts_us bigint, p_topics bigint, p_crc bigint, p_type text,
    p_body bytea
) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    v_at bigint;
    v_state smallint;
    v_note text;
BEGIN
{_BEGIN}
    IF p_last_seq > 0 AND NOT EXISTS (
        SELECT FROM foldlog.event e WHERE e.shard_id = p_shard AND e.seq = p_last_seq AND e.count = p_last_count
        AND e.at_us = p_last_us
    ) THEN
        RETURN NULL;
    END IF;
    v_at := greatest({CLOCK}, p_last_us + 1);
    INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, at_us, count, key, keyed, type, digest, body)
    VALUES (p_shard, p_seq, p_ts_us, p_topics, p_crc, v_at, 1, p_key, p_keyed, p_type, p_digest, p_body);
    INSERT INTO foldlog.news (shard_id, first_seq, at_us, count, key, digest, types)
    VALUES (p_shard, p_seq, v_at, 1, p_key, p_digest, p_type);
{_GATE}
    RETURN v_at;
END $body$
"""

MANY = f"""
CREATE OR REPLACE FUNCTION foldlog.append_2(
    p_durable boolean, p_shards bigint[], p_seqs bigint[], p_counts bigint[], p_last_seqs bigint[],
    p_last_counts bigint[], p_last_us bigint[], p_keys uuid[], p_keyed boolean[], p_digests bytea[], p_kinds text[],
    r_shards bigint[], r_seqs bigint[], r_ts_us bigint[], r_topics bigint[], r_crcs bigint[], r_types text[],
    r_bodies bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
    v_now bigint;
    v_times bigint[];
    v_state smallint;
    v_note text;
BEGIN
{_BEGIN}
    IF EXISTS (
        SELECT FROM unnest(p_shards, p_last_seqs, p_last_counts, p_last_us) l (shard_id, seq, count, at_us)
        WHERE l.seq > 0 AND NOT EXISTS (
            SELECT FROM foldlog.event e WHERE e.shard_id = l.shard_id AND e.seq = l.seq AND e.count = l.count
            AND e.at_us = l.at_us
        )
    ) THEN
        RETURN NULL;
    END IF;
    v_now := {CLOCK};
    SELECT array_agg(greatest(v_now, l.at_us + 1) + l.n - 1 ORDER BY l.n) INTO v_times
    FROM unnest(p_last_us) WITH ORDINALITY l (at_us, n);
    INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, at_us, count, key, keyed, type, digest, body)
    SELECT r.shard_id, r.seq, r.ts_us, r.topics, r.crc, a.at_us, a.count, a.key, a.keyed, r.type, a.digest, r.body
    FROM unnest(r_shards, r_seqs, r_ts_us, r_topics, r_crcs, r_types, r_bodies)
        r (shard_id, seq, ts_us, topics, crc, type, body)
    LEFT JOIN unnest(p_shards, p_seqs, v_times, p_counts, p_keys, p_keyed, p_digests)
        a (shard_id, seq, at_us, count, key, keyed, digest) ON a.shard_id = r.shard_id AND a.seq = r.seq;
    INSERT INTO foldlog.news (shard_id, first_seq, at_us, count, key, digest, types)
    SELECT * FROM unnest(p_shards, p_seqs, v_times, p_counts, p_keys, p_digests, p_kinds);
{_GATE}
    RETURN v_times;
END $body$
"""

FUNCTIONS = (ONE, MANY)
