"""Open the log or instance that a command works on, and never make one by mistake. Executing makes one by intent.

A log is first opened for reading, which creates nothing. Only then is it opened for writing, for a reader that may
write takes in what was committed and not yet ordered, and its answers hold every acknowledged event. Where this user
may not write, the answer is as of what others have taken in, and a note says so.
Not here: which log (options.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import FoldlogError, ReadOnlyError, UnavailableError, UsageError
from .show import say

if TYPE_CHECKING:
    from ..instance import Instance
    from ..log.log import EventLog
    from .options import Target

LONG = 50_000  #: events; so many take a second or more to be folded
NO_LOG = (
    "Check the URL. A log is made by the first program that writes to it; `foldlog demo` makes one to look at, and "
    "`foldlog --help` says how a URL is written."
)


@contextmanager
def existing_log(target: Target, *, write: bool = False, look_only: bool = False) -> Iterator[EventLog]:
    """The log, which must exist. `write`: no falling back to reading; `look_only`: reading, whatever one may do."""
    _require(target)
    if look_only:
        with _log(target, read_only=True) as log:
            yield log
        return
    try:
        log = _log(target)
        if not write:
            _try_writing(log)
    except (ReadOnlyError, UnavailableError):
        if write:
            raise
        say(_AS_OF, err=True)
        log = _log(target, read_only=True)
    with log:
        yield log


@contextmanager
def existing_instance(target: Target, *, write: bool = False) -> Iterator[Instance]:
    """The instance on a log that must exist. `write`: no falling back to reading."""
    _require(target)
    try:
        instance = _instance(target)
        if not write:
            _try_writing(instance)
    except (ReadOnlyError, UnavailableError):
        if write:
            raise
        say(_AS_OF, err=True)
        instance = _reading_instance(target)
    with instance:
        _warn_of_waiting(instance)
        yield instance


@contextmanager
def executing_instance(target: Target) -> Iterator[Instance]:
    """The instance that runs are recorded in; its log is made if there is none, for executing is writing."""
    with _instance(target) as instance:
        _warn_of_waiting(instance)
        yield instance


def log_exists(target: Target) -> bool:
    """Whether there is a log at the URL; False too for a URL that is wrong, which opening tells."""
    try:
        _require(target)
    except UsageError:
        return False
    return True


def _try_writing(opened: EventLog | Instance) -> None:
    """Take in what is new, which the command would do a moment later; what was opened is closed if that fails.

    A SQLite home without the right to write refuses to be opened so. A server, or a store of objects, says it only when
    something is written: raises ReadOnlyError then, and nothing where there was nothing to write.
    """
    from ..log.log import EventLog
    from ..log.port import HasHome

    log = opened if isinstance(opened, EventLog) else opened.log
    if isinstance(log.backend, HasHome):
        return
    try:
        log.catch_up()
        if not isinstance(opened, EventLog):
            _warn_of_waiting(opened)
            opened.views.projector.catch_up()
    except BaseException:
        opened.close()
        raise


def _warn_of_waiting(instance: Instance) -> None:
    """Tell people why the first question takes its time: the views are behind, and take in what they lack."""
    if sys.stderr.isatty():
        behind = instance.log.head().position - instance.position
        if behind > LONG:
            say(f"taking in {behind:,} events first", err=True)


def _log(target: Target, *, read_only: bool = False) -> EventLog:
    from ..open import open_log, open_storage

    if target.configuration is None:
        return open_log(target.url, read_only=read_only)
    return open_storage(target.configuration, target.configuration.storage(), read_only=read_only)


def _instance(target: Target, *, read_only: bool = False) -> Instance:
    from ..instance import Instance

    if target.configuration is None:
        return Instance.from_url(target.url, read_only=read_only)
    return Instance.from_ref(replace(target.configuration.ref, read_only=read_only))


def _reading_instance(target: Target) -> Instance:
    """An instance that writes nothing; where nobody has kept views of this release, it folds its own in memory."""
    from ..instance import Instance

    instance = _instance(target, read_only=True)
    try:
        instance.position  # noqa: B018  # opens the views
    except ReadOnlyError:
        instance.close()
        instance = Instance(_log(target, read_only=True), views="memory://")
    return instance


_AS_OF = "foldlog: this user may not write to the log: the answer is as of what others have taken in"


def _require(target: Target) -> None:
    """Raise UsageError, with what to do, if there is no log at the URL."""
    if target.url.partition(":")[0].lower() == "memory":
        error = UsageError(f"{target.url}: a log in memory lives in one process, so no command can look at it")
        error.remedy = "Give the log a place, as sqlite:///./history."
        raise error
    try:
        _log(target, read_only=True).close()
    except UsageError as error:
        if error.has_own_remedy:  # as that of a log of an older format
            raise
        error.remedy = NO_LOG
        if target.configuration is not None:
            error.remedy += f" It is named by `storage` in {target.source}."
        elif ":" not in target.url:
            error.remedy = f"If that is the folder of a log, write sqlite:///{target.url}."
        elif target.source != "--url":
            error.remedy += f" This URL is {'the default' if target.source == 'default' else f'from {target.source}'}."
        raise


def find_run(log: EventLog, given: str) -> str:
    """The run id that begins with `given`, if there is just one. Raises UsageError if there is none, or several."""
    if log.backend.find_shard(given) is not None:
        return given
    # Names come in code point order, so what begins with `given` comes right after it.
    matches = [shard.name for shard in log.shards(after=given, limit=6) if shard.name.startswith(given)]
    if len(matches) == 1:
        return matches[0]
    error: FoldlogError
    if matches:
        error = UsageError(
            f"several runs begin with {given!r}: {', '.join(matches[:5])}{', ...' if len(matches) > 5 else ''}"
        )
        error.remedy = "Give more of the run id."
    else:
        error = UsageError(f"there is no run {given!r}")
        error.remedy = "List the runs with `foldlog runs`; the beginning of an id is enough."
    raise error
