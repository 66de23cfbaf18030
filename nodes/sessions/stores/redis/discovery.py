"""Ask several servers at the same time, so that one that is silent delays nothing.

redis-py asks Sentinels (and the nodes of a cluster) one after another, each for as long as its timeouts allow: 4.6 s
for a dead one with its defaults, and at least one whole timeout for a silent one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

from .connection import Command, Connection

T = TypeVar("T")

GRACE = 0.05
"""Seconds after the first answer in which others are still collected: a later answer may be newer."""


def gather(questions: Sequence[Callable[[], T]], seconds: float) -> tuple[list[T], list[Exception]]:
    """Return the answers that arrive within `GRACE` after the first one, and the failures. Wait `seconds` at most.

    Each question runs in a thread of its own (under gevent: a greenlet), which ends by its own timeouts.
    """
    arrived: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def ask(question: Callable[[], T]) -> None:
        try:
            arrived.put((question(), None))
        except (redis.RedisError, OSError, ValueError, LookupError) as error:
            arrived.put((None, error))

    for question in questions:
        threading.Thread(target=ask, args=(question,), name="discovery", daemon=True).start()
    until = time.monotonic() + seconds
    answers: list[T] = []
    failures: list[Exception] = []
    for _ in questions:
        try:
            answer, failure = arrived.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            break
        if failure is not None:
            failures.append(failure)
            continue
        if not answers:
            until = min(until, time.monotonic() + GRACE)
        answers.append(answer)  # type: ignore[arg-type]
    return answers, failures


def describe(failures: list[Exception]) -> tuple[str, Exception | None]:
    """Return why no server answered, and the cause if all have the same: a wrong password is worth no second try."""
    why = "; ".join(dict.fromkeys(str(failure) for failure in failures)) or "none answered in time"
    return why, failures[0] if len({type(failure) for failure in failures}) == 1 else None


def ask_once(pool: redis.ConnectionPool, commands: Sequence[Command]) -> list[Any]:
    """Return the replies of a server that is rarely asked, and close the connection. Raises redis-py's errors."""
    connection: Connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]
    finally:
        connection.disconnect()
        pool.release(connection)
