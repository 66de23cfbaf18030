"""Work beside requests: threads, or greenlets under gevent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def start_thread(name: str, target: Callable[..., object], *arguments: Any) -> None:
    """Call `target` in a thread that ends with the process. Raises OSError where no further thread can be started."""
    try:
        threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(str(error)) from error


def let_others_work() -> None:
    """Serve the requests that wait, under gevent, in the midst of work that waits for nothing itself.

    `sleep(0)` would only go on with greenlets that are ready: it looks for no new request, nor for the rest of one.
    """
    time.sleep(1e-6)
