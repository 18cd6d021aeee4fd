"""Compute logs in files of this machine.

BASE/RUN/compute_logs/FILE_KEY.out, .err    what was printed
BASE/RUN/compute_logs/FILE_KEY.complete     nothing more is to come
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..config.fields import Field, folder, number
from .compute_logs import (
    IO_TYPES,
    MAX_BYTES,
    ComputeLogManager,
    IoType,
    LogData,
    LogKey,
    LogMetadata,
    check_key,
    check_max_bytes,
    check_one,
    read_cursor,
)
from .names import file_name
from .redirect import redirected
from .storage import FILES

ENDINGS = {"stdout": ".out", "stderr": ".err"}
COMPLETE = ".complete"


class LocalComputeLogManager(ComputeLogManager):
    """Keeps what processes print in files under `base_dir`, which other machines see only if they share it.

    `polling_timeout_s`: seconds between two looks for subscribers.
    """

    def __init__(self, base_dir: str | Path, polling_timeout_s: float = 1.0) -> None:
        self._base = Path(base_dir).absolute()
        self.polling_timeout_s = polling_timeout_s

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {"base_dir": folder(required=True), "polling_timeout_s": number(default=1.0, minimum=0.01)}

    @contextmanager
    def capture_logs(self, log_key: LogKey) -> Iterator[LogMetadata]:
        complete = self._made(log_key, COMPLETE)
        complete.unlink(missing_ok=True)
        out, err = (str(self._file(log_key, ENDINGS[io_type])) for io_type in IO_TYPES)
        try:
            with redirected(out, err):
                yield LogMetadata(out, err)
        finally:
            complete.touch()

    @contextmanager
    def open_log_stream(self, log_key: LogKey, io_type: IoType) -> Iterator[IO[bytes]]:
        with self._made(log_key, ENDINGS[io_type]).open("ab") as stream:
            yield stream

    def is_capture_complete(self, log_key: LogKey) -> bool:
        return self._file(log_key, COMPLETE).exists()

    def get_log_data(self, log_key: LogKey, cursor: str | None = None, max_bytes: int = MAX_BYTES) -> LogData:
        check_max_bytes(max_bytes)
        starts = read_cursor(cursor)
        out, err = (
            _part(self._file(log_key, ENDINGS[io_type]), start, max_bytes)
            for io_type, start in zip(IO_TYPES, starts, strict=True)
        )
        return LogData(tuple(log_key), out, err, f"{starts[0] + len(out)}:{starts[1] + len(err)}")

    def get_log_metadata(self, log_key: LogKey) -> LogMetadata:
        out, err = (self._file(log_key, ENDINGS[io_type]) for io_type in IO_TYPES)
        return LogMetadata(str(out) if out.exists() else None, str(err) if err.exists() else None)

    def delete_logs(self, log_key: LogKey | None = None, prefix: LogKey | None = None) -> None:
        check_one(log_key, prefix)
        if log_key is not None:
            for ending in (*ENDINGS.values(), COMPLETE):
                self._file(log_key, ending).unlink(missing_ok=True)
        if prefix is not None:
            self.delete_logs(log_key=prefix)  # a key begins with itself
            _delete_below(self._base.joinpath(*map(file_name, prefix)))

    def _file(self, log_key: LogKey, ending: str) -> Path:
        check_key(log_key)
        *folders, last = map(file_name, log_key)
        return self._base.joinpath(*folders, last + ending)

    def _made(self, log_key: LogKey, ending: str) -> Path:
        path = self._file(log_key, ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def __repr__(self) -> str:
        return f"<LocalComputeLogManager {self._base}>"


def _part(path: Path, start: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except FileNotFoundError:  # nothing was printed yet
        return b""


def _delete_below(folder: Path) -> None:
    """Delete logs, not the files that steps keep beside them, and the folders that are empty then."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in list(folder.iterdir()):
        if path.is_dir() and path.name != FILES:
            _delete_below(path)
        elif path.suffix in (*ENDINGS.values(), COMPLETE):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
