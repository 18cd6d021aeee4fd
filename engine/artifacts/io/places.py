"""Where the file of a value is, below the base of an IO manager.

    runs/RUN/STEP/OUTPUT                   and behind it the ending of the format
    runs/RUN/STEP/OUTPUT/MAPPING_KEY
    assets/PART/PART
    assets/PART/PART/partitions~/PARTITION

Promises: any text is a safe name; no two values share a file, and no file has the name of a folder.
"""

from __future__ import annotations

from ..names import file_name
from .formats import FORMATS
from .value_id import ValueId

PARTITIONS = "partitions~"  #: no name is called so: in those that `file_name` gives, `~` has a hash behind it
ENDINGS = tuple(f".{name}" for name in FORMATS)


def place_of(value_id: ValueId) -> str:
    """The place, without the ending. Raises UsageError for a name that is empty."""
    if value_id.asset_key is None:
        *folders, last = value_id.path
        return _joined("runs", *map(_folder, folders), file_name(last))
    parts = value_id.asset_key.parts
    if value_id.partition_key is None:
        return _joined("assets", *map(_folder, parts[:-1]), file_name(parts[-1]))
    return _joined("assets", *map(_folder, parts), PARTITIONS, file_name(value_id.partition_key))


def _folder(name: str) -> str:
    """The name of a folder, which is that of no value's file."""
    name = file_name(name)
    return f"{name}~" if name.endswith(ENDINGS) else name


def _joined(*names: str) -> str:
    return "/".join(names)
