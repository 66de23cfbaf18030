"""Ends the processes of a cluster when the command that started them has ended, however it ended.

Run as `python -S -E reaper.py STATE_DIR KEEP [CGROUP]`, with a pipe as stdin whose other end the command holds. A line
on it is the id of a process group that now belongs to the cluster, or "-" and the id of a group that has ended. The end
of the pipe is the end of the command, by SIGKILL too: then the groups get TERM (and CONT, which a stopped process needs
to receive TERM), and KILL after some seconds. KEEP is "keep" or "remove" and applies to the state directory. Its files
about a running cluster are removed in any case. CGROUP is the name of control groups that are removed, too.

Uses the standard library alone, and imports little of it: it starts first and must start quickly.
"""

import os
import signal
import sys
import time

GRACE = 3.0
"""Seconds from TERM to KILL."""
REMOVED = ("cluster.json", "secrets", "metrics", "data", "tls")
"""Files and folders that the state directory holds only while a cluster runs."""
CGROUPS = "/sys/fs/cgroup"


def main(state_dir: str, keep: bool, cgroup: str = "") -> None:
    # The command handles Ctrl-C and a closed terminal, and closes the pipe when it has.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end(read_groups())
    remove(state_dir, keep)
    if cgroup:
        remove_cgroups(cgroup)


def read_groups() -> set[int]:
    groups: set[int] = set()
    for line in sys.stdin:
        if line.startswith("-"):
            groups.discard(int(line[1:]))
        else:
            groups.add(int(line))
    return groups


def end(groups: set[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGCONT):
        groups = {group for group in groups if send(group, number)}
    deadline = time.monotonic() + GRACE
    while groups and time.monotonic() < deadline:
        time.sleep(0.02)
        groups = {group for group in groups if send(group, 0)}
    for group in groups:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal; return whether the group still has a process."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # macOS answers so for a group of which only zombies are left.
    return True


def remove(state_dir: str, keep: bool) -> None:
    import shutil

    for path in [os.path.join(state_dir, name) for name in REMOVED] if keep else [state_dir]:  # noqa: PTH118
        deadline = time.monotonic() + GRACE
        # Pathlib would double the time to start. Again where a process still writes there.
        while os.path.isdir(path) and time.monotonic() < deadline:  # noqa: PTH112
            shutil.rmtree(path, ignore_errors=True)
        if os.path.isfile(path):  # noqa: PTH113
            os.remove(path)  # noqa: PTH107


def remove_cgroups(name: str) -> None:
    """Remove the control groups of this name in each hierarchy; their processes have ended."""
    import contextlib

    for hierarchy in ("", *os.listdir(CGROUPS)) if os.path.isdir(CGROUPS) else ():  # noqa: PTH112, PTH208
        top = os.path.join(CGROUPS, hierarchy, name)  # noqa: PTH118
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):  # its last process is just going
                os.rmdir(folder)  # noqa: PTH106


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "keep", *sys.argv[3:])
