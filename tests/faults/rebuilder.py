"""A child that rebuilds views and kills itself before a statement: `rebuilder.py URL DEED STATEMENT [VIEWS]`.

DEED: `rebuild`, or `roll_back`. Statements are counted from the first one of the deed; what is beyond the end of the
deed kills nobody. Prints how many statements the deed took.
"""

from __future__ import annotations

import os
import signal
import sys

import sqlalchemy as sa

from foldlog import Instance
from foldlog.engine.views import rebuild


def main(url: str, deed: str, statement: int, views: str | None = None) -> None:
    rebuild.PAGE = 20  # several pages, so that a kill may come between them
    with Instance.from_url(url, views=views) as instance:
        instance.get_runs_count()
        count = 0

        def before(*_: object) -> None:
            nonlocal count
            count += 1
            if count == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        engine = instance.views.store.database.engine
        sa.event.listen(engine, "before_cursor_execute", before)
        sa.event.listen(engine, "commit", before)
        if deed == "rebuild":
            instance.rebuild(afresh=True)  # or each would be shorter than the one before
        else:
            instance.roll_back_view("runs")
        print(count)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
