"""Views in MySQL or MariaDB: what is peculiar to them. That questions are answered as elsewhere: test_views.py and
test_questions.py; that names of tables change safely: faults/test_kill_rebuild.py."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from servers import mysql
from test_query_plans import QUESTIONS, fill

from foldlog import AssetKey, Event, Instance, RunsFilter, UnavailableError, events
from foldlog.engine.views import rebuild, run_search
from foldlog.engine.views.checkpoints import BUILDING, LIVE, PREVIOUS
from foldlog.engine.views.registry import PROJECTIONS
from foldlog.engine.views.table import INDEXED_BYTES

MOST_KEY = 3072  #: bytes of one index entry that InnoDB takes

#: names that some collation takes for one
NAMES = ("a", "A", "ä", "a ", "a  ", "á", "a\u0301", "\u00df", "ss", "😀", "😁", "\x00", "a\x00", "", "\uffff",
         "\U0010ffff", "k" * 499, "k" * 500, "k" * 501, "k" * 5000, "ü" * 251)  # fmt: skip
PARTITIONS = [f"p{name}" for name in NAMES if len(name.encode()) < INDEXED_BYTES and "\x00" not in name]


@pytest.fixture
def both(mysql_url: str) -> Iterator[tuple[Instance, Instance]]:
    """One log with views in MySQL, and with views in memory."""
    with Instance.from_url("memory://", views=mysql_url) as there, Instance.ephemeral() as here:
        yield there, here


def tell(instance: Instance, shard: str, *facts: Any) -> None:
    instance.log.append(shard, [Event(fact, 1_700_000_000_000_000 + n) for n, fact in enumerate(facts)])


def rows(instance: Instance) -> dict[str, list[tuple[Any, ...]]]:
    store = instance.views.store
    with store.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(source).order_by(*source.primary_key))]
            for table, source in store.tables.items()
        }


def digests(instance: Instance) -> dict[str, Any]:
    instance.get_runs_count()
    return {name: at.digests for name, at in instance.views.store.checkpoints().items()}


def test_names_that_a_collation_takes_for_one_are_apart(both: tuple[Instance, Instance]) -> None:
    for instance in both:
        for number, name in enumerate(NAMES):
            run = f"run-{number}"
            tell(
                instance,
                run,
                events.RunCreated(job_name=name, tags={name: name, "one": name}),
                events.AssetMaterialization(asset_key=AssetKey((f"k{name}",)), partition=name, tags={name: "x"}),
                events.AssetCheckEvaluation(asset_key=AssetKey((f"k{name}",)), check_name=f"c{name}", passed=True),
                events.RunSucceeded(),
            )
        tell(instance, "@partitions/d", events.PartitionsAdded(partitions_def="d", keys=tuple(PARTITIONS)))
        tell(instance, "@instance", events.ValuesSet(values={f"v{name}": name for name in NAMES}))
    there, here = both
    for name in NAMES:
        wanted = [run.run_id for run in here.get_runs(RunsFilter(job_name=name))]
        assert [run.run_id for run in there.get_runs(RunsFilter(job_name=name))] == wanted, name
        assert there.get_run_ids(RunsFilter(tags={"one": name})) == here.get_run_ids(RunsFilter(tags={"one": name}))
    assert there.get_run_tag_keys(limit=100) == here.get_run_tag_keys(limit=100)
    assert there.get_asset_keys(limit=100) == here.get_asset_keys(limit=100)
    assert there.get_dynamic_partitions("d") == here.get_dynamic_partitions("d")
    assert there.get_values([f"v{name}" for name in NAMES]) == here.get_values([f"v{name}" for name in NAMES])
    assert rows(there) == rows(here)
    assert digests(there) == digests(here)
    assert there.verify().problems() == []


def test_people_see_text_and_it_is_not_merged(both: tuple[Instance, Instance], mysql_url: str) -> None:
    there, _ = both
    for number, name in enumerate(("job", "Job", "job ", "jöb😀")):
        tell(there, f"run-{number}", events.RunCreated(job_name=name))
    there.get_runs_count()
    connection = mysql.connect(mysql_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT job_name, count(*) FROM runs GROUP BY job_name ORDER BY job_name")
        assert list(cursor.fetchall()) == [("Job", 1), ("job", 1), ("job ", 1), ("jöb😀", 1)]


@pytest.mark.parametrize("table", [table for p in PROJECTIONS for table in p.tables], ids=lambda table: table.name)
def test_no_index_is_longer_than_the_server_takes(table: Any) -> None:
    for columns in (table.columns[: table.key], *table.indexes, *table.late):
        texts = [name for name in columns if table.is_text(name)]
        assert len(texts) * INDEXED_BYTES + 8 * (len(columns) - len(texts)) <= MOST_KEY, columns


def test_a_body_that_fills_a_packet(both: tuple[Instance, Instance]) -> None:
    """16 MiB less a little, all of bytes that take two in a statement, in the log's longest append."""
    there, here = both
    text = "\\'" * (8 * 1024 * 1024 - 2000)
    for instance in both:
        tell(instance, "run", events.RunCreated(job_name="j", run_config={"big": text}))
        tell(instance, "other", events.RunCreated(job_name="j"), *[events.RunEnqueued()] * 3)
    record = there.get_run_record_by_id("run")
    assert record is not None
    assert record.run.run_config == {"big": text}
    assert digests(there) == digests(here)
    assert there.verify().problems() == []


