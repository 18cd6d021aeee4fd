"""Tags of runs that foldlog sets itself, and reads."""

from __future__ import annotations

from typing import Final

PARTITION_TAG: Final = "foldlog/partition"  #: of a run that is of one partition: its key
BACKFILL_TAG: Final = "foldlog/backfill"  #: of a run that is of a backfill: its id
RESUME_TAG: Final = "foldlog/is_resume_retry"  #: of a run that goes on where its parent failed: `true`

OWN_TAGS: Final = {  #: to what a caller writes who wants what the tag tells
    PARTITION_TAG: "Give the partition: partition_key='...', or --partition.",
    BACKFILL_TAG: "Leave it out: materialize_partitions, or `foldlog backfill`, sets it.",
    RESUME_TAG: "Leave it out: reexecute_job(..., from_failure=True) sets it.",
}
