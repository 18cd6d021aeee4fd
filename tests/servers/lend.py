"""`python tests/servers/lend.py COMMAND...`: run a command with throwaway servers, named in FOLDLOG_BENCH_URL.

Databases, and a bucket with what FOLDLOG_STORAGE_OPTIONS says of it. Those whose program is missing are left out; with
none at all nothing is run. The databases have more memory than those of the tests, for a log of a few million events.
Their data lies where TMPDIR says, and is gone when the command has ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import servers

MEMORY = {
    "postgres": {"shared_buffers": "512MB", "max_wal_size": "2GB"},
    "mysql": {"innodb-buffer-pool-size": "512M", "loose-innodb-log-file-size": "512M"},
}


def main(command: list[str]) -> int:
    # Ending by a signal must stop the servers as well: `with` runs on SystemExit, not on a signal's default action.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as running:
        urls = []
        for name, settings in MEMORY.items():
            kind = servers.kind_of(name)
            if (lack := kind.missing()) is not None:
                print(f"servers: none for {name}: {lack}; run `make servers`", file=sys.stderr)
                continue
            kind.SETTINGS.update(settings)
            server = running.enter_context(kind.Server())
            server.start()
            urls.append(server.url)
        given = dict(os.environ)
        s3 = servers.kind_of("s3")
        if (lack := s3.missing()) is None:
            store = running.enter_context(s3.Server())
            store.start()
            bucket = running.enter_context(s3.fresh(store.url))
            urls.append(bucket.url)
            given["FOLDLOG_STORAGE_OPTIONS"] = json.dumps(bucket.options)
        else:
            print(f"servers: none for s3: {lack}", file=sys.stderr)
        if not urls:
            return 1
        return subprocess.run(command, env={**given, "FOLDLOG_BENCH_URL": " ".join(urls)}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
