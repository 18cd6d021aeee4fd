"""Compute logs that are not kept: what processes print goes where it goes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from .compute_logs import (
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

NOWHERE = LogMetadata(None, None)


class NoOpComputeLogManager(ComputeLogManager):
    """Captures nothing and keeps nothing; for processes whose output something else collects."""

    @contextmanager
    def capture_logs(self, log_key: LogKey) -> Iterator[LogMetadata]:
        check_key(log_key)
        yield NOWHERE

    @contextmanager
    def open_log_stream(self, log_key: LogKey, io_type: IoType) -> Iterator[IO[bytes]]:
        check_key(log_key)
        yield io.BytesIO()

    def is_capture_complete(self, log_key: LogKey) -> bool:
        return True

    def get_log_data(self, log_key: LogKey, cursor: str | None = None, max_bytes: int = MAX_BYTES) -> LogData:
        check_max_bytes(max_bytes)
        out, err = read_cursor(cursor)
        return LogData(tuple(log_key), b"", b"", f"{out}:{err}")

    def get_log_metadata(self, log_key: LogKey) -> LogMetadata:
        return NOWHERE

    def delete_logs(self, log_key: LogKey | None = None, prefix: LogKey | None = None) -> None:
        check_one(log_key, prefix)
