"""Options that commands share: which log, and whether a script reads the answer.

Not here: opening the log (opening.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import click

if TYPE_CHECKING:
    from ..config.configuration import Configuration

F = TypeVar("F", bound=Callable[..., Any])


class Target(NamedTuple):
    """The log that a command works on, and who said so."""

    url: str
    source: str  #: `--url`, `FOLDLOG_URL`, `FOLDLOG_HOME`, the configuration file, or `default`
    configuration: Configuration | None = None  #: what opens it, if a configuration file names it

    @property
    def shown(self) -> str:
        """For people: the URL without its password, and where it came from if not from the command line."""
        from ...backends import without_password

        url = without_password(self.url)
        return (
            url
            if self.source == "--url"
            else f"{url} (from {self.source})"
            if self.source != "default"
            else (f"{url} (the default; --url or FOLDLOG_URL names another)")
        )


def target(given: str | None) -> Target:
    """The log that the command line names, or the environment, or the default: the folder ./history.

    Raises UsageError for a configuration file in FOLDLOG_HOME that is wrong.
    """
    if given is not None:
        if not given:  # as from --url "$UNSET": the default could be another log than was meant
            raise click.UsageError("--url is empty; leave it out for the default log")
        return Target(given, "--url")
    if url := os.environ.get("FOLDLOG_URL"):
        return Target(url, "FOLDLOG_URL")
    if home := os.environ.get("FOLDLOG_HOME"):
        return _configured(Path(home)) or Target(sqlite_url(Path(home) / "history"), "FOLDLOG_HOME")
    return Target("sqlite:///./history", "default")


def _configured(home: Path) -> Target | None:
    """The log that foldlog.yaml in the folder names, if there is that file."""
    from ..config.home import file_in

    if (file := file_in(home)) is None:
        return None
    from ..config.configuration import Configuration

    configuration = Configuration.read(file)
    storage = configuration.storage()
    return Target(storage.url or storage.shown, str(file), configuration)


def sqlite_url(folder: Path) -> str:
    """The URL of a log in a folder: four slashes when it is absolute."""
    return f"sqlite:///{quote(str(folder))}"


def _to_target(ctx: click.Context, _: click.Parameter, given: str | None) -> Target:
    return target(ctx.obj if given is None else given)


def log_option(function: F) -> F:
    """`--url`, handed to the command as `target: Target`."""
    option = click.option("--url", "target", metavar="URL", callback=_to_target, help="The log; see `foldlog --help`.")
    return option(function)


def json_option(what: str) -> Callable[[F], F]:
    """`--json`, handed to the command as `as_json`; `what` says in which form."""
    return click.option("--json", "as_json", is_flag=True, help=f"{what}, for scripts; times in microseconds, UTC.")


def examples(*lines: str) -> str:
    """The end of a command's help: commands to try, as they are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
