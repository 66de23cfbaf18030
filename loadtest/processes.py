"""The use of memory, descriptors and threads by the processes of a run, at its beginning and at its end."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import psutil

from deploy import Cluster, Role

RUNNER = "runner and checker"


class ProcessUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The use by one process with its children. `memory` is in MB: a page that several share counts for each with its
    part (PSS), where the system tells."""

    memory: float
    descriptors: int
    threads: int
    processes: int


class ProcessChange(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the cluster, or a process of the run itself, in a quiet phase at the beginning and at the end.

    `replaced`: its first process is another one in the end, because of a fault. The one at the beginning had just
    started, too. `role` is that of the member.
    """

    name: str
    role: Role | None = None
    begin: ProcessUsage
    end: ProcessUsage
    replaced: bool = False


@dataclass(frozen=True)
class Sample:
    """The use by a process; `identity` is its id and the time of its start."""

    role: Role | None
    usage: ProcessUsage
    identity: tuple[int, float]


def measure(cluster: Cluster, helpers: Mapping[str, int]) -> dict[str, Sample]:
    """Return a sample of each member of the cluster, of this process, and of the `helpers`, by name.

    A member without a process on this machine is left out. Raises ClusterError.
    """
    members = {member.name: (member.pid, member.role) for member in cluster.members() if member.pid is not None}
    samples = {RUNNER: _measure(None, [psutil.Process(os.getpid())])}
    for name, (pid, role) in {**{name: (pid, None) for name, pid in helpers.items()}, **members}.items():
        with suppress(psutil.Error):  # it has just ended, or belongs to another user
            process = psutil.Process(pid)
            samples[name] = _measure(role, [process, *process.children(recursive=True)])
    return samples


def compare(begin: Mapping[str, Sample], end: Mapping[str, Sample]) -> tuple[ProcessChange, ...]:
    """Return the change of each process that is in both."""
    return tuple(
        ProcessChange(
            name=name,
            role=sample.role,
            begin=sample.usage,
            end=end[name].usage,
            replaced=sample.identity != end[name].identity,
        )
        for name, sample in begin.items()
        if name in end
    )


def _measure(role: Role | None, processes: list[psutil.Process]) -> Sample:
    """Return the sum over processes, of which all but the first may have ended. Raises psutil.Error."""
    first = processes[0]
    identity = first.pid, first.create_time()
    memory, descriptors, threads, count = 0, 0, 0, 0
    for process in processes:
        try:
            info = process.memory_full_info()
            memory += getattr(info, "pss", info.rss)
            descriptors += process.num_fds()
            threads += process.num_threads()
            count += 1
        except psutil.Error:
            if process is first:
                raise
    usage = ProcessUsage(memory=round(memory / 1e6, 1), descriptors=descriptors, threads=threads, processes=count)
    return Sample(role, usage, identity)
