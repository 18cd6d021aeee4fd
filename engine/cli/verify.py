"""`foldlog verify`: proves the views equal to the log, or names the rows that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import UnavailableError
from .forms import jsonable
from .main import FOUND, OK
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import Cell, Styled, clean, print_json, say, table

if TYPE_CHECKING:
    from ..views.verify import Altered, Verification, ViewVerified


@click.command(
    "verify",
    epilog=examples(
        "foldlog verify",
        "foldlog verify --view runs",
        "foldlog verify --json | jq .ok",
        "foldlog verify --against postgresql://user@host/name",
    ),
)
@click.option("--view", metavar="NAME", help="Only this view; `foldlog status` lists them.")
@click.option("--against", metavar="URL", help="Compare with another log instead: is all it holds here, the same?")
@json_option("One JSON document")
@log_option
def command(target: Target, view: str | None, against: str | None, as_json: bool) -> int:
    """Prove that the views are what the log says.

    Folds each view once more from the log, in a scratch file, and compares row by row with what is kept. Programs may
    read and write meanwhile. Ends with 3 if a view is not what the log says; the rows are named, and `foldlog
    rebuild` mends them.

    With --against no view is looked at: two logs are compared, position by position, down to the bytes. Ends with 3
    if the other holds anything that is not here, or is not the same here.
    """
    if against is not None:
        if view is not None:
            raise click.UsageError("--view is about views, --against about two logs: give one of them")
        from .compare import compare

        return compare(target, against, as_json=as_json)
    with existing_instance(target) as instance:
        with progress("verifying", unit="events") as report:
            verdict = instance.verify(view, progress=report)
        wanted = (view,) if view is not None else instance.views.names
    if missing := [name for name in wanted if name not in digests(verdict)]:
        error = UnavailableError(f"{', '.join(missing)}: moved on, again and again, while it was looked at")
        error.remedy = "Run the command again."
        raise error
    if as_json:
        print_json({"ok": verdict.ok, "position": verdict.position, "views": [_form(one) for one in verdict.views]})
    else:
        print_verdict(verdict)
    return OK if verdict.ok else FOUND


def digests(verdict: Verification) -> dict[str, str]:
    """The digest of each view, as its rows lie."""
    return {one.view: one.digest for one in verdict.views}


def print_verdict(verdict: Verification) -> None:
    """A table of the views, and what is wrong with them."""
    table(("view", "rows#", "position#", "digest of the rows", "from the log"), [_row(one) for one in verdict.views])
    if verdict.ok:
        say("identical: every view is what the log says", "green")
        return
    for one in verdict.views:
        for problem in one.problems():
            say(clean(problem), "red")
        if one.stopped is not None:
            say(
                f"what to do: let this program know the kind, or `foldlog rebuild --view {one.view}` with one that does"
            )
        elif not one.ok:
            say(f"what to do: `foldlog rebuild --view {one.view}` folds it from the log again")


def _row(one: ViewVerified) -> list[Cell]:
    outcome = Styled("identical", "green") if one.ok else Styled("STOPPED" if one.stopped else "DIFFERENT", "red")
    return [one.view, one.rows, one.position, one.digest, outcome]


def _form(one: ViewVerified) -> dict[str, Any]:
    return {
        "name": one.view,
        "ok": one.ok,
        "position": one.position,
        "rows": one.rows,
        "digest": one.digest,
        "rebuilt_digest": one.rebuilt_digest,
        "running_digest": one.running_digest,
        "stopped": one.stopped,
        "differences": [_difference(altered) for altered in one.altered],
    }


def _difference(altered: Altered) -> dict[str, Any]:
    form: dict[str, Any] = jsonable(altered)
    del form["view"]
    return form
