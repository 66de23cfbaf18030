"""Measuring: each application in turn, again and again, so that a slow moment of the machine hits them all."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from loadtest.bench.apps import CHARACTERS, TEXTS
from loadtest.bench.servers import BenchError, Running

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
        """How many characters of the session such a request sees; every answer has to say so."""
        return {Use.READ: sum(map(len, TEXTS.values())), Use.WRITE: CHARACTERS}.get(self, 0)


@dataclass
class Samples:
    """CPU of the worker in microseconds for each request, and requests in a second; one of each for each repetition."""

    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        return half_range(self.cpu)


def half_range(values: Sequence[float]) -> float:
    """Half of what lies between the smallest and the largest."""
    return (max(values) - min(values)) / 2


def has_session(running: Running) -> bool:
    """Whether the application has sessions at all."""
    return running.application.name != running.application.base


def start_session(running: Running) -> str:
    """The cookie of a session that was made and can be read; BenchError where it can't."""
    found = _COOKIE.search(running.get("/start"))
    if found is None:
        raise BenchError(f"{running.application.title} set no cookie")
    cookie = found[1].decode("latin-1")
    if counter(running, cookie) != 0:
        raise BenchError(f"{running.application.title} did not keep what was put into the session")
    return cookie


def counter(running: Running, cookie: str) -> int:
    """The number in the session, after a look at whether all of the rest is there."""
    seen = _SEEN.search(running.get("/read", cookie))
    if seen is None or int(seen[1]) != Use.READ.seen:
        raise BenchError(f"{running.application.title} does not know its session any more")
    return int(seen[2])


def measure(running: Running, use: Use, cookie: str, requests: int, samples: Samples) -> None:
    """One repetition."""
    sent = "" if use is Use.NONE else cookie
    before, cpu = counter(running, cookie) if use is Use.WRITE else 0, running.cpu_seconds()
    command = [sys.executable, "-m", "loadtest.bench.client", str(running.port), use.path, str(requests)]
    try:
        done = subprocess.run(
            [*command, str(CONNECTIONS), sent, str(use.seen)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{running.application.title}: {requests} requests took longer than {_TIMEOUT} s") from None
    if done.returncode != 0:
        raise BenchError(f"{running.application.title}: {done.stderr.strip().rpartition(chr(10))[2]}")
    samples.cpu.append((running.cpu_seconds() - cpu) / requests * 1e6)
    samples.rate.append(requests / float(done.stdout))
    if use is Use.WRITE and counter(running, cookie) <= before:
        raise BenchError(f"{running.application.title} did not write")


Measured = dict[str, dict[Use, Samples]]


def measure_all(
    running: Sequence[Running], requests: int, repeat: int, progress: Callable[[str], None]
) -> tuple[Measured, dict[str, str]]:
    """The samples by application and use, and the cookie of each session. One round before the first does not count."""
    cookies = {one.application.name: start_session(one) if has_session(one) else "" for one in running}
    samples: Measured = {one.application.name: {use: Samples() for use in uses_of(one)} for one in running}
    for turn in range(repeat + 1):
        for one in running:
            for use in uses_of(one):
                progress(
                    f"{f'round {turn} of {repeat}' if turn else 'warming up'}: {one.application.title}, {use.value}"
                )
                name = one.application.name
                if turn == 0:
                    measure(one, use, cookies[name], max(requests // 5, CONNECTIONS), Samples())
                else:
                    measure(one, use, cookies[name], requests, samples[name][use])
    return samples, cookies


def uses_of(running: Running) -> tuple[Use, ...]:
    """All of them; of an application without sessions there is only one."""
    return tuple(Use) if has_session(running) else (Use.NONE,)
