"""`foldlog verify --against`: two logs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .forms import jsonable
from .main import FOUND, OK
from .moving_reports import reported
from .opening import existing_log
from .options import Target
from .show import clean, print_json, say

if TYPE_CHECKING:
    from ...migrations.moving import Comparison


def compare(target: Target, against: str, *, as_json: bool) -> int:
    """Whether everything of the log at `against` is in the log, the same."""
    from ...migrations import moving

    with existing_log(target) as log, reported("comparing", unit="positions") as (report, _):
        found = moving.compare_logs(log, against, progress=report)
    if as_json:
        print_json({"ok": found.same, **jsonable(found)})
    else:
        _print(found)
    return OK if found.same else FOUND


def _print(found: Comparison) -> None:
    say(f"compared {found.positions:,} positions and {found.shards:,} shards")
    if found.log_id != found.other_log_id:
        say(f"the log ids differ, {found.log_id} here and {found.other_log_id} there: a fork, or another log")
    if found.after:
        say(f"this log goes on for {found.after:,} events")
    if found.freed:
        say(f"{found.freed:,} events were deleted or trimmed in one of them since")
    if found.lacking:
        say(f"this log lacks the other's last {found.lacking:,} events", "red")
    if found.first is not None:
        differences = "1 difference" if found.differences == 1 else f"{found.differences:,} differences, the first"
        say(clean(f"{differences}: {found.first}"), "red")
    if found.same:
        say("identical: everything of the other log is here, the same", "green")
    elif found.log_id != found.other_log_id:
        say("what to do: see that both URLs name the logs that are meant; a fork goes its own way behind the fork")
    else:
        say("what to do: `foldlog doctor --full` on both tells whether one of them is damaged")
