"""Going through all sessions of a store."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .redis_calls import Calls
from .redis_connection import Command

_AT_ONCE = 1000
"""Keys of the server that one SCAN looks at: less than a millisecond of its time."""


def scan(calls: Calls, prefix: str) -> Iterator[str]:
    """The key of each session, once. What SCAN guarantees: all that are there from its beginning to its end."""
    start = f"{prefix}{{"
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", start) + "[0-9a-f]*}"  # what begins otherwise is a counter
    session = re.compile(re.escape(start).encode() + rb"([0-9a-f]{64})\}")
    seen: set[str] = set()
    for part in calls.everywhere():
        for name in _names(part, pattern):
            found = session.fullmatch(name)  # somebody else's may be below the prefix, and be no text
            if found and (key := found[1].decode()) not in seen:
                seen.add(key)
                yield key


def _names(calls: Calls, pattern: str) -> Iterator[bytes]:
    cursor: bytes | str = "0"
    while True:
        command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)
        cursor, names = calls.run([command], idempotent=True)[0]
        yield from names
        if int(cursor) == 0:
            return
