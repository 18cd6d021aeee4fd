"""Where an instance came from: what another process needs to open it again, and which folder is its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .log.port import HasHome
from .urls import absolute

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from .config.configuration import Configuration
    from .config.ref import InstanceRef
    from .log.log import EventLog


class Origin:
    """How the instance of a log was opened. Nothing of the configuration is loaded until it is asked for."""

    def __init__(
        self,
        *,
        url: str | None = None,
        views: str | None = None,
        root: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        configuration: Configuration | None = None,
        temporary: TemporaryDirectory[str] | None = None,
    ) -> None:
        folder = _working_directory()  # as it is now: the process may change it before the views are opened
        self._url = absolute(url, folder) if url and folder else url
        self.views = absolute(views, folder, quoted=False) if views and folder else views
        self._root = None if root is None else Path(root).absolute()
        self._overrides = overrides
        self._can_be_reopened = url is not None or configuration is not None
        self._configuration = configuration
        self._temporary = temporary
        self._lock = threading.Lock()

    def configuration(self, log: EventLog) -> Configuration:
        """What is configured. Raises UsageError for overrides of a wrong form."""
        from .config.configuration import Configuration
        from .config.ref import InstanceRef

        if self._configuration is None:
            root = self.known_root(log)
            storage = {"url": self._url or "memory://"} | ({"views": self.views} if self.views else {})
            config = {"storage": storage, **(self._overrides or {})}
            text = None if root is None else str(root)
            self._configuration = Configuration(InstanceRef(root=text, config=config, read_only=log.read_only))
        return self._configuration

    def ref(self, log: EventLog) -> InstanceRef:
        """What opens the instance elsewhere. Raises UsageError if it lives in memory, or was made of a log."""
        from dataclasses import replace

        if is_memory(log):
            raise UsageError("an ephemeral instance lives in one process: no reference opens it elsewhere")
        if not self._can_be_reopened:
            raise UsageError("this instance was made of a log; one that was opened by URL or by a file has a reference")
        return replace(self.configuration(log).ref, read_only=log.read_only)

    def known_root(self, log: EventLog) -> Path | None:
        """The folder of the deployment's local files; None if none is known.

        That of the configuration file; of a SQLite log, the folder that its own lies in; in memory, a temporary one;
        else FOLDLOG_HOME.
        """
        if self._root is None:
            self._root = self._find_root(log)
        return self._root

    def _find_root(self, log: EventLog) -> Path | None:
        if self._configuration is not None and self._configuration.root is not None:
            return self._configuration.root
        if is_memory(log):
            with self._lock:
                if self._temporary is None:
                    self._temporary = temporary_folder()
                return Path(self._temporary.name)
        if isinstance(log.backend, HasHome):
            return log.backend.home.folder.absolute().parent
        if os.environ.get("FOLDLOG_HOME"):
            from .config.home import home

            return home()
        return None

    def close(self) -> None:
        """Remove the folder, if it is temporary. Idempotent."""
        with self._lock:
            if self._temporary is not None:
                self._temporary.cleanup()


def is_memory(log: EventLog) -> bool:
    """Whether the log is gone with this process."""
    return log.backend.url.partition(":")[0] == "memory"


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed; absolute URLs do not need it
        return None


def temporary_folder() -> TemporaryDirectory[str]:
    """A folder that is removed with the object, or when the program ends."""
    from tempfile import TemporaryDirectory  # loads more than opening a log does

    return TemporaryDirectory(prefix="foldlog-", ignore_cleanup_errors=True)
