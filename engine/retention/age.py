"""Which position of the timeline an age stands for."""

from __future__ import annotations

from ..log.log import EventLog


def last_position_before(log: EventLog, cutoff_us: int) -> int:
    """The last position whose receipt the store took before a moment; 0 if there is none.

    A search of about 25 receipts, whatever the size of the log. Times of receipts rise along the timeline but for
    little: it may be off by what was appended within the same moment.
    """
    low, high = 0, log.head().position
    while low < high:
        (entry,) = log.backend.placed(after=(low + high + 1) // 2 - 1, limit=1)
        if entry.receipt.at_us < cutoff_us:
            low = entry.last_position
        else:
            high = entry.position - 1
    return low
