"""How PostgreSQL answers the log's questions in a log of many runs: by keys, and never by going through a whole table.

Its statistics may be as wrong as they like: all news may be of one shard, or of none when they were last looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
import pytest

from foldlog.backends import open_backend
from foldlog.backends.sql import audit, moving, ordering, reading, typed
from foldlog.backends.sql.backend import SqlBackend

RUNS = 20_000
FILL = f"""
SET search_path = foldlog;
INSERT INTO shard (name, state, ordered_seq) SELECT 'run-' || g, g % 2, 1 FROM generate_series(1, {RUNS}) g;
INSERT INTO timeline (position, shard_id, first_seq, count, at_us, key, digest, chain)
SELECT g, g, 1, 1, g, md5(g::text)::uuid, decode(md5(g::text), 'hex'), decode(md5(g::text), 'hex')
FROM generate_series(1, {RUNS}) g;
INSERT INTO timeline_type (type, position) SELECT 'T' || g % 10, g FROM generate_series(1, {RUNS}) g;
INSERT INTO news (shard_id, first_seq, at_us) SELECT {RUNS}, g, g FROM generate_series(2, {RUNS}) g;
ANALYZE
"""

QUESTIONS = {
    "a page of the timeline": (reading.RECEIPTS, {"after": 500, "until": 520, "most": 21}),
    "a page of shards": (reading.DESCRIBE.replace("{where}", "s.name > %(after)s"), {"after": "run-5", "limit": 100}),
    "a shard": (reading.DESCRIBE.replace("{where}", "s.name = %(name)s"), {"name": "run-5", "limit": 1}),
    "placed receipts": (ordering.PLACED, {"after": 500, "limit": 20}),
    "receipts of a type": (typed.RECEIPTS, {"positions": tuple(range(500, 600, 10))}),
    "what the index holds of a run": (audit.INDEX, {"types": ("T1", "T2", "T3"), "positions": (7, 8, 9)}),
    "the next type": (audit.NEXT_TYPE, {"after": "T1"}),
    "receipts to copy": (moving.ENTRIES, {"after": 500, "limit": 20}),
    "a mark": (ordering.MARK, {}),
}


@pytest.fixture(scope="module")
def filled(postgres_server_url: str) -> Iterator[SqlBackend]:
    import servers

    with servers.kind_of("postgres").fresh(postgres_server_url) as url:
        with contextlib.closing(open_backend(url)) as backend:
            assert isinstance(backend, SqlBackend)
            with contextlib.closing(psycopg2.connect(url)) as connection:
                connection.autocommit = True
                for statement in FILL.split(";"):
                    connection.cursor().execute(statement)
            yield backend


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_goes_through_a_table(filled: SqlBackend, question: str) -> None:
    sql, values = QUESTIONS[question]
    [[found]] = filled._database.ask(
        "looking how", f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", values
    )
    blocks = found[0]["Plan"]["Shared Hit Blocks"] + found[0]["Plan"]["Shared Read Blocks"]
    assert blocks < 1000, found
    assert not list(scans(found[0]["Plan"])), found


def scans(plan: dict) -> Iterator[str]:
    """Tables of many rows that are read from their beginning to more than their first rows."""
    if plan["Node Type"] == "Seq Scan" and plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) > 1000:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)