def test_many_bodies_of_middle_size(both: tuple[Instance, Instance]) -> None:
    there, here = both
    for instance in both:
        for number in range(40):
            value = bytes([number]).decode("latin-1") * 700_000
            tell(instance, f"run-{number}", events.RunCreated(job_name="j", run_config={"big": value}))
    assert there.get_runs_count() == 40
    assert digests(there) == digests(here)


def test_a_value_that_no_server_takes_says_what_to_do(mysql_server_url: str, mysql_url: str) -> None:
    with Instance.from_url("memory://", views=mysql_url) as instance:
        instance.get_runs_count()
        # JSON for people takes six bytes for one of these.
        metadata = {"big": "\x01" * (4 * 1024 * 1024)}
        tell(instance, "run", events.AssetMaterialization(asset_key=AssetKey("a"), metadata=metadata))
        with pytest.raises(UnavailableError) as caught:
            instance.get_asset_keys()
        assert "max_allowed_packet" in caught.value.remedy
        with mysql.connect(mysql_server_url) as server, server.cursor() as cursor:
            cursor.execute("SELECT @@global.max_allowed_packet")
            ((before,),) = cursor.fetchall()
            cursor.execute("SET GLOBAL max_allowed_packet = %s", (64 * 1024 * 1024,))
        try:
            instance.views.store.database.engine.dispose()
            assert instance.get_asset_keys() == [AssetKey("a")]
            assert instance.verify().problems() == []
        finally:
            with mysql.connect(mysql_server_url) as server, server.cursor() as cursor:
                cursor.execute("SET GLOBAL max_allowed_packet = %s", (before,))


def test_a_switch_waits_for_a_reader_and_tears_nothing(both: tuple[Instance, Instance]) -> None:
    there, _ = both
    tell(there, "run", events.RunCreated(job_name="j"))
    assert there.get_runs_count() == 1
    started = threading.Event()

    def read() -> None:
        with there.views.store.reading() as connection:
            started.set()
            time.sleep(2)
            seen.append(there.views.store.checkpoints(connection)["runs"].generation)
            seen.append(connection.execute(sa.text("SELECT count(*) FROM runs_v2")).scalar_one())

    seen: list[int] = []
    reader = threading.Thread(target=read)
    reader.start()
    started.wait(10)
    there.rebuild("runs")
    reader.join()
    assert seen == [1, 1]
    assert there.views.store.checkpoints()["runs"].generation == 2


def test_a_switch_that_died_before_the_registry_knew(both: tuple[Instance, Instance], monkeypatch: Any) -> None:
    """The names have changed, and the process is gone: everybody goes by the names, and the next one sets it right."""
    there, _ = both
    store = there.views.store
    tell(there, "run", events.RunCreated(job_name="j"))
    assert there.get_runs_count() == 1

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("foldlog.engine.views.checkpoints.relabel", dies)
        with pytest.raises(KeyboardInterrupt):
            there.rebuild("runs")
    assert store.checkpoints()["runs"].generation == 2, "as the marks say"
    assert "runs" not in store.checkpoints(slot=BUILDING)
    assert store.checkpoints(slot=PREVIOUS)["runs"].generation == 1
    with store.database.read() as connection:
        told = connection.execute(sa.text("SELECT generation FROM foldlog_views WHERE name='runs' AND slot='live'"))
        assert told.scalar_one() == 1, "the registry does not know yet"
    tell(there, "another", events.RunCreated(job_name="j"))
    assert there.get_runs_count() == 2
    with store.database.read() as connection:
        told = connection.execute(sa.text("SELECT generation FROM foldlog_views WHERE name='runs' AND slot='live'"))
        assert told.scalar_one() == 2
    assert there.verify().problems() == []
    assert there.rebuild("runs") == 2
    there.roll_back_view("runs")
    assert there.get_runs_count() == 2
    assert {LIVE, PREVIOUS} == {slot for slot in (LIVE, BUILDING, PREVIOUS) if "runs" in store.checkpoints(slot=slot)}


def test_tables_that_a_crash_has_left_go_with_the_next_rebuild(both: tuple[Instance, Instance], mysql_url: str) -> None:
    there, _ = both
    tell(there, "run", events.RunCreated(job_name="j"))
    there.get_runs_count()
    with mysql.connect(mysql_url) as server, server.cursor() as cursor:
        cursor.execute("CREATE TABLE runs_v2_g2 LIKE runs_v2")
        cursor.execute("INSERT INTO runs_v2_g2 SELECT * FROM runs_v2")
        cursor.execute("CREATE TABLE runs_v2_g77 LIKE runs_v2")
        there.rebuild("runs")
        cursor.execute("SHOW TABLES LIKE 'runs\\_v2\\_g%'")
        assert [name for (name,) in cursor.fetchall()] == ["runs_v2_g1"]
    assert there.verify().problems() == []


