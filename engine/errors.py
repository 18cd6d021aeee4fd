"""What can go wrong, sorted by the next move of whoever catches it.

FoldlogError
    ConflictError            the shard has moved on: read it, decide again, append under a fresh key
        AppendKeyConflict      the key recorded other facts: find out who reused it
        ShardPurged            the shard was deleted for good: start another run
    UnavailableError         the store gave no answer: repeat the call as it was, with the same key
    CorruptLogError          what is stored does not add up: stop writing, verify, restore
        HistoryDiverged        the cursor is from another history: rebuild the reader's state
    LogMoved                 the log takes no appends here: use it where it went, or complete the copy
    UserCodeError            code of a user raised; the cause is its error: correct that code
    ViewStopped              a view cannot take in an event: correct the fold, then rebuild that view
    UsageError               the call can never succeed: change the code or the setting (also a ValueError)
        ReadOnlyError          the log was opened for reading: open it for writing
        EncodingError          a value cannot be stored: change the value at the path
"""

from __future__ import annotations


class FoldlogError(Exception):
    """Root of everything foldlog raises on purpose. `remedy` says what to do next."""

    remedy = "Read the message; it names the thing and the place."

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        """What a traceback prints below the message: the remedy first, then what `add_note` was given."""
        # One list, kept: `add_note` appends to what it is given here. The remedy is looked up anew, for it is often set
        # after the error was made.
        notes: list[str] = self.__dict__.setdefault("_notes", [""])
        notes[0] = f"What to do: {self.remedy}"
        return notes

    @property
    def has_own_remedy(self) -> bool:
        """Whether it says more of what to do than its class does."""
        return "remedy" in self.__dict__


class ConflictError(FoldlogError):
    """The shard is not where the writer thought it was; nothing was written."""

    remedy = "Read the shard, decide again, and append under a fresh key."


class AppendKeyConflict(ConflictError):
    """The key was used before for other facts; nothing was written."""

    remedy = "Use a fresh key for each decision, and the same key only to retry it."


class ShardPurged(ConflictError):
    """The shard was deleted for good and takes no events any more; nothing was written."""

    remedy = "A deleted run never comes back; start another run under a new id."


class UnavailableError(FoldlogError):
    """The store gave no answer in time. An append may or may not have landed."""

    remedy = "Repeat the call with the same key; what has landed is not recorded twice."


class CorruptLogError(FoldlogError):
    """What is stored does not add up: a damaged file, a missing file, another program's file."""

    remedy = "Stop writing, run `foldlog doctor`, and restore the named file from a backup."


class HistoryDiverged(CorruptLogError):
    """The cursor belongs to another log, or to a history this log no longer holds."""

    remedy = "The log was restored or replaced: drop what this reader has kept and read from the start."


class LogMoved(FoldlogError):
    """The log takes no appends: it went elsewhere, or is being copied to this place. Nothing was written."""

    remedy = "Let the program open the log in the place it has moved to, which the message names."


class ViewStopped(FoldlogError):
    """A view cannot take in an event. The log and the other views go on."""

    remedy = "Correct the fold named here, then run `foldlog rebuild --view NAME`."


class UserCodeError(FoldlogError):
    """Code of a user raised, at the place that the message names. `__cause__` is its error."""

    remedy = "Correct the code that raised; its own error is the cause of this one."


class UsageError(FoldlogError, ValueError):
    """The call can never succeed as it is."""

    remedy = "Change the call, the URL or the setting that the message names."


class ReadOnlyError(UsageError):
    """The log was opened with `read_only=True`, or lies where this process may not write."""

    remedy = "Open the log for writing, or run the command as a user who may write there."


class EncodingError(UsageError):
    """A value cannot be stored; the message has the path to it."""

    remedy = "Change the value at that path; times are integer microseconds, keys are text."


def fault(problem: str, remedy: str) -> UsageError:
    """The error of a call that can never succeed, with what to do about it."""
    error = UsageError(problem)
    error.remedy = remedy
    return error
