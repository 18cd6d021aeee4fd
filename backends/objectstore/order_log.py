"""The order as one process knows it: taken in step by step, and added to.

Promises: steps are taken in densely; one that this process adds follows the state it was decided on. A 404 is taken for
the end only while it can be: steps below a checkpoint may be collected after a day, so who has not looked for STALL_S
seconds asks for newer checkpoints first, and so does who needed longer than that to add a step.
Not here: what the operations mean (state.py), which are added when (placing.py, life.py, gate.py and others).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import takewhile
from math import inf
from typing import Final
from uuid import uuid4

from ...engine.errors import CorruptLogError, FoldlogError, UnavailableError, UsageError
from . import checkpoint, names, step
from .clock import elapsed_s
from .segment import damaged
from .state import FORMAT, State
from .step import BLOCK, Operation, Row
from .stores.parallel import Parallel, get_many
from .stores.port import Objects
from .stores.probing import probe

logger = logging.getLogger("foldlog.objectstore")

STALL_S: Final = 30.0  #: what was seen longer ago is looked at again; far below the day that garbage is kept
WIDEST: Final = 32  #: steps asked for at once
LATER_CHECKPOINTS: Final = 256 * 1024  #: bytes of a state for which one is written each block; larger ones less often
KEEP: Final = 4  #: checkpoints that stay
ROWS: Final = 200_000  #: receipts of finished blocks kept in memory


def wall_us() -> int:
    return time.time_ns() // 1000


class OrderLog:
    """The order of one log. Thread-safe. `state` is to be read with `lock` held, which no request is made under."""

    def __init__(
        self, objects: Objects, parallel: Parallel, *, read_only: bool, probes: bool = False, stall_s: float = STALL_S
    ) -> None:
        self.objects = objects
        self.parallel = parallel
        self.lock = threading.RLock()
        self._turn = threading.RLock()  #: one thread at a time takes in steps or adds one
        self.state = State()
        self.stall_s = stall_s
        self._read_only = read_only
        self._probes = probes
        self._looked = -inf  #: when the end was seen last
        self._compared = elapsed_s()  #: when the last step was seen to be what was taken in
        self._tail: list[Row] = []  #: receipts of the block under way
        self._raw: list[bytes] = []  #: its steps
        self._full: list[bytes] = []  #: those of the block before
        self._blocks: OrderedDict[int, list[Row]] = OrderedDict()
        self._checkpoint_size = 0
        self._checkpoint_k = 0
        self._newest = 0  #: how many steps there were when checkpoints were listed last, at least

    # -- opening ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take in what there is; make the log if there is none. Raises UsageError for a log that is to be read only
        and is not there, and for one that is to be made in a store that is no place for it."""
        with self._turn:
            self._leap()
            if self.state.k == 0:
                self._begin()
            self._advance(is_sure=False)

    def begin_anew(self) -> None:
        """In a forked child: a thread of the parent may hold the locks, in the middle of a change."""
        self.lock, self._turn = threading.RLock(), threading.RLock()
        self._reset()

    def _begin(self) -> None:
        first = self.objects.get(names.order(0))
        if first is None:
            self._check_no_remains()
            if self._read_only:
                raise missing(self.objects.url)
            if self._probes:  # once for each log: a store does not unlearn it
                probe(self.objects)
            made = ["made", FORMAT, uuid4().bytes, wall_us()]
            data = step.encode(bytes(16), secrets.token_bytes(8), wall_us(), [made])
            first = data if self.objects.create(names.order(0), data) else self.objects.get(names.order(0))
            if first is None:
                raise UnavailableError(f"{self.objects.url}: the log is being made or removed just now")
        self._take(first)

    def _check_no_remains(self) -> None:
        """Raise CorruptLogError if a log lies here that has lost its first step: a new one on top would spoil both."""
        listed = self.parallel.run([lambda prefix=prefix: self.objects.list(prefix) for prefix in names.OWN])  # type: ignore[misc]
        left = [one.name for found in listed for one in found]
        if left and self.objects.get(names.order(0)) is None:  # else somebody is just making it
            raise damaged(names.order(0), f"it is gone, and {len(left):,} objects of its log are left, as {left[0]}")

    def _leap(self) -> None:
        """Go on from the newest checkpoint if it is ahead. Those that are damaged are passed over."""
        listed = [names.number_of(one.name) for one in self.objects.list(names.CHECKPOINTS)]
        found = sorted((k for k in listed if k is not None and k > self.state.k), reverse=True)
        self._newest = found[0] if found else self.state.k
        for k in found:
            data = self.objects.get(names.checkpoint(k))
            if data is None:  # collected since it was listed, so that there are newer ones
                return self._leap()
            try:
                state = checkpoint.decode(data, names.checkpoint(k))
            except CorruptLogError as error:
                logger.warning("%s: %s", self.objects.url, error)
                continue
            with self.lock:
                self.state, self._tail, self._raw, self._full = state, [], [], []
            self._checkpoint_k, self._checkpoint_size = k, len(data)
            return None

    # -- taking in ----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in every step that was added before this call."""
        with self._turn:
            self._check_same()
            is_sure = elapsed_s() - self._looked <= self.stall_s and self.state.k > 0
            if not is_sure:
                self._leap()
            self._advance(is_sure=is_sure)

    def _check_same(self) -> None:
        """Raise CorruptLogError if the last step is gone, or another one: the bucket was put back to an older state
        while this process had it open. To go on at what it believes to be the end would make a hole in the order."""
        k, began = self.state.k, elapsed_s()
        if k == 0 or began - self._compared <= self.stall_s:
            return
        data = self.objects.get(names.order(k - 1))
        if data is None and (block := self.objects.get(names.block((k - 1) // BLOCK))) is not None:
            data = step.decode_block(block, names.block((k - 1) // BLOCK))[(k - 1) % BLOCK]
        if data is None:
            found = [names.number_of(one.name) or 0 for one in self.objects.list(names.CHECKPOINTS)]
            if max(found, default=0) < k:
                raise damaged(names.order(k - 1), "it was there and is gone: the log was put back to an older state")
        elif step.hash_of(data) != self.state.hash:
            raise damaged(names.order(k - 1), "it was another one before: the log was put back to an older state")
        self._compared = began

    def _advance(self, *, is_sure: bool) -> None:
        """Go on to the end. Unless that was seen a moment ago, a step that is not there may have been collected: then a
        checkpoint is ahead of it. And there may be many, and blocks of them."""
        began = elapsed_s()
        width, far = 1, not is_sure
        while True:
            steps, wanted = self._fetch(width, blocks=far and self.state.k % BLOCK == 0)
            for data in steps:
                self._take(data)
            if len(steps) == wanted:
                width = 1 if len(steps) == BLOCK else min(width * 2, WIDEST)
                far = far or width == WIDEST
                continue
            if self._is_end(is_sure and elapsed_s() - began <= self.stall_s):
                break
            began, is_sure, width, far = elapsed_s(), False, 1, True
        if self.state.k < self._newest:
            # What follows was collected: it lies below a checkpoint, which is damaged, and in a block, which is gone.
            # To go on here would be to begin another history.
            raise damaged(names.order(self.state.k), f"it is gone, and there were {self._newest} steps")
        self._looked = began

    def _fetch(self, width: int, *, blocks: bool) -> tuple[list[bytes], int]:
        """The next steps, and how many there would be if these were not the last ones."""
        k = self.state.k
        wanted = [names.order(k + ahead) for ahead in range(min(width, BLOCK - k % BLOCK))]
        if not blocks:
            found = get_many(self.objects, wanted, self.parallel)
        else:
            block, *found = get_many(self.objects, [names.block(k // BLOCK), *wanted], self.parallel)
            if block is not None:
                return step.decode_block(block, names.block(k // BLOCK)), BLOCK
        return [data for data in takewhile(lambda data: data is not None, found) if data is not None], len(wanted)

    def _is_end(self, is_sure: bool) -> bool:
        """Whether the step that is missing was never there. If it was, the state is that of a later checkpoint now."""
        if is_sure:
            return True
        k = self.state.k
        self._leap()
        return self.state.k == k

    def _take(self, data: bytes) -> None:
        k = self.state.k
        taken = step.decode(data, names.order(k), k)
        with self.lock:
            try:
                self._tail += self.state.apply(taken)
                self._raw.append(data)
                if self.state.k % BLOCK == 0:
                    self._keep_block(k // BLOCK, self._tail)
                    self._full = self._raw
                    self._tail, self._raw = [], []
            except BaseException:
                self._reset()  # taken in by half: an interrupt, or damage
                raise

    def _reset(self) -> None:
        """Forget what was taken in; the next look begins with the newest checkpoint."""
        self.state, self._tail, self._raw, self._full, self._looked = State(), [], [], [], -inf
        self._blocks.clear()
        self._checkpoint_k = self._newest = 0

    # -- adding -------------------------------------------------------------------------------------------------

    def commit(self, decide: Callable[[State], Sequence[Operation] | None]) -> bool:
        """Add a step with the operations that `decide` finds right for the state as it is; asked again if another was
        faster. False if it wants none. Raises UnavailableError if it is not known whether the step was added."""
        with self._turn:
            while True:
                if elapsed_s() - self._looked > self.stall_s:
                    self.refresh()
                with self.lock:
                    operations = decide(self.state)
                if operations is None:
                    return False
                if self._add(operations):
                    return True

    def _add(self, operations: Sequence[Operation]) -> bool:
        k = self.state.k
        data = step.encode(self.state.hash, secrets.token_bytes(8), wall_us(), operations)
        mine = self.objects.create(names.order(k), data) or self.objects.get(names.order(k)) == data
        if mine and elapsed_s() - self._looked > self.stall_s:
            # So slow that the slot may have been filled, superseded and collected before this came: then it is void.
            self._leap()
            if self.state.k > k:  # its block tells which it was: a caller that is told the wrong thing undoes a step
                mine = bool(self.steps(k // BLOCK)[k % BLOCK] == data)
                self.refresh()
                return mine
        if not mine:
            self.refresh()
            return False
        self._take(data)
        self._looked = elapsed_s()
        if self.state.k % BLOCK == 0:
            self._round_off()
        return True

    def _round_off(self) -> None:
        """A block is full: write it as one object, and now and then a checkpoint. Missing, both cost requests only."""
        k = self.state.k
        deeds: list[Callable[[], object]] = []
        if len(self._full) == BLOCK:
            block = step.encode_block(self._full)
            deeds.append(lambda: self.objects.create(names.block(k // BLOCK - 1), block))
        every = BLOCK * max(1, min(16, self._checkpoint_size // LATER_CHECKPOINTS))
        if k - self._checkpoint_k >= every:
            data = checkpoint.encode(self.state)
            self._checkpoint_k, self._checkpoint_size = k, len(data)
            deeds += [lambda: self.objects.create(names.checkpoint(k), data), self.drop_checkpoints]
        try:
            self.parallel.run(deeds)
        except FoldlogError as error:
            logger.warning("%s: %s", self.objects.url, error)

    def drop_checkpoints(self) -> None:
        """All but the newest few."""
        found = [one.name for one in self.objects.list(names.CHECKPOINTS)]
        if found[:-KEEP]:
            self.objects.delete(found[:-KEEP])

    # -- the timeline -------------------------------------------------------------------------------------------

    def rows(self, j: int) -> list[Row]:
        """The receipts that the steps of a block have placed."""
        with self.lock:
            if j == self.state.k // BLOCK:
                return list(self._tail)
            kept = self._blocks.get(j)
            if kept is not None:
                self._blocks.move_to_end(j)
                return kept
        rows = self.read_block(j)
        with self.lock:
            self._keep_block(j, rows)
        return rows

    def read_block(self, j: int) -> list[Row]:
        """The same, as the store has it. Raises CorruptLogError if that is damaged, or the chain does not come out."""
        with self.lock:
            position, chain = self.state.starts[j], self.state.chains[j]
        rows: list[Row] = []
        for k, data in enumerate(self.steps(j), start=j * BLOCK):
            for operation in step.decode(data, names.order(k), k).operations:
                if operation[0] == "place":
                    try:
                        rows += [row for row, _, _ in step.rows_of(operation, position, chain)]
                    except ValueError as error:
                        raise damaged(names.order(k), str(error)) from error
                    if rows:
                        position, chain = rows[-1].placed.last_position, rows[-1].placed.chain
        return rows

    def steps(self, j: int) -> list[bytes]:
        """The steps of a finished block, as they were written; its block is made if it is missing."""
        data = self.objects.get(names.block(j))
        if data is not None:
            return step.decode_block(data, names.block(j))
        steps = get_many(self.objects, [names.order(k) for k in range(j * BLOCK, (j + 1) * BLOCK)], self.parallel)
        whole = [data for data in steps if data is not None]
        if len(whole) < BLOCK and (data := self.objects.get(names.block(j))) is not None:  # collected since
            return step.decode_block(data, names.block(j))
        if len(whole) < BLOCK:
            gone = steps.index(None)
            raise damaged(names.order(j * BLOCK + gone), "it is gone, and no block holds it")
        if not self._read_only:  # whoever added the last of them ended before it wrote the block
            self.objects.create(names.block(j), step.encode_block(whole))
        return whole

    def _keep_block(self, j: int, rows: list[Row]) -> None:
        self._blocks[j] = rows
        held = sum(map(len, self._blocks.values()))
        while held > ROWS and len(self._blocks) > 1:
            held -= len(self._blocks.popitem(last=False)[1])


def missing(url: str) -> UsageError:
    """The error of a log that is not there and is not to be made."""
    return UsageError(f"there is no log at {url}; open it for writing once to create it")
