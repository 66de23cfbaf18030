"""Measure each application in turn, repeatedly, so that a slow moment of the machine affects all of them."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from loadtest.bench.apps import CHARACTERS, TEXTS
from loadtest.bench.servers import Application, BenchError, Running

CONNECTIONS = 4
_SEEN = re.compile(rb"\r\nX-Seen: (\d+) (\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nSet-Cookie: ([^;\r\n]+)", re.IGNORECASE)
_TIMEOUT = 300


class Use(Enum):
    """What a request does with the session."""

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


@dataclass
class Samples:
    """CPU of the worker in microseconds for each request, and requests per second; one of each for each repetition."""

    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


Measured = dict[str, dict[Use, Samples]]
"""Application's name -> use -> samples."""


def half_range(values: Sequence[float]) -> float:
    """Return half of the difference between the smallest and the largest."""
    return (max(values) - min(values)) / 2


def start_session(running: Running) -> str:
    """Start a session. Return its cookie, or raise BenchError if it cannot be read back."""
    found = _COOKIE.search(running.get("/start"))
    if found is None:
        raise BenchError(f"{running.application.title} set no cookie")
    cookie = found[1].decode("latin-1")
    if counter(running, cookie) != 0:
        raise BenchError(f"{running.application.title} did not keep what was put into the session")
    return cookie


def counter(running: Running, cookie: str) -> int:
    """Return the counter in the session. Raises BenchError if the other fields are missing."""
    seen = _SEEN.search(running.get("/read", cookie))
    if seen is None or int(seen[1]) != Use.READ.seen:
        raise BenchError(f"{running.application.title} does not know its session any more")
    return int(seen[2])


def measure(running: Running, use: Use, cookie: str, requests: int, samples: Samples) -> None:
    """Measure one repetition: a multiple of CONNECTIONS requests."""
    title, sent = running.application.title, "" if use is Use.NONE else cookie
    before, cpu = counter(running, cookie) if use is Use.WRITE else 0, running.cpu_seconds()
    command = [sys.executable, "-m", "loadtest.bench.client", str(running.port), use.path, str(requests)]
    command += [str(CONNECTIONS), sent, str(use.seen)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{title}: {requests} requests took longer than {_TIMEOUT} s") from None
    if done.returncode != 0:
        raise BenchError(f"{title}: {done.stderr.strip().rpartition(chr(10))[2]}")
    samples.cpu.append((running.cpu_seconds() - cpu) / requests * 1e6)
    samples.rate.append(requests / float(done.stdout))
    if use is Use.WRITE and counter(running, cookie) <= before:
        raise BenchError(f"{title} did not write")


def measure_all(running: Sequence[Running], requests: int, repeat: int, progress: Callable[[str], None]) -> Measured:
    """Warm each application up, then measure all of them `repeat` times. Raises BenchError."""
    cookies = [start_session(one) if one.application.has_sessions else "" for one in running]
    samples: Measured = {one.application.name: {use: Samples() for use in uses(one.application)} for one in running}
    for turn in range(repeat + 1):
        for one, cookie in zip(running, cookies, strict=True):
            application = one.application
            for use in uses(application):
                step = f"round {turn} of {repeat}" if turn else "warming up"
                progress(f"{step}: {application.title}, {use.value}")
                if turn:
                    measure(one, use, cookie, requests, samples[application.name][use])
                else:
                    measure(one, use, cookie, application.warm_up, Samples())
    return samples


def uses(application: Application) -> tuple[Use, ...]:
    """Return the uses to measure; without sessions there is only NONE."""
    return tuple(Use) if application.has_sessions else (Use.NONE,)


def median_cpu(measured: Measured, application: Application, use: Use) -> float | None:
    """Return the median in microseconds, or None if it was not measured."""
    samples = measured.get(application.name, {}).get(use)
    return None if samples is None else statistics.median(samples.cpu)
