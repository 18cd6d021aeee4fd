"""`python tests/servers/instead.py KIND COMMAND...`: run tests against a server of a kind outside `servers.KINDS`.

The server is started for the command, and stands where tests look for the one whose `URL_ENV` it shares: `radosgw` in
the place of moto.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import servers


def main(name: str, command: list[str]) -> int:
    # Ending by a signal must stop the server as well: `with` runs on SystemExit, not on a signal's default action.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kind = servers.kind_of(name)
    if (lack := kind.missing()) is not None:
        print(f"servers: none for {name}: {lack}", file=sys.stderr)
        return 1
    with kind.Server() as server:
        server.start()
        return subprocess.run(command, env={**os.environ, kind.URL_ENV: server.url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
