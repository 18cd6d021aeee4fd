"""`foldlog runs` and its like: a bare command lists; `list`, and `show` or what else it does, are commands of their
own."""

from __future__ import annotations

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
            raise click.UsageError(self.hint.format(name=self.name, thing=args[0]), ctx)
        return super().resolve_command(ctx, args)


class ListOrExecute(ListOrShow):
    """The same of jobs; whoever writes `job NAME` learns of `job execute NAME`."""

    hint = "write `foldlog {name} execute {thing}` to execute one; `list` lists them"


class ListOrMaterialize(ListOrShow):
    """The same of assets in code."""

    hint = "write `foldlog {name} materialize --select {thing}` to make one; `list` lists them"
