"""`foldlog runs` and its like: a bare command lists, `list` and `show` are commands of their own."""

from __future__ import annotations

import click

HELP = ("-h", "--help")


class ListOrShow(click.Group):
    """`NAME` and `NAME --option` are `NAME list`; whoever writes `NAME THING` learns of `NAME show THING`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in HELP):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            raise click.UsageError(f"write `foldlog {self.name} show {args[0]}` to see one; `list` lists them", ctx)
        return super().resolve_command(ctx, args)
