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


@click.command(
    "bench",
    epilog=examples(
        "foldlog bench",
        "foldlog bench append batch --rounds 9",
        "foldlog bench jobs --peer ./peer-venv/bin/python",
        "foldlog bench --markdown",
    ),
)
@click.argument("names", nargs=-1, type=click.Choice([*NAMES, *LONG]), metavar="[WORKLOAD]...")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Rounds of each contest.")
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
def command(
    names: tuple[str, ...],
    rounds: int,
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
    """
    from ...benchmarks import report

    if peer is None and "jobs" in (names or NAMES):
        click.echo("jobs: without a peer; --peer PYTHON names one that has dagster", err=True)
    outcomes = []
    for outcome in report.run(names or NAMES, rounds=rounds, folder=folder, peer=peer):
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
    if as_json:
        document = {"machine": report.machine(), "workloads": [report.as_dict(one) for one in outcomes]}
        click.echo(json.dumps(document, indent=2))
    elif markdown:
        click.echo(report.markdown(outcomes))
    else:
        click.echo("  ".join(f"{name} {value}" for name, value in report.machine().items()))
    if raw_code:
        click.echo(report.raw_code())
