"""`foldlog job`: what code defines to be done. Its commands: job_list.py, job_execute.py."""

from __future__ import annotations

import click

from .groups import ListOrExecute
from .job_execute import execute
from .job_list import list_jobs
from .options import examples


@click.group(
    "job",
    cls=ListOrExecute,
    epilog=examples(
        "foldlog job list -f jobs.py --steps",
        "foldlog job execute nightly -f jobs.py --config prod.yaml",
        "foldlog job execute nightly -m acme.pipelines --from-failure 4f1c",
    ),
)
def command() -> None:
    """List the jobs that code defines, or execute one.

    What the code defines is here; what the log knows of runs is in `foldlog runs`. Without a command, `list`.

    The code is a module (-m), a file (-f), or what [tool.foldlog] in pyproject.toml names.
    """


command.add_command(list_jobs)
command.add_command(execute)
