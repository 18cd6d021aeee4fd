"""`foldlog`: finds the command, runs it, and turns what went wrong into what to do.

Promises: a command's module loads only when that command is asked for. Exit codes: 0 done, 1 a foldlog error with its
remedy, 2 wrong usage, 3 a check found something, 130 interrupted, 141 nobody reads the output any more.
Not here: what the commands do (a module each, beside this one).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from ..errors import FoldlogError

OK, FAILED, FOUND, INTERRUPTED, UNREAD = 0, 1, 3, 130, 141

#: command -> (module beside this one, what it does), in the order of `foldlog --help`. The words stand here and not in
#: the modules, so that the help loads none of them; tests/test_cli.py holds them against the commands' own.
COMMANDS = {
    "demo": ("demo", "Run a tour on real data: a weather pipeline and its log."),
    "status": ("status", "Show what a log holds and how far its views are."),
    "runs": ("runs", "List runs, or show what happened in one."),
    "assets": ("assets", "List assets, or show one with its metadata and partitions."),
    "job": ("job", "List the jobs that code defines, or execute one."),
    "asset": ("asset", "List the assets that code defines, or make them."),
    "backfill": ("backfill", "List backfills, show one, go on with it, or have it stop."),
    "partitions": ("partitions", "List dynamic partitions, or the partitions of an asset."),
    "ticks": ("ticks", "List the ticks of schedules and sensors, the newest first."),
    "log": ("log", "Print the events of one run."),
    "tail": ("tail", "Print the end of the timeline, and follow it with -f."),
    "rebuild": ("rebuild", "Throw views away and fold them from the log again."),
    "retry": ("retry", "Let views that have stopped try again."),
    "verify": ("verify", "Prove that the views are what the log says."),
    "doctor": ("doctor", "Look for damage in a log, and say what to do."),
    "backup": ("backup", "Copy a log that is in use to a folder."),
    "copy": ("copy", "Copy a log to another backend, with all its positions."),
    "export": ("export", "Write a log to one file; FILE may be - for the standard output."),
    "import": (
        "import_file",
        "Make a log from a file that `foldlog export` wrote; FILE may be - for the standard input.",
    ),
    "migrate": ("migrate", "Bring a log of an older release to the newest format."),
    "retention": ("retention", "Let old runs, log messages and ticks go."),
    "compact": ("compact", "Put the objects of finished runs together."),
    "collect": ("collect", "Delete objects that nobody needs any more."),
    "delete-run": ("delete_run", "Delete a run for good and free its storage."),
    "config": ("config", "Check the configuration file of an instance."),
    "bench": ("bench", "Measure foldlog against the raw driver on this machine."),
}
EPILOG = """\b
Which log: --url, else FOLDLOG_URL, else what foldlog.yaml in
FOLDLOG_HOME says, else $FOLDLOG_HOME/history, else ./history.
For example:
  sqlite:///./history             a folder, relative
  sqlite:////var/lib/app/history  a folder, absolute (four slashes)
  postgresql://user@host/name     a database
  mysql://user@host/name          the same on MySQL or MariaDB
  s3://bucket/prefix              a bucket; gs:// and az:// likewise
  file:///./history               the same objects in a folder,
                                  also one that machines share

\b
Exit codes: 0 done, 1 failed (the message says what to do),
2 wrong usage, 3 verify, retry, doctor or migrate found something,
130 interrupted, 143 told to end.

\b
Begin with:
  foldlog demo
  foldlog COMMAND --help
"""


class Unread(Exception):
    """Whoever read the output has gone, as `head` does."""


class CommandLine(click.Group):
    """Loads a command's module when it is asked for; offers what was probably meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f".{COMMANDS[name][0]}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"there is no command {name!r}.{_meant(name)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would end with 1, as if something had failed
            raise Unread from error

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """As click's, and with foldlog's exit codes."""
        extra["standalone_mode"] = False
        sys.exit(_guarded(super().main, args, *rest, **extra))


def _meant(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name.lower().replace("_", "-"), COMMANDS, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else " `foldlog --help` lists the commands."


def _guarded(run: Any, *args: Any, **extra: Any) -> int:
    """The exit code of a command, its errors told to people."""
    try:
        code = run(*args, **extra)
        if sys.stdout is not None:
            sys.stdout.flush()
    except FoldlogError as error:
        return _tell(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (Unread, BrokenPipeError):
        _drop_output()
        return UNREAD
    except OSError as error:  # a full disk, a folder without rights: of the machine, not a fault of the program
        _drop_output()
        click.echo(f"foldlog: {error}\nwhat to do: look at the path, its rights, and the space left.", err=True)
        return FAILED
    return code if isinstance(code, int) else OK


def _drop_output() -> None:
    """Python writes what is left when it ends, and would complain once more; let it go nowhere."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: FoldlogError) -> int:
    from .show import clean

    click.echo(f"foldlog: {clean(str(error))}\nwhat to do: {error.remedy}", err=True)
    return FAILED


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from ... import __version__

        click.echo(f"foldlog {__version__}")
        ctx.exit()


def _import(ctx: click.Context, _: click.Parameter, modules: Sequence[str]) -> None:
    if modules:
        sys.path.insert(0, os.getcwd())
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            raise click.UsageError(f"--import {name}: {error}", ctx) from error


@click.group(cls=CommandLine, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", help="The log to work on; also after the command.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    callback=_import,
    expose_value=False,
    help="Import a module first, which registers kinds of facts; from here too. May be repeated.",
)
@click.pass_context
def cli(ctx: click.Context, url: str | None) -> None:
    """An event log for data orchestration, and the views that are folded from it."""
    ctx.obj = url


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The script `foldlog`."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character is no reason to fail
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli.main(argv, prog_name="foldlog")
