"""`foldlog job list`: the jobs that code defines, and their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .code_options import CodeChoice, code_options
from .options import examples, json_option
from .show import Cell, clean, print_json, say, table

if TYPE_CHECKING:
    from ..definitions.job import JobDefinition
    from ..definitions.steps import Step


@click.command(
    "list",
    epilog=examples("foldlog job list", "foldlog job list -f jobs.py --steps", "foldlog job list -m acme --json"),
)
@click.option("--steps", "with_steps", is_flag=True, help="Their steps too, and what each waits for.")
@json_option("One JSON document")
@code_options
def list_jobs(code: CodeChoice, with_steps: bool, as_json: bool) -> None:
    """List the jobs that the code defines. `foldlog runs` lists their runs."""
    jobs = list(code.definitions(as_json=as_json).jobs.values())
    if as_json:
        print_json({"jobs": [job_form(job) for job in jobs]})
    elif not jobs:
        say("no jobs; `foldlog asset list` lists assets")
    elif with_steps:
        for number, job in enumerate(jobs):
            _print_steps(job, first=number == 0)
    else:
        rows: list[list[Cell]] = [[job.name, len(job.steps), _partitions(job), _first_line(job)] for job in jobs]
        table(("job", "steps#", "partitions", "description"), rows)


def _print_steps(job: JobDefinition, *, first: bool) -> None:
    if not first:
        say()
    say(clean(job.name), "bold")
    rows: list[list[Cell]] = [[step.key, ", ".join(waits_for(step)), _each(step)] for step in job.steps.values()]
    table(("step", "waits for", "one for each of"), rows)


def waits_for(step: Step) -> list[str]:
    """Keys of the steps before it."""
    return list(dict.fromkeys((*step.upstream, *step.after)))


def _each(step: Step) -> str:
    return ".".join(step.mapped_over) if step.mapped_over is not None else ""


def _partitions(job: JobDefinition) -> str:
    return job.partitions_def.describe() if job.partitions_def is not None else ""


def _first_line(job: JobDefinition) -> str:
    return (job.description or "").strip().partition("\n")[0]


def job_form(job: JobDefinition) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "name": job.name,
        "description": job.description,
        "partitions": _partitions(job) or None,
        "tags": dict(job.tags),
        "assets": [key.to_text() for key in job.asset_keys],
        "steps": [
            {
                "step_key": step.key,
                "op": step.op.name,
                "waits_for": waits_for(step),
                "mapped_over": _each(step) or None,
            }
            for step in job.steps.values()
        ],
    }
