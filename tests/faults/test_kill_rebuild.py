"""Rebuilds killed with SIGKILL before a statement (P9): in the middle of a page, between pages, in the middle of the
switch. Whoever comes next is answered as before, and finishes what was begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from children import start

from foldlog import Event, Instance, events
from foldlog.engine.views.checkpoints import BUILDING

REBUILDER = Path(__file__).with_name("rebuilder.py")
POINTS = 12


def fill(url: str, views: str | None) -> None:
    with Instance.from_url(url, views=views) as instance:
        for number in range(6):
            with instance.run("job", run_id=f"run-{number}", tags={"n": str(number)}) as run, run.step("load"):
                run.materialize("a", partition=str(number))
        instance.get_runs_count()
        instance.rebuild("runs")  # so that there is a generation to go back to


def killed(url: str, views: str | None, deed: str, statement: int) -> int:
    """The child's exit code."""
    child = start(url, deed, statement, *([views] if views else []), script=REBUILDER)
    child.communicate(timeout=60)
    return child.returncode


def length(url: str, views: str | None, deed: str) -> int:
    child = start(url, deed, 10**9, *([views] if views else []), script=REBUILDER)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return int(said)


@pytest.mark.parametrize("deed", ["rebuild", "roll_back"])
@pytest.mark.parametrize("store", ["sqlite", "postgres", "views-in-mysql"])
def test_killed_before_any_statement_nothing_is_lost(
    store: str, deed: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if store == "postgres" else f"sqlite:///{tmp_path}/h"
    views = request.getfixturevalue("mysql_url") if store == "views-in-mysql" else None
    fill(url, views)
    steps = length(url, views, deed)
    assert steps > POINTS
    with Instance.from_url(url, views=views) as stays:
        for point in range(POINTS):
            # The end of the deed is the switch: half of the points are there.
            statement = steps * point // POINTS + 1 if point % 2 else steps - point
            assert killed(url, views, deed, statement) == -9, (
                f"the deed was over before statement {statement} of {steps}"
            )
            assert stays.get_runs_count(statuses=["SUCCESS"]) == 6
            stays.log.append("run-0", [Event.now(events.LogMessage(text=str(point)))])
            assert stays.verify().problems() == [], statement
        stays.rebuild()
        assert stays.views.store.checkpoints(slot=BUILDING) == {}
        assert stays.verify().ok
        assert stays.get_runs_count(statuses=["SUCCESS"]) == 6
