"""`python tests/servers/install.py [KIND...]`: install the servers that tests need: all, or these.

From the system's packages, but for what a kind installs by itself (`install()` in its module).

Says what it does; does nothing where nothing is missing. Where it cannot install, the tests that need the server are
skipped, and it fails only if they must not be (CI=true or FOLDLOG_REQUIRE_SERVERS=1).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parent.parent))

import servers

# Debian's packages would set up and start servers of the system's own, which the tests have no use for: a cluster of
# PostgreSQL, and whatever comes with a service.
QUIET = {
    Path("/etc/postgresql-common/createcluster.d/foldlog-tests.conf"): "create_main_cluster = false\n",
    Path("/usr/sbin/policy-rc.d"): "#!/bin/sh\nexit 101\n",
}


def as_root() -> list[str] | None:
    """What to put before a command that needs root's rights, or None if there is no way without asking a person."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


@contextlib.contextmanager
def quiet(root: list[str]) -> Iterator[None]:
    """Packages installed meanwhile start nothing. A policy that the system has already is left as it is."""
    laid = [path for path in QUIET if not path.exists()]
    try:
        for path in laid:
            subprocess.run([*root, "mkdir", "-p", str(path.parent)], check=True)
            subprocess.run([*root, "tee", str(path)], input=QUIET[path].encode(), stdout=subprocess.DEVNULL, check=True)
            subprocess.run([*root, "chmod", "755", str(path)], check=True)
        yield
    finally:
        subprocess.run([*root, "rm", "-f", *map(str, laid)], check=False)


def apt(root: list[str], *words: str, check: bool) -> None:
    command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *words]
    subprocess.run(command, check=check, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def install_packages(kinds: list[ModuleType], root: list[str]) -> None:
    """One after the other: a package that this system does not know must not keep out the others."""
    with quiet(root):
        apt(root, "update", check=False)  # one repository out of reach need not matter
        for kind in kinds:
            print(f"servers: installing {kind.PACKAGE} ({kind.missing()})", file=sys.stderr)
            try:
                apt(root, "install", "-y", "--no-install-recommends", *kind.PACKAGE.split(), check=True)
            except subprocess.CalledProcessError as error:
                print(f"servers: {error}", file=sys.stderr)
                continue
            if kind.SERVICE and shutil.which("systemctl"):  # nor with the next start of the system
                subprocess.run([*root, "systemctl", "disable", *kind.SERVICE.split()], check=False, stdout=sys.stderr)


def install_others(kinds: list[ModuleType]) -> None:
    """What is not among the system's packages, with the module's own `install`."""
    for kind in kinds:
        print(f"servers: installing {kind.NAME} ({kind.missing()})", file=sys.stderr)
        try:
            kind.install()
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            print(f"servers: {error}", file=sys.stderr)


def main(names: Sequence[str]) -> int:
    kinds = {name: servers.kind_of(name) for name in names or servers.KINDS}
    lacking = [kind for kind in kinds.values() if not os.environ.get(kind.URL_ENV) and kind.missing() is not None]
    root = as_root() if lacking else None
    packaged = [kind for kind in lacking if kind.PACKAGE is not None]
    if packaged and root is not None and shutil.which("apt-get"):
        install_packages(packaged, root)
    install_others([kind for kind in lacking if hasattr(kind, "install")])
    failed = 0
    for name, kind in kinds.items():
        if kind in lacking and (lack := kind.missing()) is not None:
            print(f"servers: none for {name}: {lack}", file=sys.stderr)
            wanted = kind.PACKAGE or getattr(kind, "TOOLS", "foldlog[test]")
            print(f"what to do: install {wanted}, or set {kind.URL_ENV} to a server's URL", file=sys.stderr)
            failed += servers.required(name)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
