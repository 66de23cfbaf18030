"""The reasons why sessions could not be used, in the log: the response to a client does not name them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__package__)

PAUSE = 10.0
"""Seconds until a reason is logged again."""
MOST = 10
"""Lines in `PAUSE` seconds."""
_MAX_LENGTH = 500


class OutageLog:
    """Logs each reason once in `PAUSE` seconds, and at most `MOST` of them: an outage fails each request.

    The texts of these errors have neither secrets nor ids of sessions. `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent_until: dict[str, float] = {}
        """By reason; the first ends first."""

    def report(self, error: Exception) -> None:
        """Log the reason of a `StoreUnavailable` or `AnonymousRefused`, unless it was logged a moment ago."""
        self.warn(f"a session could not be used: {error}")

    def warn(self, reason: str) -> None:
        """Log a line about the store, unless it was logged a moment ago."""
        reason, now = reason[:_MAX_LENGTH], self._clock()
        for each, until in list(self._silent_until.items()):
            if until <= now:
                self._silent_until.pop(each, None)
        if reason not in self._silent_until and len(self._silent_until) < MOST:
            self._silent_until[reason] = now + PAUSE
            log.warning("%s", reason)


outage_log = OutageLog()
"""The log of this process."""
