"""The clock of histories: since the epoch, never set back, and one for all processes of a machine."""

import time

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Return seconds since the epoch: the monotonic clock, set to the wall clock when the process began."""
    return _EPOCH + time.monotonic()
