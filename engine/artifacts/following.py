"""Subscribers of compute logs, told by one polling thread a manager."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compute_logs import ComputeLogManager, Subscription

logger = logging.getLogger("foldlog.compute_logs")


class Poller:
    """A thread while there is somebody to tell, and none otherwise."""

    def __init__(self, manager: ComputeLogManager) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._told: list[Subscription] = []
        self._thread: threading.Thread | None = None

    def add(self, subscription: Subscription) -> None:
        """Tell him from now on."""
        with self._lock:
            self._told.append(subscription)
            if self._thread is None:
                self._wake.clear()
                self._thread = threading.Thread(target=self._run, name="foldlog-compute-logs", daemon=True)
                self._thread.start()

    def remove(self, subscription: Subscription) -> None:
        """Tell him nothing more; a call that is under way in another thread ends first."""
        with self._lock:
            if subscription in self._told:
                self._told.remove(subscription)
        with subscription.lock:
            subscription.is_over = True

    def close(self) -> None:
        """Tell nobody anything more, and wait for the thread, unless it is the one that asks."""
        with self._lock:
            told, thread = list(self._told), self._thread
        for subscription in told:
            self.remove(subscription)
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                told = list(self._told)
                if not told:
                    self._thread = None
                    return
            for subscription in told:
                if self._tell(subscription):
                    self.remove(subscription)
            self._wake.wait(self._manager.polling_timeout_s)

    def _tell(self, subscription: Subscription) -> bool:
        """Whether that was all."""
        with subscription.lock:
            if subscription.is_over:
                return True
            try:
                return self._deliver(subscription)
            except Exception:  # his own code, or a store that is gone: the others are told all the same
                logger.exception("a subscriber of the compute log %s is told no more", list(subscription.log_key))
                return True

    def _deliver(self, subscription: Subscription) -> bool:
        # First whether it is complete, then what there is: the last line may come between the two.
        complete = self._manager.is_capture_complete(subscription.log_key)
        while not subscription.is_over:
            data = self._manager.get_log_data(subscription.log_key, subscription.cursor)
            subscription.cursor = data.cursor
            if not (data.stdout or data.stderr):
                break
            subscription.callback(data)
        return complete
