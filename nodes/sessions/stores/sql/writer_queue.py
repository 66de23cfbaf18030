"""Waiting for SQLite, which has one writer at a time.

SQLite has no queue: a write that is locked out is tried again. An attempt takes CPU, and on a busy machine the attempts
of many requests took what the writer needed. Most of those that gave up after a second had tried less than 20 times,
and the database was well. So the writes of a process wait in turn, and only the first one tries.

A database that others write to is busy, not broken: a write gives up when nothing was written for its deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ...store import StoreUnavailable
from ..forks import reset_in_children

LONGEST = 3
"""Ratio of the longest wait, while others write, to the deadline."""


class WriterQueue:
    """The writes of this process to the SQLite database at `path`. Ask `writer_queue` for it."""

    def __init__(self, path: str) -> None:
        self._wal = Path(f"{path}-wal")
        reset_in_children(self)

    def _reset(self) -> None:
        self._first = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._moved = float("-inf")
        """When a write of any process was last seen to be finished."""

    @contextmanager
    def turn(self, deadline: float) -> Iterator[Callable[[], bool]]:
        """Wait until it is this write's turn. Yield a function that returns whether to try again.

        Nothing was done where it raises StoreUnavailable: after `deadline` seconds in which nothing was written, or
        `LONGEST` times as many in all.
        """
        began, first = time.monotonic(), self._first

        def left() -> float:
            return min(max(began, self._moved) + deadline, began + LONGEST * deadline) - time.monotonic()

        def goes_on() -> bool:
            self._look()
            return left() > 0

        while not first.acquire(timeout=max(left(), 0)):
            if left() <= 0:
                raise StoreUnavailable("sqlite: database is locked")
        try:
            yield goes_on
            self._moved = time.monotonic()
        finally:
            first.release()

    def _look(self) -> None:
        """Notice whether another process has written since the last look. Each commit writes to the WAL."""
        try:
            status = self._wal.stat()
        except OSError:  # no connection is open
            return
        state = status.st_mtime_ns, status.st_size
        if self._state not in {None, state}:
            self._moved = time.monotonic()
        self._state = state


@cache
def writer_queue(path: str) -> WriterQueue:
    """Return the queue of a database, which all stores of the process share."""
    return WriterQueue(path)
