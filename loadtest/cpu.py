"""CPU time of processes: to the nanosecond where the system tells it (Linux), else to the hundredth of a second."""

import os
import time
from pathlib import Path

import psutil


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, user and system, of all its threads. Raises OSError if it has ended."""
    threads = Path(f"/proc/{pid}/task")
    try:
        if Path("/proc/self/schedstat").is_file():
            return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir()) / 1e9
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(str(error)) from error


def cpu_seconds_with_children(pid: int) -> float:
    """Return the CPU time of a process and its descendants that run. Raises OSError if it has ended."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(str(error)) from error
    return cpu_seconds(pid) + sum(cpu_seconds(child.pid) for child in children)


class ForeignCpu:
    """The use of this machine's cores, from its creation on, by programs that are not descendants of this process."""

    def __init__(self) -> None:
        self._before = self._read()

    def share(self) -> float:
        """Return their share of all cores, 0 to 1."""
        (began, busy, own), (now, busy_now, own_now) = self._before, self._read()
        used = (busy_now - busy) - (own_now - own)
        return min(1.0, max(0.0, used / ((now - began) * (os.cpu_count() or 1))))

    @staticmethod
    def _read() -> tuple[float, float, float]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        return time.monotonic(), sum(times[:8]) - idle, cpu_seconds_with_children(os.getpid())