_PROJECT = """
import sys
sys.path[:0] = sys.argv[4:]
from foldlog import Event, Instance, events
with Instance.from_url(sys.argv[1], views=sys.argv[2]) as instance:
    for number in range(25):
        run = f"run-{sys.argv[3]}-{number}"
        instance.log.append(run, [Event.now(events.RunCreated(job_name="j")), Event.now(events.RunSucceeded())])
        assert instance.get_run_record_by_id(run) is not None
        if number == 10:
            instance.rebuild("runs")
"""


def test_processes_that_make_the_tables_project_and_rebuild_at_once(tmp_path: Path, mysql_url: str) -> None:
    url = f"sqlite:///{tmp_path}/h"
    with Instance.from_url(url):
        pass
    children = [
        subprocess.Popen([sys.executable, "-c", _PROJECT, url, mysql_url, str(n), *sys.path], stderr=subprocess.PIPE)
        for n in range(3)
    ]
    for child in children:
        _, said = child.communicate(timeout=120)
        assert child.returncode == 0, said.decode()
    with Instance.from_url(url, views=mysql_url) as instance:
        assert instance.get_runs_count() == 75
        assert instance.verify().problems() == []


def test_a_lost_connection_is_noticed_and_replaced(both: tuple[Instance, Instance], mysql_server_url: str) -> None:
    there, _ = both
    there.get_runs_count()
    name = there.views.store.database.schema
    with mysql.connect(mysql_server_url) as server, server.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        for (number,) in cursor.fetchall():
            cursor.execute("KILL %s", (number,))
    tell(there, "run", events.RunCreated(job_name="j"))
    assert there.get_runs_count() == 1


@pytest.mark.parametrize("number", [1213, 1205, 2013, 1040])
def test_what_goes_away_by_itself_can_be_repeated(both: tuple[Instance, Instance], number: int) -> None:
    there, _ = both
    with pytest.raises(UnavailableError), there.views.store.database.write():
        raise sa.exc.OperationalError("x", None, pymysql.err.OperationalError(number, "told"))


def test_a_rebuild_of_many_pages(both: tuple[Instance, Instance], monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = both
    monkeypatch.setattr(rebuild, "PAGE", 7)
    for instance in both:
        for number in range(20):
            made = [events.AssetMaterialization(asset_key=AssetKey("a"), partition=f"p{n}") for n in range(3)]
            tell(instance, f"run-{number}", events.RunCreated(job_name="j"), *made, events.RunSucceeded())
        instance.rebuild()
    assert rows(there) == rows(here)
    assert digests(there) == digests(here)


# -- the work that a question is ---------------------------------------------------------------------------------------


def looked_at(instance: Instance, ask: Any) -> int:
    """How many entries of tables and indexes the server reads for a question."""
    engine, counted, before = instance.views.store.database.engine, [0], [0]

    def reads(cursor: Any) -> int:
        with cursor.connection.cursor() as own:
            own.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in own.fetchall())

    def begins(_: Any, cursor: Any, *__: Any) -> None:
        before[0] = reads(cursor)

    def ends(_: Any, cursor: Any, *__: Any) -> None:
        counted[0] += reads(cursor) - before[0]

    listeners = ("before_cursor_execute", begins), ("after_cursor_execute", ends)
    for name, listener in listeners:
        sa.event.listen(engine, name, listener)
    try:
        ask(instance)
    finally:
        for name, listener in listeners:
            sa.event.remove(engine, name, listener)
    return counted[0]


#: questions that a log of any length answers from one page of an index
FLAT = re.compile(
    r"^(run by id|has run|steps|some steps|attempts|stats|asset keys|asset records|some asset records|latest|plan"
    r"|materializations|data versions|status by partition|tag keys"
    r"|(runs|ids)( behind)?: (all|ids|job|status|statuses|tag|rare tag|snapshot|no subruns|updated)"
    r"|runs by \w+: all|fetch( up)?: (all|ids|positions|times|partition|partitions)"
    r"|events ASSET_(MATERIALIZATION|OBSERVATION) of (one|all): (all|ids|times)"
    r"|changes( up)?: \w+)$"
)


def test_a_page_is_as_much_work_in_a_log_of_any_length(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_search, "PROBE", 10)
    asked = {name: ask for name, ask in QUESTIONS.items() if FLAT.match(name)}
    assert len(asked) > 60
    with Instance.from_url("memory://", views=mysql_url) as instance:
        work: list[dict[str, int]] = []
        for first, last in ((0, 150), (150, 600)):
            for number in range(first, last):
                fill(instance, number)
            instance.get_run_records(limit=1)
            with instance.views.store.database.write(changing=True) as connection:  # as the server does by and by
                for table in instance.views.store.tables:
                    connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()
            work.append({name: looked_at(instance, ask) for name, ask in asked.items()})
    grown = {name: (less, work[1][name]) for name, less in work[0].items() if work[1][name] > 1.3 * less + 80}
    assert not grown, "entries read at 150 and at 600 runs"
