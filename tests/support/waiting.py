"""Waiting for a condition, never for a time."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], message: str = "", timeout: float = 30.0) -> T:
    """Return the first true answer of `condition`; AssertionError if there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {message or repr(answer)}"
        time.sleep(0.02)
    return answer


def child_with(argument: str, parent: int | None = None) -> psutil.Process:
    """Return the only child of this process, or of another one, that was started with this argument."""
    parent = parent or os.getpid()
    processes = psutil.process_iter(["ppid", "cmdline"])
    (child,) = [one for one in processes if one.info["ppid"] == parent and argument in (one.info["cmdline"] or ())]
    return child


def lives(*pids: int) -> bool:
    """Return whether one of the processes still runs; one that has ended and is not reaped does not."""
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            continue
    return False
