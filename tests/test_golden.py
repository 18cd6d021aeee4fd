"""The bytes of every version of every kind are kept, and still mean the same. Files are added, never edited.

To add a kind: a line in golden_meaning.py and kinds.json, then the file, written once from `Codec().encode`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from golden_meaning import MEANING

from foldlog.engine.errors import CorruptLogError
from foldlog.serdes import Codec, kinds

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.bin"))
codec = Codec()


def exact(value: Any) -> str:
    """`value` as text in which 1, 1.0 and True differ, and the order of dicts does not count."""
    if isinstance(value, dict):
        return str(sorted((key, exact(one)) for key, one in value.items()))
    if isinstance(value, list | tuple):
        return str([type(value), *map(exact, value)])
    if isinstance(value, msgspec.Struct):
        return str([type(value), *map(exact, msgspec.structs.astuple(value))])
    return repr(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bytes_of_every_release_still_decode(path: Path) -> None:
    event = codec.decode(path.stem.rsplit(".v", 1)[0], path.read_bytes())
    assert event == MEANING[path.stem]
    assert exact(event) == exact(MEANING[path.stem])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_newest_version_still_makes_these_bytes(path: Path) -> None:
    name, version = path.stem.rsplit(".v", 1)
    known = kinds.find(name)
    assert known is not None
    if int(version) == known.version:
        (record,), _ = codec.encode([MEANING[path.stem]])
        assert record.body == path.read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_field_is_in_the_bytes(path: Path) -> None:
    """A field left at its default proves nothing: its name could change unnoticed."""
    name = path.stem.rsplit(".v", 1)[0]
    known = kinds.find(name)
    assert known is not None
    assert set(msgpack.unpackb(path.read_bytes())[0]) == set(known.cls.__struct_fields__)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_truncation_is_taken_for_an_event(path: Path) -> None:
    body, name = path.read_bytes(), path.stem.rsplit(".v", 1)[0]
    for size in range(len(body)):
        with pytest.raises(CorruptLogError, match=name):
            codec.decode(name, body[:size])


def test_no_version_lacks_its_bytes() -> None:
    known = [kinds.find(name) for name in kinds.BUILT_IN]
    released = {f"{kind.name}.v{version}" for kind in known if kind for version in range(1, kind.version + 1)}
    assert {path.stem for path in FILES} == released == set(MEANING)


def test_topics_and_retention_are_as_released() -> None:
    """They lie beside every record: a change would leave old records and new ones with different bits."""
    released = json.loads((GOLDEN / "kinds.json").read_text(encoding="utf-8"))
    assert {name: kinds.find(name).flags for name in kinds.BUILT_IN} == released  # type: ignore[union-attr]


def test_the_digest_is_as_released() -> None:
    """A key recorded by one release must be recognised by the next: the digest decides what "the same facts" are."""
    records, digest = codec.encode([MEANING[path.stem] for path in FILES])
    assert digest.hex() == (GOLDEN / "digest.txt").read_text(encoding="ascii").strip()
    assert codec.digest(records) == digest
