"""Move a log, or fork it. Each step leaves the two logs in a state from which the same call goes on.

    copy        entries, page by page, as often as it takes to be near the source's head
    verify      all of it, while the source goes on
    fence       the source takes no appends any more
    tail        what had been acknowledged by then gets its position, and is copied
    mirror      fences, purges and trims of the source
    verify      the tail, and all shards
    epoch       the destination begins one
    open        the destination takes appends

Between `fence` and `open` no log takes appends; killed there, the same call completes it, or `release_log` gives the
source back. Decision: docs/decisions/0024.
"""

from __future__ import annotations

import threading
import time
from typing import Literal, NamedTuple
from uuid import UUID

from ...engine.errors import ConflictError, CorruptLogError, FoldlogError, UsageError, fault
from ...engine.log.cursor import chain_at
from ...engine.log.log import EventLog
from ...engine.log.port import OPEN_GATE, Epoch, Gate, GateState, Head
from . import notes
from .comparing import Comparison, compare
from .mirror import mirror_shards, mirror_trims
from .place import Place, Progress, Told, advised, existing, opened, quiet, untold
from .transfer import check_prefix, transfer

NEAR = 5_000  #: events: so few are copied in a moment, so the source may be fenced
PASSES = 20  #: before a cut-over gives up coming near, for the source grows faster than it is copied
IDLE_S = 0.25  #: between two looks of a copy that follows, at first
IDLEST_S = 2.0  #: and at last, reached by doubling while nothing comes: on a bucket each look has its price

Mode = Literal["follow", "cut_over", "fork", "complete"]


State = Literal["following", "moved", "moved before", "forked", "cut over elsewhere"]


class Moved(NamedTuple):
    """What a copy has come to."""

    state: State
    source: str  #: URL without its password, as below
    destination: str
    log_id: UUID  #: of the destination
    epoch: int  #: of the destination
    position: int  #: up to which it has copied
    copied: int  #: events copied by this call
    held_s: float  #: how long no log took appends; 0 unless this call fenced the source


def copy_log(
    source: str | EventLog,
    destination: str | EventLog,
    *,
    cut_over: bool = False,
    follow: bool = False,
    fork: bool = False,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
) -> Moved:
    """Copy a log to another backend: log id, shards, seqs, positions, keys, times, chain, epochs, deletions.

    `cut_over`: move it. Copies while the source is written, then fences it, copies the tail, verifies, starts an epoch
        and opens the destination. Cursors, keys and positions of the source hold there.
    `follow`: go on copying until `stop` is set, or another call cuts over. The destination takes no appends meanwhile.
    `fork`: a copy that lives a life of its own: another log id, cursors of the source are refused. The source goes on.
    Without any of them: complete a cut-over that was interrupted.
    `source`, `destination`: URLs, or open logs; the destination must be empty, not there yet, or hold a part of this
        very copy. `progress`: called with what is being done, how far it is, and how far it goes. `told`: with each
        step that was completed.

    Killed at any moment, the same call goes on. Raises UsageError for a source that takes appends and none of the
    three, HistoryDiverged or ConflictError for a destination that holds anything else, CorruptLogError if the two are
    not the same in the end.
    """
    if cut_over + follow + fork > 1:
        raise UsageError("cut_over, follow and fork exclude each other: give one of them")
    mode: Mode = "cut_over" if cut_over else "follow" if follow else "fork" if fork else "complete"
    with existing(source, or_read=fork) as here:
        _check_source(here, mode)
        with opened(destination) as there:
            copy = _Copy(here, there, fork, progress or quiet, told or untold)
            return copy.run(mode, stop or threading.Event())


def _check_source(source: Place, mode: Mode) -> None:
    state = source.backend.gate().state
    if state is GateState.RECEIVING and mode != "fork":
        raise fault(f"{source.url} is being filled by a copy itself", "Complete that copy first.")
    if state is GateState.OPEN and mode == "complete":
        raise fault(
            f"{source.url} takes appends, so a copy of it would be old at once",
            "Say what is meant: --cut-over moves the log, --follow copies until a later --cut-over, --fork makes a log "
            "of its own (in the library: cut_over=True, follow=True, fork=True).",
        )


