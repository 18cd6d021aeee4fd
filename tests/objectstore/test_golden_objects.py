"""P12: a log on objects that the first release with them wrote answers as it did then, in a folder and on S3."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from golden_logs import answers

from foldlog.backends.objectstore.stores import open_objects

GOLDEN = Path(__file__).parent.parent / "golden/objects1"
SAID = json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))


def unpack(folder: Path) -> None:
    with tarfile.open(GOLDEN / "objects.tar.gz") as archive:
        archive.extractall(folder, filter="data")


def test_a_golden_log_answers_in_a_folder(tmp_path: Path) -> None:
    unpack(tmp_path / "log")
    assert answers(f"file://{tmp_path}/log") == SAID


def test_a_golden_log_answers_on_s3(tmp_path: Path, s3_bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objects are the same wherever they lie."""
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    unpack(tmp_path / "log")
    store = open_objects(f"{s3_bucket.url}/log", create=True)
    for path in (tmp_path / "log").rglob("*"):
        if path.is_file():
            assert store.create(str(path.relative_to(tmp_path / "log")), path.read_bytes())
    assert answers(f"{s3_bucket.url}/log") == SAID
