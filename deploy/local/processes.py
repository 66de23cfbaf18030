"""Processes that cannot outlive the command: each leads a process group, and the reaper ends all groups."""

import os
import signal
import site
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local import reaper
from deploy.spec import ClusterError
from deploy.waiting import holds_within

# The process itself reports its id to the reaper before it becomes the program: the command could be killed between
# starting a process and reporting it. $$ is the group's id too, since each process starts a session.
_LAUNCH = 'echo "$$" >&0 && exec "$@" </dev/null'
_POLL = 0.01
_SECONDS_TO_REMOVE = 30.0
"""For the files of machines on a busy disk; those of processes take less than a second."""
_ROOT = Path(__file__).resolve().parents[2]


def python_path() -> list[str]:
    """Return what PYTHONPATH must have for a child to find the packages of this checkout, from any folder.

    Nothing for an installed package: its folder, first in the path, would hide modules of the standard library
    (nginx-config-builder asks for enum34, which has an `enum` of its own).
    """
    installed = {Path(folder).resolve() for folder in (*site.getsitepackages(), site.getusersitepackages())}
    return [] if _ROOT in installed else [str(_ROOT)]


def child_environment() -> dict[str, str]:
    """Return this environment, in which a child finds the packages of this checkout, from any folder."""
    path = os.pathsep.join(filter(None, (*python_path(), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


class Breakable(ABC):
    """A program that can be stopped, continued and ended."""

    pid: int

    @abstractmethod
    def ended(self) -> bool:
        """Return whether it has ended."""

    @abstractmethod
    def paused(self) -> bool:
        """Return whether it is stopped by a signal."""

    @abstractmethod
    def exit_reason(self) -> str:
        """Return how it has ended: "killed by SIGKILL" or "exit status 3"; empty where only its parent knows."""

    @abstractmethod
    def kill(self) -> None:
        """Send SIGKILL; return when all of it has ended."""

    @abstractmethod
    def resume(self) -> None:
        """Send SIGCONT."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask it to end, and resume all of it."""

    @abstractmethod
    def _stop(self) -> None:
        """Send SIGSTOP to all of it."""

    def pause(self) -> None:
        """Send SIGSTOP; return when it has stopped or ended."""
        self._stop()
        while not self.ended() and not self.paused():
            time.sleep(_POLL)

    def wait_ended(self, timeout: float) -> None:
        """Return when it has ended, after `timeout` seconds by SIGKILL."""
        if not holds_within(self.ended, timeout):
            self.kill()


def describe_exit(status: int) -> str:
    """Return a status of `subprocess`, negative after a signal, in words."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class Process(Breakable):
    """A program in its own process group; signals go to the whole group."""

    def __init__(self, popen: "subprocess.Popen[bytes]", reaper: "ProcessReaper", log: Path) -> None:
        self._popen = popen
        self._reaper = reaper
        self.pid = popen.pid
        self.log = log
        self._lock = threading.Lock()
        self._first = psutil.Process(self.pid)  # once: the console asks for its status all the time

    def ended(self) -> bool:
        """Return whether the first process has ended; if so, the rest of its group is killed."""
        return self.status() == psutil.STATUS_DEAD

    def paused(self) -> bool:
        """Return whether the first process is stopped by a signal."""
        return self.status() == psutil.STATUS_STOPPED

    def status(self) -> str:
        """Return psutil's word for the state of the first process, DEAD when it has ended; see `ended`."""
        with self._lock:  # more than one thread may ask, and one of them reaps
            if self._popen.returncode is not None:
                return psutil.STATUS_DEAD
            status = str(self._first.status())
            if status != psutil.STATUS_ZOMBIE:
                return status
            # In this order: before the first process is reaped, its id cannot go to a group of another program.
            self._signal(signal.SIGKILL)
            self._popen.wait()
            self._reaper.forget(self.pid)
            return psutil.STATUS_DEAD

    def exit_reason(self) -> str:
        """Return "killed by SIGKILL" or "exit status 3" of a process that has ended."""
        return describe_exit(self._popen.returncode)

    def log_tail(self) -> str:
        """Return its last error in one line, or else the last line of its log, or else its exit reason.

        gunicorn logs that a worker failed after the worker has said why.
        """
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        texts = [line.strip() for line in lines if line.strip()]
        errors = [text for text in texts if text.startswith("error: ")]
        return [self.exit_reason(), *texts[-1:], *errors[-1:]][-1]

    def resume(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL; return when all of the group has ended, so that its port is free."""
        workers: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            workers = [] if self.ended() else psutil.Process(self.pid).children(recursive=True)
        self._signal(signal.SIGKILL)
        while not self.ended() or any(_works(worker) for worker in workers):
            time.sleep(_POLL)

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Send the signal to the first process alone, which passes it on to its workers, and resume all of them."""
        if not self.ended():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self._signal(signal.SIGCONT)

    def _stop(self) -> None:
        self._signal(signal.SIGSTOP)

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
    """Starts processes, and `deploy.local.reaper`, which ends them after this process has ended.

    `lock` is a descriptor that the reaper keeps open for as long as it works. `cgroup` is the name of control groups
    that it removes, too.
    """

    def __init__(self, state_dir: Path, keep: bool, lock: int | None = None, cgroup: str = "") -> None:
        reading, self._pipe = os.pipe()
        arguments = [reaper.__file__, str(state_dir), "keep" if keep else "remove", *([cgroup] if cgroup else [])]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", *arguments],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[] if lock is None else [lock],
                cwd="/",
            )
        finally:
            os.close(reading)

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> Process:
        """Start a program whose output is appended to `log`. Raises ClusterError."""
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
        """Tell the reaper that the group has ended; its id may go to another program."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, b"-%d\n" % group)

    def adopt(self, group: int) -> None:
        """Let the reaper end a group that was not started here, too."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, b"%d\n" % group)

    def close(self) -> None:
        """Let the reaper end the remaining processes and clean up. Block until it has."""
        os.close(self._pipe)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=reaper.GRACE + _SECONDS_TO_REMOVE)
