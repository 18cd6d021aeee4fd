"""`--select`: which steps or assets, in one syntax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
SYNTAX = (
    "`a`, `*a` with all upstream, `a+` with one level downstream, `group:x`, `tag:team=growth`, "
    "`a and not b` (docs/definitions.md, Selections)"
)


def select_option(what: str, *, default: tuple[str, ...] = ()) -> Callable[[F], F]:
    """`--select`, handed to the command as `select`, a tuple of expressions. `what` it narrows down."""
    words = f"{what}: {SYNTAX}. May be repeated."
    return click.option(
        "--select", multiple=True, default=default, show_default=bool(default), metavar="EXPR", help=words
    )
