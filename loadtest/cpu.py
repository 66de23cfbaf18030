"""CPU time of processes: to the nanosecond where the system tells it (Linux), else to the hundredth of a second."""

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
