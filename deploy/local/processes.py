"""Processes that cannot outlive the command: each leads a group of its own, and a reaper knows all the groups."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.errors import ClusterError
from deploy.local import reaper

# The process says its id to the reaper itself, before it becomes the program: were it the command that says it, the
# command could be killed between starting and saying. $$ is the group's id too, since each starts a session.
_LAUNCH = 'echo "$$" >&0 && exec "$@" </dev/null'
_POLL = 0.01


class Process:
    """A program in a process group of its own, all of which is signalled and ended together."""

    def __init__(self, popen: "subprocess.Popen[bytes]", reaper: "ProcessReaper", log: Path) -> None:
        self._popen = popen
        self._reaper = reaper
        self.pid = popen.pid
        self.log = log
        self._lock = threading.Lock()

    def ended(self) -> bool:
        """Whether the first process has ended; then the rest of its group is ended as well."""
        return self._status() == psutil.STATUS_DEAD

    def paused(self) -> bool:
        """Whether the first process is stopped by a signal."""
        return self._status() == psutil.STATUS_STOPPED

    def _status(self) -> str:
        with self._lock:  # more than one thread may ask, and one of them reaps
            if self._popen.returncode is not None:
                return psutil.STATUS_DEAD
            status = str(psutil.Process(self.pid).status())
            if status != psutil.STATUS_ZOMBIE:
                return status
            # In this order: before the first process is reaped, its id cannot go to a group of another program.
            self._signal(signal.SIGKILL)
            self._popen.wait()
            self._reaper.forget(self.pid)
            return psutil.STATUS_DEAD

    def how_it_ended(self) -> str:
        """ "killed by SIGKILL", "exit status 3"; for a process that has ended."""
        status = self._popen.returncode
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def last_words(self) -> str:
        """The last line of its log that is not empty, or how it ended."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else self.how_it_ended()

    def pause(self) -> None:
        """SIGSTOP; returns when it has stopped or ended."""
        self._signal(signal.SIGSTOP)
        while not self.ended() and not self.paused():
            time.sleep(_POLL)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when all of the group has ended, so that its port is free."""
        workers = [] if self.ended() else psutil.Process(self.pid).children(recursive=True)
        self._signal(signal.SIGKILL)
        while not self.ended() or any(_works(worker) for worker in workers):
            time.sleep(_POLL)

    def ask_to_end(self, number: int = signal.SIGTERM) -> None:
        """The signal to the first process, which passes it on to its workers as it sees fit; it is resumed for it."""
        if not self.ended():
            os.kill(self.pid, number)
            self._signal(signal.SIGCONT)

    def wait_ended(self, timeout: float) -> None:
        """Returns when it has ended, after `timeout` seconds by SIGKILL."""
        deadline = time.monotonic() + timeout
        while not self.ended():
            if time.monotonic() > deadline:
                return self.kill()
            time.sleep(_POLL)
        return None

    def _signal(self, number: int) -> None:
        if self._popen.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # macOS's answer for a group of zombies
                os.killpg(self.pid, number)


def _works(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ProcessReaper:
    """Starts processes, and the reaper that ends them if this process does not: see `deploy.local.reaper`.

    `lock` is a descriptor that the reaper keeps open for as long as it works.
    """

    def __init__(self, state_dir: Path, keep: bool, lock: int) -> None:
        reading, self._pipe = os.pipe()
        arguments = [reaper.__file__, str(state_dir), "keep" if keep else "remove"]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", *arguments],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[lock],
                cwd="/",
            )
        finally:
            os.close(reading)

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> Process:
        """Start a program whose output is appended to `log`. Whether it runs is to be asked of the process."""
        with log.open("ab") as output:
            try:
                popen = subprocess.Popen(
                    ["/bin/sh", "-c", _LAUNCH, "sh", *command],
                    stdin=self._pipe,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise ClusterError(f"cannot start {command[0]}: {error.strerror}") from error
        return Process(popen, self, log)

    def forget(self, group: int) -> None:
        """The group has ended; its id may be given to others."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, b"-%d\n" % group)

    def close(self) -> None:
        """Let the reaper end what is left and clean up; returns when it has."""
        os.close(self._pipe)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=reaper.GRACE + 5)
