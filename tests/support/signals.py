"""Commands that tests start and end by a signal."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def default_sigint() -> Iterator[None]:
    """SIGINT as in the foreground: where tests run in the background it is ignored, by their children, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
