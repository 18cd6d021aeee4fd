"""How the golden log on objects of format 1 was made: by a release that wrote it, and never again.

    python make.py FOLDER

writes objects.tar.gz and answers.json beside this file: what the golden logs of format1/ hold, and more than a block of
steps, a shard that was packed, and checkpoints.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "format1"), str(HERE.parent.parent)]

from golden_logs import answers  # noqa: E402
from make import fill  # noqa: E402

import foldlog  # noqa: E402
from foldlog import Event, events  # noqa: E402


def main(folder: Path) -> None:
    url = f"file://{folder}/log"
    with foldlog.open_log(url) as log:
        for number in range(80):
            log.append("run-long", [Event.now(events.LogMessage(text=f"line {number}"))], wait="ordered")
        log.seal("run-long")
        log.compact()
    fill(url)
    with tarfile.open(HERE / "objects.tar.gz", "w:gz", compresslevel=9) as archive:
        for path in sorted((folder / "log").rglob("*")):
            if path.is_file() and "kept" not in path.relative_to(folder / "log").parts:
                archive.add(path, path.relative_to(folder / "log"))
    text = json.dumps(answers(url), ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[")
    (HERE / "answers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
