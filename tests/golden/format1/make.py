"""How the golden logs of format 1 were made: by the last release that wrote it, and never again.

    python make.py SQLITE_FOLDER POSTGRESQL_URL     (an empty database; pg_dump of its release in PATH)

writes sharded.tar.gz, consolidated.tar.gz, postgres.sql and answers.json beside this file. With a newer release they
would be logs of its format, so it refuses.

Each log holds: runs of several kinds, one sealed, one purged with its kept facts, one purged without; log messages
that were trimmed; facts in system shards; keys of callers, and a retry of one; two epochs; appends of several events; a
shard name with letters beyond ASCII; and, at the end, receipts that nobody has given a position yet.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from uuid import UUID

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from golden_logs import answers  # noqa: E402

import foldlog  # noqa: E402
from foldlog import Event, events  # noqa: E402
from foldlog.engine.events.event import Retention  # noqa: E402


def report(instance: foldlog.Instance, run_id: str, *, lines: int = 6, fails: bool = False) -> None:
    try:
        with instance.run("nightly-load", run_id=run_id, tags={"team": "growth"}) as run:
            with run.step("extract") as step:
                for number in range(lines):
                    step.log(f"line {number} of {run_id}")
            with run.step("load") as step:
                step.log("loading")
            run.materialize(["raw", "orders"], partition="2026-11-20", metadata={"rows": 1234, "of": run_id})
            run.materialize(["clean", run_id])
            if fails:
                raise ValueError("no rows")
    except ValueError:
        if not fails:
            raise


def fill(url: str) -> None:
    with foldlog.Instance.from_url(url) as instance:
        log = instance.log
        report(instance, "run-sealed")
        report(instance, "run-failed", fails=True)
        report(instance, "run-gone-but-for-assets")
        report(instance, "run-gone")
        report(instance, "Lauf-Ä-ö 7")
        for number in range(12):
            tick = f"tick-{number}"
            log.append(
                "@ticks",
                [
                    Event.now(events.TickStarted(tick_id=tick, instigator="hourly")),
                    Event.now(events.TickSkipped(tick_id=tick, instigator="hourly")),
                ],
                key=UUID(int=1000 + number),
            )
        instance.add_dynamic_partitions("cities", ["berlin", "bern", "zürich"])
        log.append("run-open", [Event.now(events.RunCreated(job_name="nightly-load"))], key=UUID(int=1))
        log.append(
            "run-open", [Event.now(events.LogMessage(text=f"batch {number}")) for number in range(40)], key=UUID(int=2)
        )
        head = log.catch_up()
        log.trim(Retention.LOG, head.position // 2)
        instance.delete_run("run-gone-but-for-assets")
        instance.delete_run("run-gone", keep_assets=False)
        log.seal("run-sealed")
        log.seal("run-failed")
        log.backend.start_epoch("for the golden log")  # type: ignore[attr-defined]
        report(instance, "run-of-epoch-2")
        log.catch_up()
    with foldlog.open_log(url) as log:  # no views here, so that nobody sequences
        again = log.append("run-open", [Event.now(events.RunCreated(job_name="nightly-load"))], key=UUID(int=1))
        if not again.duplicate:
            raise SystemExit("a retry was recorded twice")
        log.append("run-open", [Event.now(events.LogMessage(text="pending")) for _ in range(3)], key=UUID(int=3))
        log.append("run-new", [Event.now(events.RunCreated(job_name="nightly-load"))])
        log.append("run-sealed", [Event.now(events.LogMessage(text="late"))])
        log.append("@queue", [Event.now(events.LogMessage(text="pending, of no run"))])


def keep_home(folder: Path, name: str) -> None:
    for path in folder.glob("views.db*"):  # not part of a log
        path.unlink()
    with tarfile.open(HERE / f"{name}.tar.gz", "w:gz", compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.endswith("-shm") and path.parent.name != "writers":
                archive.add(path, path.relative_to(folder))


def keep_schema(url: str) -> None:
    """The log's own tables as INSERTs, without what depends on the server's release."""
    tables = ("log", "epoch", "shard", "event", "news", "timeline", "timeline_type", "kept")
    wanted = [f"--table=foldlog.{table}" for table in tables]
    command = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-comments", *wanted, url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.split("\n") if not re.match(r"--|SET |\\|SELECT pg_catalog.set_config", line)]
    text = re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()
    (HERE / "postgres.sql").write_text(f"CREATE SCHEMA foldlog;\n{text}\n", encoding="utf-8")


def main(folder: Path, postgres: str) -> None:
    try:
        from foldlog.backends.postgres.schema import FORMAT  # type: ignore[import-not-found]  # where that release had it
    except ImportError:
        raise SystemExit(
            "this release writes another format; the golden logs of format 1 are kept as they are"
        ) from None
    print(f"format {FORMAT}")
    urls = {
        "sharded": f"sqlite:///{folder}/sharded",
        "consolidated": f"sqlite:///{folder}/consolidated?layout=consolidated",
        "postgres": postgres,
    }
    said = {}
    for name, url in urls.items():
        fill(url)
        if name == "postgres":
            keep_schema(url)
        else:
            keep_home(folder / name, name)
        said[name] = answers(url)
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[")
    (HERE / "answers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
