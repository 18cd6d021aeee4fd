"""What a golden log answers, asked through the port and the public API alone: both outlive every format.

`answers` is what was written down when the log was made (tests/golden/format1/make.py), and what every later release
has to give again. It sequences what was left pending, so ask a copy.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any

import foldlog
from foldlog.engine.log.port import Placed, Receipt, Stored

PAGE = 10_000
_INSERT = re.compile(
    r"INSERT INTO foldlog\.(\w+) (?:OVERRIDING SYSTEM VALUE )?VALUES \((.*?)\);$", re.MULTILINE | re.DOTALL
)
_VALUE = re.compile(r"'((?:[^']|'')*)'|([^,\s]+)")
_WORDS: dict[str, Any] = {"NULL": None, "true": True, "false": False}


def rows_of(sql: str) -> dict[str, list[list[Any]]]:
    """The rows of a dump that has nothing but INSERTs, by table: bytes, numbers, text, None."""
    found: dict[str, list[list[Any]]] = {}
    for table, values in _INSERT.findall(sql):
        found.setdefault(table, []).append([_value(*one) for one in _VALUE.findall(values)])
    return found


def _value(text: str, word: str) -> Any:
    if word:
        return _WORDS[word] if word in _WORDS else int(word)
    return bytes.fromhex(text[2:]) if text.startswith("\\x") else text.replace("''", "'")


def answers(url: str) -> dict[str, Any]:
    """All that a log says of itself: as plain values, that go through JSON unchanged."""
    with foldlog.open_log(url, read_only=True) as log:
        backend = log.backend
        before = {
            "head": _head(log),
            "placed": [_placed(one) for one in backend.placed(after=0, limit=PAGE)],
            "records": [_stored(one) for one in backend.read(after=0, limit=PAGE, types=None)],
            "cursors": [str(log.cursor(position)) for position in _some(log.head().position)],
            "shards": [[shard.name, shard.state.value, shard.ordered_seq] for shard in log.shards()],
            "epochs": [[one.number, one.after_position, one.chain.hex(), one.reason] for one in backend.epochs()],
        }
    with foldlog.Instance.from_url(url) as instance:
        log = instance.log
        verified = instance.verify()
        after = {
            "head": _head(log),
            "records": [_stored(one) for one in log.backend.read(after=before["head"][2], limit=PAGE, types=None)],
            "keyed": [_stored(one) for one in _typed(log)],
            "views": {one.view: one.digest for one in verified.views},
            "proved": verified.ok,
            "runs": sorted([one.run.run_id, one.run.status.value] for one in instance.get_run_records()),
            "assets": sorted(str(key) for key in instance.get_asset_keys()),
        }
    return json.loads(json.dumps({"as it lies": before, "caught up": after}))  # type: ignore[no-any-return]


def _head(log: foldlog.EventLog) -> list[Any]:
    head = log.head()
    return [str(head.log_id), head.epoch, head.position, head.chain.hex()]


def _receipt(one: Receipt) -> list[Any]:
    return [one.shard, one.first_seq, one.last_seq, str(one.key), one.at_us, one.digest.hex()]


def _placed(one: Placed) -> list[Any]:
    return [one.position, *_receipt(one.receipt), one.chain.hex()]


def _stored(one: Stored) -> list[Any]:
    record = one.record
    if record is None:
        return [one.position, one.shard, one.seq, None]
    body = blake2b(record.body, digest_size=8).hexdigest()
    return [one.position, one.shard, one.seq, record.type, record.ts_us, record.topics, body]


def _typed(log: foldlog.EventLog) -> list[Stored]:
    types = frozenset({"ASSET_MATERIALIZATION", "RUN_DELETED"})
    return log.backend.read_back(before=None, limit=PAGE, types=types)


def _some(end: int) -> list[int]:
    """Positions to have cursors at: both ends, and some within receipts."""
    return sorted({0, 1, end // 3, end // 2, end - 1, end})
