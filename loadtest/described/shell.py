"""Shell commands of a target's file, each bounded in time."""

import os
import shlex
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from deploy import ClusterError
from loadtest.operations import printable

_MOST_BYTES = 1_000_000


class DoneCommand:
    """A command that has succeeded. What it put into the background may go on, as processes of its session."""

    def __init__(self, session: int, files: tuple[BinaryIO, BinaryIO], *, has_background: bool) -> None:
        self.output = _read(files[0])
        self._session, self._has_background, self._files = session, has_background, files
        self._gone_since: float | None = None

    def seconds_gone(self) -> float:
        """Return for how long nothing has been left of what it put into the background; 0 if it put nothing there."""
        if self._has_background and self._gone_since is None and not any(map(self._has, psutil.pids())):
            self._gone_since = time.monotonic()
        return 0.0 if self._gone_since is None else time.monotonic() - self._gone_since

    def last_line(self) -> str:
        """Return what it printed last, or what is in the background."""
        return _last_line(*map(_read, self._files))

    def _has(self, pid: int) -> bool:
        with suppress(OSError, psutil.Error):
            return os.getsid(pid) == self._session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False


def run_command(command: str, what: str, folder: Path, environment: Mapping[str, str], timeout: float) -> DoneCommand:
    """Run a command to its end. A process that it leaves in the background goes on.

    Raises ClusterError with one line that begins with `what` if it fails, or does not end within `timeout` seconds:
    then all of its processes are killed.
    """
    with ExitStack() as files, tempfile.NamedTemporaryFile() as told:
        # Files and not pipes: what goes on in the background would keep a pipe open.
        output, errors = (files.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        # The shell tells at its end whether it has put anything into the background: that may have ended by then.
        tell = f'{{ _status=$?; printf %s "${{!:-}}" >{shlex.quote(told.name)}; exit $_status; }}'
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"{command}\n\n{tell}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C at the terminal is for this process
            )
        except OSError as error:
            raise ClusterError(f"{what} cannot be started: {error.strerror}") from error
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"{what} did not end within {timeout:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status:
            ended = f"exit status {status}" if status > 0 else f"killed by {signal.Signals(-status).name}"
            raise ClusterError(f"{what} failed: {ended}: {_last_line(_read(output), _read(errors))}")
        done = DoneCommand(process.pid, (output, errors), has_background=bool(told.read()))
        weakref.finalize(done, files.pop_all().close)  # what is in the background goes on writing
        return done


def _read(file: BinaryIO) -> str:
    # By position: what writes into it in the background has its place, too.
    return os.pread(file.fileno(), _MOST_BYTES, 0).decode(errors="replace")


def _last_line(*texts: str) -> str:
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return printable(lines[-1]) if lines else "it printed nothing"