class _Copy:
    """One copy, between two open logs."""

    def __init__(self, source: Place, target: Place, fork: bool, progress: Progress, told: Told) -> None:
        self._source = source
        self._target = target
        self._fork = fork
        self._progress = progress
        self._told = told
        self._log_id = target.backend.head().log_id if fork else source.backend.head().log_id
        self._gate = OPEN_GATE  #: the target's, as this copy knows it
        self._first = 0  #: position from which this call has copied

    def run(self, mode: Mode, stop: threading.Event) -> Moved:
        source, target = self._source, self._target
        if source.url == target.url and source.backend is not target.backend and "memory:" not in source.url:
            raise UsageError(f"{source.url} cannot be copied to itself")
        if not self._fork and self._is_done():
            return self._moved("moved before", 0.0)
        self._begin()
        try:
            if mode == "follow":
                return self._follow(stop)
            return self._make_fork() if mode == "fork" else self._cut_over()
        except (ConflictError, CorruptLogError, UsageError):
            if not self._fork and self._is_done():  # another call was faster, and the log goes on there
                return self._moved("moved before", 0.0)
            raise

    # -- the beginning ------------------------------------------------------------------------------------------

    def _is_done(self) -> bool:
        """Whether the log has moved here before, and the source was left behind."""
        source, target = self._source.backend, self._target.backend
        left, head = source.head(), target.head()
        return (
            source.gate().state is GateState.MOVED
            and target.gate().state is GateState.OPEN
            and left.log_id == head.log_id
            and left.position <= head.position
            and left.epoch < head.epoch
            and chain_at(target, left.position, head) == left.chain
        )

    def _begin(self) -> None:
        """See that the target is ours to fill."""
        target = self._target.backend
        gate = target.gate()
        if gate.state is GateState.MOVED:
            raise fault(f"{self._target.url} takes no appends any more: {gate.note}", "Name another destination.")
        if gate.state is GateState.OPEN:
            self._check_pair(None)
            note = notes.fork_note(self._source) if self._fork else notes.copy_note(self._source)
            try:
                target.receive(self._log_id, self._epochs(target.head()), note=note)
            except ConflictError as error:
                raise advised(error, "Name a destination that is empty or not there yet.") from None
            self._told(f"began a copy at {self._target.url}")
        self._gate = target.gate()
        self._check_pair(notes.pair_in(self._gate.note))
        held = target.head().log_id
        if notes.is_fork(self._gate.note) is not self._fork or held != self._log_id:
            what = "a fork" if notes.is_fork(self._gate.note) else f"a copy of log {held}"
            raise fault(f"{self._target.url} is {what}: {self._gate.note}", "Complete that, or name another place.")
        check_prefix(self._source.backend, target)
        self._first = target.head().position

    def _check_pair(self, pair: str | None) -> None:
        """Raise UsageError if the source was fenced for another destination than this one."""
        gate = self._source.backend.gate()
        if gate.state is GateState.MOVED and not self._fork and (pair is None or notes.pair_in(gate.note) != pair):
            raise fault(
                f"{self._source.url} takes no appends any more: {gate.note}",
                f"Copy to that place, or give the source back first: `foldlog copy {self._source.url} DST --release`.",
            )

    # -- what all of them do ------------------------------------------------------------------------------------

    def _pass(self) -> int:
        """Copy what there is now; how many events that were."""
        target = self._target.backend
        before = target.head().position
        head = self._source.log.catch_up()
        transfer(self._source.backend, target, head.position, self._progress)
        after = target.head()
        epochs = self._epochs(after)
        if target.epochs() != epochs:
            self._receive(epochs)
        return after.position - before

    def _epochs(self, head: Head) -> list[Epoch]:
        """The source's epochs, as far as a target with this head has come."""
        return [epoch for epoch in self._source.backend.epochs() if epoch.after_position <= head.position]

    def _receive(self, epochs: list[Epoch]) -> None:
        try:
            self._target.backend.receive(self._log_id, epochs, note=self._gate.note)
        except ConflictError as error:
            raise _overtaken(self._target) from error

    def _start_epoch(self, reason: str) -> None:
        """In this call's turn: another one that is at work here, or is taken for dead, must not take it away again.

        Not the backend's own, which knows nothing of turns."""
        turn = notes.renewed(self._gate)
        if not self._target.backend.set_gate(turn, expected=self._gate):
            raise _overtaken(self._target)
        self._gate = turn
        head = self._target.backend.head()
        epochs = self._epochs(head)
        now_us = time.time_ns() // 1000
        self._receive([*epochs, Epoch(epochs[-1].number + 1, head.position, head.chain, now_us, reason)])

    def _open(self) -> None:
        if not self._target.backend.set_gate(OPEN_GATE, expected=self._gate):
            raise _overtaken(self._target)

    def _moved(self, state: State, held_s: float) -> Moved:
        head = self._target.backend.head()
        return Moved(
            state,
            self._source.url,
            self._target.url,
            head.log_id,
            head.epoch,
            head.position,
            head.position - self._first if self._gate is not OPEN_GATE else 0,
            held_s,
        )

    # -- following ----------------------------------------------------------------------------------------------

    def _follow(self, stop: threading.Event) -> Moved:
        """Copy until told to stop, or until another call has fenced the source."""
        pause = IDLE_S
        while True:
            fenced = self._source.backend.gate().state is GateState.MOVED
            try:
                copied = self._pass()
            except (ConflictError, UsageError):
                if self._target.backend.gate() == self._gate:
                    raise
                return self._moved("cut over elsewhere", 0.0)
            if fenced:
                return self._moved("cut over elsewhere", 0.0)
            if stop.is_set() or (not copied and stop.wait(pause)):
                return self._moved("following", 0.0)
            pause = IDLE_S if copied else min(2 * pause, IDLEST_S)

    # -- moving -------------------------------------------------------------------------------------------------

    def _cut_over(self) -> Moved:
        source = self._source.backend
        verified, began = 0, 0.0
        if source.gate().state is GateState.OPEN:
            self._come_near()
            verified = self._verify_early()
            self._come_near()
            began = time.monotonic()
            self._fence()
        self._pass()
        self._told("copied the tail")
        mirror_shards(self._source, self._target, fenced=True)
        mirror_trims(self._target, self._source)
        self._told("mirrored deletions and trims")
        self._verify(verified)
        self._told("verified")
        self._start_epoch(f"moved from {self._source.url} (copy {notes.pair_in(self._gate.note)})")
        self._told("started an epoch")
        self._open()
        held_s = time.monotonic() - began if began else 0.0
        self._told(f"opened {self._target.url}")
        return self._moved("moved", held_s)

    def _come_near(self) -> None:
        for _ in range(PASSES):
            if self._pass() <= NEAR:
                return
        raise fault(
            f"{self._source.url} grows faster than it is copied",
            "Wait for a quieter hour, or let its programs pause, and run the same command again.",
        )

    def _verify_early(self) -> int:
        """Compare what was copied while the source goes on; the position up to which nothing is left to look at."""
        mirror_shards(self._source, self._target, fenced=False)
        mirror_trims(self._target)
        found = compare(self._target, self._source, freeing=True, progress=self._progress)
        self._check(found)
        self._told(f"verified up to position {found.positions:,} while the source went on")
        return 0 if found.freed else found.positions

    def _fence(self) -> None:
        source, pair = self._source.backend, notes.pair_in(self._gate.note)
        if pair is None:
            raise _overtaken(self._target)
        if not source.set_gate(notes.moved(self._target.url, pair), expected=OPEN_GATE):
            gate = source.gate()
            if gate.state is not GateState.MOVED or notes.pair_in(gate.note) != pair:  # else another call did it
                raise _overtaken(self._source)
        self._told(f"fenced {self._source.url}")

    def _verify(self, after: int) -> None:
        found = compare(self._target, self._source, after=after, progress=self._progress)
        self._check(found)
        if found.after or found.lacking:
            raise CorruptLogError(f"{self._source.url} and its copy end at other positions: {found}")

    def _check(self, found: Comparison) -> None:
        if found.differences:
            error = CorruptLogError(
                f"{found.differences:,} differences to {self._source.url}, the first: {found.first}"
            )
            error.remedy = (
                "The destination stays closed. Run `foldlog doctor --full` on both; `foldlog copy SRC DST --release` "
                "gives the source back if it was fenced."
            )
            raise error

    # -- forking ------------------------------------------------------------------------------------------------

    def _make_fork(self) -> Moved:
        self._come_near()
        mirror_shards(self._source, self._target, fenced=False)
        mirror_trims(self._target)
        self._check(compare(self._target, self._source, freeing=True, progress=self._progress))
        self._told("verified")
        left = self._source.backend.head().log_id
        self._start_epoch(f"forked from log {left} at position {self._target.backend.head().position}")
        self._told("started an epoch")
        self._open()
        self._told(f"opened {self._target.url}")
        return self._moved("forked", 0.0)


def _overtaken(place: Place) -> FoldlogError:
    gate: Gate = place.backend.gate()
    said = f"is {gate.state.name}{gate.note and ': '}{gate.note}"
    error = ConflictError(f"another copy, or a release, came in between: {place.url} {said}")
    error.remedy = "Look at what the other has done; run the same command again if it has not completed the move."
    return error
