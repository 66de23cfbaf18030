"""Measure each application in turn, repeatedly, so that a slow moment of the machine affects all of them."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from deploy.local.processes import child_environment
from loadtest.bench.apps import CHARACTERS, TEXTS
from loadtest.bench.servers import Application, BenchError, Running
from loadtest.progress import Status

_SEEN = re.compile(rb"\r\nX-Seen: (\d+) (\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nSet-Cookie: ([^;\r\n]+)", re.IGNORECASE)
_TIMEOUT = 300
FIRST_PACE = 1000
"""The requests a second that are expected before any is done."""
FIRST_SECONDS = 5.0
"""How long that expectation weighs as much as what is measured."""


class Use(Enum):
    """The use that a request makes of the session."""

    READ = "session read"
    WRITE = "session written"
    UNUSED = "cookie, unused"
    NONE = "no session"

    @property
    def path(self) -> str:
        return {Use.READ: "/read", Use.WRITE: "/write"}.get(self, "/none")

    @property
    def seen(self) -> int:
        """Characters of the session that such a request reads; every answer must confirm them."""
        return {Use.READ: sum(map(len, TEXTS.values())), Use.WRITE: CHARACTERS}.get(self, 0)


def request_of(application: Application, use: Use) -> tuple[str, str]:
    """Return the path of a request, and the regular expression of what its answer has seen of the session."""
    return ("/me", '"visits": ?1[,}]') if application.is_node else (use.path, f"\r\nX-Seen: {use.seen} ")


@dataclass
class Samples:
    """CPU of the worker and of the Redis in microseconds for each request, and requests per second; one of each for
    each repetition."""

    cpu: list[float] = field(default_factory=list)
    redis: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


Measured = dict[str, dict[Use, Samples]]
"""Application's name -> use -> samples, with one number of connections."""


def half_range(values: Sequence[float]) -> float:
    """Return half of the difference between the smallest and the largest."""
    return (max(values) - min(values)) / 2


def start_session(running: Running) -> str:
    """Start a session. Return its cookie, or raise BenchError if it cannot be read back."""
    is_node = running.application.is_node
    found = _COOKIE.search(running.post("/visits") if is_node else running.get("/start"))
    if found is None:
        raise BenchError(f"{running.application.title} set no cookie")
    cookie = found[1].decode("latin-1")
    if not is_node and counter(running, cookie) != 0:  # each answer of a node says what it has seen
        raise BenchError(f"{running.application.title} did not keep what was put into the session")
    return cookie


def counter(running: Running, cookie: str) -> int:
    """Return the counter in the session. Raises BenchError if the other fields are missing."""
    seen = _SEEN.search(running.get("/read", cookie))
    if seen is None or int(seen[1]) != Use.READ.seen:
        raise BenchError(f"{running.application.title} does not know its session any more")
    return int(seen[2])


def measure(running: Running, use: Use, cookie: str, requests: int, connections: int, samples: Samples) -> None:
    """Measure one repetition: as many of the requests as all connections can share equally."""
    title, sent = running.application.title, "" if use is Use.NONE else cookie
    path, seen = request_of(running.application, use)
    requests -= requests % connections
    before = counter(running, cookie) if use is Use.WRITE else 0
    cpu, redis = running.cpu_seconds(), running.redis_seconds()
    command = [sys.executable, "-m", "loadtest.bench.client", str(running.port), path, str(requests)]
    command += [str(connections), sent, seen]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=child_environment(),
            timeout=_TIMEOUT,
            check=False,
            start_new_session=True,  # Ctrl-C at the terminal is for the command, which ends this
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{title}: {requests} requests took longer than {_TIMEOUT} s") from None
    if done.returncode != 0:
        raise BenchError(f"{title}: {done.stderr.strip().rpartition(chr(10))[2]}")
    samples.cpu.append((running.cpu_seconds() - cpu) / requests * 1e6)
    samples.redis.append((running.redis_seconds() - redis) / requests * 1e6)
    samples.rate.append(requests / float(done.stdout))
    if use is Use.WRITE and counter(running, cookie) <= before:
        raise BenchError(f"{title} did not write")


def measure_all(
    running: Sequence[Running], requests: int, repeat: int, connections: Sequence[int], watch: Callable[[Status], None]
) -> dict[int, Measured]:
    """Warm each application up, then measure all of them `repeat` times with each number of connections.

    `watch` is told of each stage, with the time that is left. Return what was measured by the number of connections.
    Raises BenchError.
    """
    cookies = [start_session(one) if one.application.has_sessions else "" for one in running]
    samples: dict[int, Measured] = {
        number: {one.application.name: {use: Samples() for use in uses(one.application)} for one in running}
        for number in connections
    }
    warm_ups = sum(one.application.warm_up * len(uses(one.application)) for one in running)
    each_round = requests * len(connections) * sum(len(uses(one.application)) for one in running)
    pace = Pace(warm_ups + repeat * each_round)
    status = Status("warm up", 0, repeat)
    for one, cookie in zip(running, cookies, strict=True):
        status.enter(one.application.title)
        for use in uses(one.application):
            status.ends_at = pace.ends_at
            watch(status)
            measure(one, use, cookie, one.application.warm_up, 1, Samples())
            pace.add(one.application.warm_up)
    pairs = list(zip(running, cookies, strict=True))
    for turn in range(1, repeat + 1):
        status.title, status.number = "round", turn
        for number, use in itertools.product(connections, Use):
            status.enter(f"{use.value}, {number} connection{'s' * (number > 1)}")
            random.shuffle(pairs)  # one after the other with the same use, so that a slow moment hits all of them
            for one, cookie in pairs:
                if use in uses(one.application):
                    status.ends_at = pace.ends_at
                    watch(status)
                    measure(one, use, cookie, requests, number, samples[number][one.application.name][use])
                    pace.add(requests)
    return samples


class Pace:
    """An estimate of when all requests are done, from those that are."""

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._done = FIRST_PACE * FIRST_SECONDS
        self._began_at = time.monotonic() - FIRST_SECONDS

    def add(self, requests: int) -> None:
        """Count requests that are done."""
        self._done += requests
        self._left -= requests

    @property
    def ends_at(self) -> float:
        """The estimated end on the monotonic clock."""
        now = time.monotonic()
        return now + self._left * (now - self._began_at) / self._done


def uses(application: Application) -> tuple[Use, ...]:
    """Return the uses to measure: without sessions NONE alone, of an earlier version those that are compared."""
    if application.is_node:
        return (Use.READ,)
    if application.revision is not None:
        return Use.READ, Use.WRITE
    return tuple(Use) if application.has_sessions else (Use.NONE,)
