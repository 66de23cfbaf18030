"""The measurement, in at most two minutes: memory at two sizes, a replica's copy, and CPU of each kind of request."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from loadtest.capacity.figures import FEWEST_SESSIONS, Figure, MachineFigures, Part, RequestKind, Traffic
from loadtest.capacity.redis_contents import RedisContents
from loadtest.capacity.sql_contents import SqlContents
from loadtest.capacity.testbed import LoadSample, Testbed
from loadtest.cpu import ForeignCpu

_TOKEN_TRIES = 3
_COPIES = 3
_TRIAL = 2_000
"""Sessions that tell how fast this machine fills a store."""
_FILL_SECONDS, _COPY_SECONDS, _LEAST_COPY_SECONDS, _ALL_SECONDS, _FEWEST_ROUNDS = 30.0, 75.0, 20.0, 90.0, 3
"""Bounds that keep the measurement below two minutes on a slow machine: a smaller store, fewer copies of it, which have
to end, and fewer rounds. All but the first count from the beginning."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The bounds of a measurement."""

    sessions: int = 200_000
    """Memory is compared with a quarter of it, so that tables which double are equally full."""
    rounds: int = 7
    requests: int = 400
    """Of each kind in each round."""
    logins: int = 8
    checked_rounds: int = 11
    """Rounds of a check."""


QUICK = Sampling(sessions=20_000, rounds=3, requests=120, logins=4, checked_rounds=5)
Watch = Callable[[str, str], None]
"""Told of each stage and of the next one."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a store without sessions, and what a session adds."""

    empty: float
    session: float
    resident: float

    def predict(self, sessions: int) -> float:
        return self.empty + sessions * self.session


def fit_memory(
    bed: Testbed, sessions: int, clock: Callable[[], float] = time.monotonic
) -> tuple[Memory, tuple[int, int]]:
    """Fill the store to a quarter and to all of `sessions`, or fewer where that takes too long.

    Return the line through both points, and the numbers of sessions.
    """
    began = clock()
    bed.contents.fill(_TRIAL)
    in_time = int(_TRIAL / (clock() - began) * _FILL_SECONDS)
    sessions = min(max(sessions, FEWEST_SESSIONS[bed.store]), max(in_time, 4 * _TRIAL))
    sizes = sessions // 4, sessions
    points = []
    for size in sizes:
        bed.contents.fill(size)
        points.append(bed.contents.memory())
    (used, resident), (used_more, resident_more) = points
    more = sizes[1] - sizes[0]
    session = (used_more - used) / more
    return Memory(used - sizes[0] * session, session, (resident_more - resident) / more), sizes


def measure(bed: Testbed, sampling: Sampling, watch: Watch) -> tuple[MachineFigures, Memory]:
    """Measure a cluster that has just started. Raises ClusterError, redis.RedisError, OSError."""
    contents, began = bed.contents, time.monotonic()

    def elapsed() -> float:
        return time.monotonic() - began

    watch("fills the store", "")
    if isinstance(contents, RedisContents):
        contents.end_replicas()
    memory, sizes = fit_memory(bed, sampling.sessions)
    resync = token = None
    if isinstance(contents, RedisContents):
        watch("replicas copy it", "requests")
        resync = Figure(tuple(copy_replicas(contents, elapsed)))
    watch("rests", "requests")
    bed.rest()
    for kind in RequestKind:
        bed.run(kind, 60 if kind is not RequestKind.LOGIN else 4)  # warms up
    if isinstance(contents, RedisContents):
        token = measure_token(bed, sampling.requests)
    runs: dict[RequestKind, list[LoadSample]] = {kind: [] for kind in RequestKind}
    foreign = ForeignCpu()
    for number in range(1, sampling.rounds + 1):
        if number > _FEWEST_ROUNDS and elapsed() > _ALL_SECONDS:
            break
        watch(f"round {number} of {sampling.rounds} of requests", "")
        for kind in RequestKind:
            count = sampling.logins if kind is RequestKind.LOGIN else sampling.requests
            runs[kind].append(bed.run(kind, count))
    return (
        MachineFigures(
            demands=demands(runs),
            traffic={kind: _traffic(samples) for kind, samples in runs.items()},
            session_bytes=memory.session,
            resident_bytes=max(memory.resident, memory.session),
            index_bytes=contents.index_bytes() if isinstance(contents, RedisContents) else 0.0,
            token_bytes=token or 0.0,
            worker_bytes=bed.worker_bytes,
            resync_seconds=resync,
            writer_seconds=contents.writer_seconds() if isinstance(contents, SqlContents) else None,
            data_bytes=contents.data_bytes,
            fitted=sizes,
            sessions=contents.count,
            cores=os.cpu_count() or 1,
            foreign_share=foreign.share(),
            versions=bed.versions,
        ),
        memory,
    )


def demands(runs: dict[RequestKind, list[LoadSample]]) -> dict[Part, dict[RequestKind, Figure]]:
    """Return the CPU of a request by part and kind."""
    return {
        part: {kind: Figure(tuple(run.cpu[part] for run in samples)) for kind, samples in runs.items()}
        for part in Part
        if all(part in run.cpu for samples in runs.values() for run in samples)
    }


def copy_replicas(contents: RedisContents, elapsed: Callable[[], float]) -> list[float]:
    """Start each replica, and one of them again, `_COPIES` times in all where there is time. Return seconds for each
    GB. Raises ClusterError where a copy does not end in time."""

    def copy(name: str) -> float:
        return contents.resync(name, max(_LEAST_COPY_SECONDS, _COPY_SECONDS - elapsed()))

    took = [copy(name) for name in contents.replicas]
    while len(took) < _COPIES and elapsed() < _COPY_SECONDS:
        contents.end_replica(contents.replicas[0])
        took.append(copy(contents.replicas[0]))
    return took


def measure_token(bed: Testbed, writes: int) -> float:
    """Return the memory that a write leaves for a while. On a busy machine earlier tokens expire meanwhile, and buffers
    of clients are freed: where that hides it, it is measured again."""
    for _ in range(_TOKEN_TRIES):
        before, _ = bed.contents.memory()
        bed.run(RequestKind.WRITE, writes)
        after, _ = bed.contents.memory()
        if after > before:
            return (after - before) / writes
    return 0.0


def _traffic(runs: list[LoadSample]) -> Traffic:
    return Traffic(
        median(run.client_bytes for run in runs),
        median(run.store_bytes for run in runs),
        median(run.replication_bytes for run in runs),
    )
