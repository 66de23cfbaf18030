"""The time that histories go by: since the epoch, never set back, and the same for all processes of one machine."""

import time

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Seconds since the epoch by the monotonic clock, whose zero was set to the wall clock when the process began."""
    return _EPOCH + time.monotonic()
