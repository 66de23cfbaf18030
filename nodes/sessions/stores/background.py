"""Work beside a request: threads, or greenlets under gevent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def start_thread(name: str, target: Callable[..., object], *arguments: Any) -> None:
    """Call `target` in a thread that ends with the process. Raises OSError where no further thread can be started."""
    try:
        threading.Thread(target=target, args=arguments, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(str(error)) from error
