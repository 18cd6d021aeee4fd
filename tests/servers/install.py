"""`python tests/servers/install.py`: install the servers that tests need from the system's packages.

Says what it does; does nothing where nothing is missing. Where it cannot install, the tests that need the server are
skipped, and it fails only if they must not be (CI=true or FOLDLOG_REQUIRE_SERVERS=1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import servers

# Debian's package would set up and start a cluster of the system's own, which the tests have no use for.
NO_CLUSTER = "/etc/postgresql-common/createcluster.d/foldlog-tests.conf"


def as_root() -> list[str] | None:
    """What to put before a command that needs root's rights, or None if there is no way without asking a person."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def install(package: str, root: list[str]) -> None:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": sys.stderr}
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    subprocess.run([*root, "mkdir", "-p", str(Path(NO_CLUSTER).parent)], check=True)
    setting = b"create_main_cluster = false\n"
    subprocess.run([*root, "tee", NO_CLUSTER], input=setting, stdout=subprocess.DEVNULL, check=True)
    try:
        subprocess.run([*apt, "update"], check=False, **quiet)  # one repository out of reach need not matter
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", package], check=True, **quiet)
    finally:
        subprocess.run([*root, "rm", "-f", NO_CLUSTER], check=False)


def main() -> int:
    failed = 0
    for name in servers.KINDS:
        kind = servers.kind_of(name)
        lack = None if os.environ.get(kind.URL_ENV) else kind.missing()
        if lack is None:
            continue
        root = as_root()
        if kind.PACKAGE is not None and root is not None and shutil.which("apt-get"):
            print(f"servers: installing {kind.PACKAGE} ({lack})", file=sys.stderr)
            try:
                install(kind.PACKAGE, root)
            except subprocess.CalledProcessError as error:
                print(f"servers: {error}", file=sys.stderr)
        if (lack := kind.missing()) is not None:
            print(f"servers: none for {name}: {lack}", file=sys.stderr)
            print(
                f"what to do: install {kind.PACKAGE or 'foldlog[test]'}, or set {kind.URL_ENV} to a server's URL",
                file=sys.stderr,
            )
            failed += servers.required()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
