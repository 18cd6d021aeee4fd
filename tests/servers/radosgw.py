"""A throwaway radosgw, the S3 server of Ceph: another implementation of what moto plays, and one that others rely on.

Not one of the session's servers (`KINDS`): its packages take 270 MB. `make test-radosgw` runs the tests of buckets
against it, in the place of moto. Three processes, of 150 MB of memory: a monitor, a store in memory and the gateway; no
manager, which only reports. It answers about a second after it was asked for.

It differs from S3, and from moto, in what code must not rely on:
- A refused put says 412 and neither which condition nor a message. s3fs makes a FileExistsError of one that names
  If-None-Match; here it is an OSError with EINVAL, whose cause has the code PreconditionFailed.
- A put with If-Match is refused if its ETag is in quotes, as all clients send it. A get is not.
- A multipart upload ends as if it had no conditions.
"""

from __future__ import annotations

import secrets
import subprocess
import uuid
from pathlib import Path

from . import s3
from .process import ServerProcess, answers, free_port, programs

PACKAGE = "radosgw ceph-mon ceph-osd"
NEEDS = None
SERVICE = "ceph.target ceph-crash.service"
URL_ENV = s3.URL_ENV

fresh = s3.fresh

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

SETTINGS = {
    "public addr": "127.0.0.1",
    "cluster addr": "127.0.0.1",
    # Nobody is asked for a key. The modes go with it: with others, radosgw refuses the monitor again and again (-13).
    **{f"auth {side} required": "none" for side in ("cluster", "service", "client")},
    **{f"ms mon {side} mode": "crc secure" for side in ("cluster", "service", "client")},
    # One store, and pools that have no copies.
    "osd objectstore": "memstore",
    "memstore device bytes": "4294967296",
    "osd pool default size": "1",
    "osd pool default min size": "1",
    "osd pool default pg num": "4",
    "osd pool default pg autoscale mode": "off",
    "osd crush chooseleaf type": "0",
    "mon allow pool size one": "true",
    "mon data avail crit": "0",
    # The gateway makes its pools one after the other, and each waits for the monitor's next round.
    "paxos propose interval": "0.05",
    "paxos min wait": "0.01",
    "debug default": "0",
    "log to stderr": "false",
    "rgw enable ops log": "false",
}

READY_S = 60  #: how long each command of laying it out may take


def missing() -> str | None:
    lacking = [name for name in PROGRAMS if next(programs(name), None) is None]
    return f"not in PATH or /usr/sbin: {', '.join(lacking)}" if lacking else None


class Server(ServerProcess):
    """One radosgw and what it stands on. `with` ends them all, and what they keep is gone."""

    NAME = "radosgw"

    def __init__(self) -> None:
        self._secret = secrets.token_hex(12)
        self._below: list[subprocess.Popen[bytes]] = []  #: the monitor and the store
        super().__init__()

    @property
    def url(self) -> str:
        """Where it answers, and as whom."""
        return f"http://foldlog:{self._secret}@127.0.0.1:{self.port}"

    def initialize(self) -> None:
        try:
            self._lay_out()
        except BaseException:
            self._end_below()
            raise

    def command(self) -> list[str]:
        frontend = f"beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1"
        return self._words("radosgw", "-f", "-n", "client.admin", "--rgw-frontends", frontend)

    def answers(self) -> bool:
        return answers(self.port, "/")

    def start(self) -> None:
        super().start()
        keys = ["--access-key", "foldlog", "--secret", self._secret]
        self._run("radosgw-admin", "user", "create", "--uid", "foldlog", "--display-name", "foldlog", *keys)

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._end_below()
        super().__exit__(*_)

    def _lay_out(self) -> None:
        self._configure(cluster := str(uuid.uuid4()), monitor := f"[v2:127.0.0.1:{free_port()}/0]")
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        self._run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", monitor, str(self.folder / "monmap"))
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(self.folder / "monmap"))
        self._below.append(self._ceph("ceph-mon", "-f", "-i", "a"))
        store = str(uuid.uuid4())  # told to both, or the store is taken for another one
        self._run("ceph", "osd", "new", store)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._below.append(self._ceph("ceph-osd", "-f", "-i", "0"))

    def _configure(self, cluster: str, monitor: str) -> None:
        here = {
            "fsid": cluster,
            "mon host": monitor,
            "mon data": self.folder / "mon",
            "osd data": self.folder / "osd",
            "rgw data": self.folder / "rgw",
            "run dir": self.folder,
            "admin socket": "",
            "pid file": "",
            "log file": "",
            "mon cluster log file": "",
        }
        if (codes := _erasure_codes()) is not None:
            here["erasure code dir"] = codes
        lines = [f"{name} = {value}" for name, value in {**SETTINGS, **here}.items()]
        self.write("ceph.conf", "\n".join(["[global]", *lines]) + "\n")

    def _words(self, name: str, *words: str) -> list[str]:
        program = next(programs(name), None)
        if program is None:
            raise FileNotFoundError(missing())
        return [str(program), "--conf", str(self.folder / "ceph.conf"), *words]

    def _ceph(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        return self.popen(*self._words(name, *words))

    def _run(self, name: str, *words: str) -> None:
        process = self._ceph(name, *words)
        try:
            if process.wait(READY_S) == 0:
                return
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise RuntimeError(f"{name} {' '.join(words[:2])} failed:\n{self.said()}")

    def _end_below(self) -> None:
        for process in reversed(self._below):
            process.kill()
            process.wait()
        self._below.clear()


def _erasure_codes() -> Path | None:
    """Where the system keeps a plug-in that the store looks for in another folder."""
    return next(Path("/usr/lib").glob("**/ceph/erasure-code"), None)
