"""Asking several servers the same at once, because one that is silent must not be waited for.

redis-py asks Sentinels (and the nodes of a cluster) in turn, each for as long as its timeouts allow: 4.6 s for one that
is dead with its defaults, and never less than one whole timeout for one that is silent.
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
"""Seconds in which the others may answer too, once somebody has: they may know better."""


def gather(questions: Sequence[Callable[[], T]], seconds: float) -> tuple[list[T], list[Exception]]:
    """What the questions are answered with `GRACE` after the first answer, or within `seconds` where there is none.

    Each is asked in a thread of its own (under gevent: a greenlet), which ends by its own timeouts. Only faults of
    servers and networks are expected of them.
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


def asked_once(pool: redis.ConnectionPool, commands: Sequence[Command]) -> list[Any]:
    """The answers of a server that is rarely asked: the connection is closed after it. Raises redis-py's errors."""
    connection: Connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]
    finally:
        connection.disconnect()
        pool.release(connection)
