"""`foldlog runs` and its like: a bare command lists; `list`, and `show` or what else it does, are commands of their
own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import click

HELP = ("-h", "--help")


class ListOrShow(click.Group):
    """`NAME` and `NAME --option` are `NAME list`; whoever writes `NAME THING` learns of `NAME show THING`."""

    hint: ClassVar[str] = "write `foldlog {name} show {thing}` to see one; `list` lists them"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in HELP):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            hint = self.hint.format(name=self.name, thing=args[0])
            raise click.UsageError(f"{_meant(args[0], self.commands)}{hint}", ctx)
        return super().resolve_command(ctx, args)


class ListOrExecute(ListOrShow):
    """The same of jobs; whoever writes `job NAME` learns of `job execute NAME`."""

    hint = "write `foldlog {name} execute {thing}` to execute one; `list` lists them"


class ListOrMaterialize(ListOrShow):
    """The same of assets in code."""

    hint = "write `foldlog {name} materialize --select {thing}` to make one; `list` lists them"


class ListShowOrResume(ListOrShow):
    """The same of backfills."""

    hint = "write `foldlog {name} show {thing}` to see one, `resume` to go on with it, `cancel` to have it stop"


def _meant(word: str, commands: Iterable[str]) -> str:
    """The command that was probably meant: `exec`, `materialise`; else nothing, for a name may be anything."""
    from difflib import get_close_matches

    begun = [name for name in commands if len(word) > 2 and name.startswith(word.lower())]
    close = begun or get_close_matches(word.lower(), list(commands), n=1, cutoff=0.75)
    return f"there is no command {word!r}; did you mean {close[0]!r}? Else " if close else ""
