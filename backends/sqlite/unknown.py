"""A shard that the order does not know: is it new, or is the order older than the files?

A shard's row is in the order before anything of it is in a file. So a file that holds a shard of which the order knows
nothing says that order.db was put back from an older copy, or was damaged. To write there would give the shard's
positions twice; to read there would find nothing where there is something.
"""

from __future__ import annotations

from ...engine.errors import CorruptLogError
from .files import FileCache
from .home import Home
from .order import OrderFile


def check_unknown(home: Home, order: OrderFile, files: FileCache, shard: str) -> None:
    """Return if a shard is new. Raises CorruptLogError if it has a place in a file all the same."""
    kind = home.file_of(shard)
    if not kind.path.exists():
        return
    if not home.is_run_file(kind):
        try:
            with files.use(kind) as file:
                if file.db.execute("SELECT 1 FROM shard WHERE name = ?", (shard,)).fetchone() is None:
                    return
        except FileNotFoundError:
            return
    if order.find(shard) is None:  # else another process has made it meanwhile
        raise CorruptLogError(
            f"{kind.path} holds shard {shard}, of which {order.path} knows nothing: the order was damaged, or put back "
            "from an older copy; restore the newest, or run `foldlog doctor --adopt`"
        )
