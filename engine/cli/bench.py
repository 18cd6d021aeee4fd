"""`foldlog bench`: the workloads of benchmarks/."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import examples

NAMES = (
    *("append", "batch", "processes", "read", "serdes", "space", "startup", "jobs"),
    *("questions", "rebuild", "live", "verify"),
)
LONG = ("open-runs", "flat")  #: only by name: minutes to fill

SERVERS = "servers"  #: all of the next line
ON_SERVERS = ("append", "batch", "processes", "read", "space", "follow", "copy", "questions")
LONG_ON_SERVERS = ("flat",)
ONLY_ON_SERVERS = ("follow", "copy")

OBJECTS = "objects"  #: all of the next line, or those that are named beside it
ON_OBJECTS = ("append", "puts", "scale", "open", "read", "idle", "local")
ONLY_ON_OBJECTS = ("puts", "scale", "open", "idle", "local")
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")  #: schemes

NO_SERVER = """{name} measures a server, and none is named. Name one, or several, with --url or FOLDLOG_BENCH_URL:

  foldlog bench {name} --url postgresql://user:password@host/database
  foldlog bench {name} --url mysql://user:password@host/database

It makes schemas (on MySQL: databases) of its own there and drops them, so the user needs the right to make some.
In foldlog's repository, `make bench-servers` starts throwaway servers and measures those."""


@click.command(
    "bench",
    epilog=examples(
        "foldlog bench",
        "foldlog bench append batch --rounds 9",
        "foldlog bench jobs --peer ./peer-venv/bin/python",
        "foldlog bench servers --url postgresql://me@host/name",
        "foldlog bench flat --url postgresql://me@host/name --events 5000000",
        "foldlog bench objects",
        "foldlog bench objects append puts --rounds 9",
        "foldlog bench objects --url s3://bucket/prefix",
        "foldlog bench --markdown",
    ),
)
@click.argument(
    "names",
    nargs=-1,
    type=click.Choice([*NAMES, *LONG, SERVERS, *ONLY_ON_SERVERS, OBJECTS, *ONLY_ON_OBJECTS]),
    metavar="[WORKLOAD]...",
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    envvar="FOLDLOG_BENCH_URL",
    help="Measure on this server, or for objects in this bucket; may be repeated.  [env: FOLDLOG_BENCH_URL]",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Rounds of each contest.")
@click.option(
    "--events",
    "sizes",
    multiple=True,
    type=click.IntRange(min=1000),
    metavar="N",
    help="For flat on a server: a history of so many events; may be repeated.  [default: 1000000]",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Where to write; the disk to measure.  [default: the system's temporary folder]",
)
@click.option(
    "--peer",
    metavar="PYTHON",
    help="For jobs: a Python that has dagster, to execute the same chains in a process of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--markdown", is_flag=True, help="A table to paste.")
@click.option("--raw-code", is_flag=True, help="Print the code of the limit as well.")
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    urls: tuple[str, ...],
    rounds: int,
    sizes: tuple[int, ...],
    folder: Path | None,
    peer: str | None,
    as_json: bool,
    markdown: bool,
    raw_code: bool,
) -> None:
    """Measure foldlog against the raw driver on this machine.

    Both run in turn within each round; the figure is the median of the rounds' ratios. WORKLOADs are append, batch,
    processes, read, serdes, space, startup, jobs, questions, rebuild, live and verify; all of them without a name,
    which takes some minutes. Only by name, for they take long to fill: open-runs and flat.

    With --url, a PostgreSQL or MySQL server is measured instead: append, batch, processes, read, space, follow, copy
    and questions, which are together called servers, and by name flat. It works in schemas (on MySQL: databases) of its
    own there, and drops them.

    With objects, the log on object storage is measured: append, puts, scale, open, read, idle and local, all of them
    or those that are named beside it, on a store in memory that answers as slowly as a distant one; local, on files.
    With --url s3://BUCKET/PREFIX as well, that bucket, below a prefix that is emptied at the end.
    """
    from ...benchmarks import report
    from ...benchmarks.servers.server import server_at

    urls = urls or ((ctx.obj,) if ctx.obj else ())
    on_objects = OBJECTS in names
    if on_objects:
        names, urls = _chosen_objects(names), tuple(url for url in urls if _is_bucket(url))
    else:
        urls = tuple(url for url in urls if not _is_bucket(url)) or urls
        names = _chosen(names, bool(urls))
    servers = [] if on_objects else [server_at(url) for url in urls]
    if not (urls or on_objects) and peer is None and "jobs" in names:
        click.echo("jobs: without a peer; --peer PYTHON names one that has dagster", err=True)
    outcomes = []
    running = (
        report.run_objects(names, urls, rounds=rounds, folder=folder)
        if on_objects
        else report.run(names, rounds=rounds, folder=folder, peer=peer, servers=servers, sizes=sizes)
    )
    for outcome in running:
        outcomes.append(outcome)
        if not (as_json or markdown):
            cells = dict(zip(report.HEADINGS, report.row(outcome), strict=True))
            click.echo(
                "  ".join(
                    f"{name} {cell}" if name in ("raw", "foldlog", "goal") else cell
                    for name, cell in cells.items()
                    if cell
                )
            )
    machine = report.machine(servers, objects=on_objects)
    if as_json:
        document = {"machine": machine, "workloads": [report.as_dict(one) for one in outcomes]}
        click.echo(json.dumps(document, indent=2))
    elif markdown:
        click.echo(report.markdown(outcomes))
    else:
        click.echo("  ".join(f"{name} {value}" for name, value in machine.items()))
    if raw_code:
        click.echo(report.raw_code(servers, objects=on_objects))


def _chosen_objects(names: tuple[str, ...]) -> tuple[str, ...]:
    """The workloads on objects to run, each once."""
    for name in names:
        if name not in (OBJECTS, *ON_OBJECTS):
            raise click.UsageError(f"{name} has nothing to do with objects; beside objects: {', '.join(ON_OBJECTS)}")
    return tuple(dict.fromkeys(name for name in names if name != OBJECTS))


def _is_bucket(url: str) -> bool:
    return url.partition(":")[0].lower() in BUCKETS


def _chosen(names: tuple[str, ...], on_servers: bool) -> tuple[str, ...]:
    """The workloads to run, each once."""
    for name in names:
        if name in ONLY_ON_OBJECTS:
            raise click.UsageError(f"{name} is of the log on object storage: foldlog bench {OBJECTS} {name}")
    if not on_servers:
        for name in names:
            if name in (SERVERS, *ONLY_ON_SERVERS):
                raise click.UsageError(NO_SERVER.format(name=name))
        return tuple(dict.fromkeys(names or NAMES))
    chosen: list[str] = []
    for name in names or (SERVERS,):
        if name not in (SERVERS, *ON_SERVERS, *LONG_ON_SERVERS):
            raise click.UsageError(f"{name} has nothing to do with a server; leave out --url (and FOLDLOG_BENCH_URL)")
        chosen += ON_SERVERS if name == SERVERS else (name,)
    return tuple(dict.fromkeys(chosen))
