"""Removes expired sessions from the stores that keep them: files and SQL. Redis expires them itself."""

from __future__ import annotations

import logging
import random
import threading
import time

from . import signals
from .capabilities import Sweepable, find_capability
from .checks import OptionsError, check_store, check_type
from .signals import Notify
from .store import Store, StoreUnavailable

log = logging.getLogger(__package__)

BATCH = 100
"""Sessions removed at a time: a few ms, in which a gevent worker does nothing else where the store is files."""
PAUSE = 0.02


class Sweeper:
    """Sweeps `store` every `seconds`, in a thread (under gevent a greenlet) that ends with the process.

    Any number of processes may sweep one store: its `sweep` lets one of them work at a time. The first sweep comes
    after a random part of `seconds`, so that nodes which start together do not sweep together. An outage is logged
    once, and the next sweep tries again.

    `notify` is `Sessions.notify`, for the signal `session_expired`; it is called in the sweeper's thread.
    """

    def __init__(self, store: Store, seconds: float, notify: Notify | None = None) -> None:
        check_store(store)
        check_type("seconds", seconds, (int, float), "a number")
        if not seconds > 0:
            raise OptionsError(f"seconds must be above 0, not {seconds:g}")
        if notify is not None and not callable(notify):
            raise TypeError(f"notify must be a function or None, not {notify!r}")
        self._store = find_capability(store, Sweepable)
        self._cookie = store.cookie
        self._notify = notify
        self._seconds = seconds
        self._was_down = False

    def start(self) -> bool:
        """Start the thread. Return False without a thread if the store's server removes expired sessions itself."""
        if self._store is None:
            return False
        threading.Thread(target=self._run, name="session-sweeper", daemon=True).start()
        return True

    def sweep(self) -> int:
        """Remove all expired sessions, in batches, and return how many. Raises `StoreUnavailable`."""
        assert self._store is not None
        removed = 0
        while True:
            batch = self._store.sweep(BATCH, self._expired)
            removed += batch
            if batch < BATCH:
                return removed
            time.sleep(PAUSE)

    def _expired(self, key: str) -> None:
        if self._notify is not None:
            self._notify(signals.session_expired, self._cookie.to_hash(key))

    def _run(self) -> None:
        time.sleep(random.uniform(0, self._seconds))  # noqa: S311 - no secret
        while True:
            try:
                removed = self.sweep()
            except StoreUnavailable as error:
                if not self._was_down:
                    log.warning("expired sessions were not swept: %s", error)
                self._was_down = True
            except Exception:
                log.exception("a sweep failed; the next one tries again")
            else:
                self._was_down = False
                if removed:
                    log.info("expired sessions were swept", extra={"removed": removed})
            time.sleep(self._seconds)
