"""Start and stop the prober, a process that gets its endpoints on stdin and writes each probe to stdout."""

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from typing import Self

import msgspec

from deploy.local.processes import child_environment
from loadtest.history import Probe
from loadtest.prober.process import TIMEOUT, Endpoint

START_TIMEOUT = 20.0


class ProberError(Exception):
    """The prober did not start, or ended early; the message is one line."""


class Prober:
    """A context manager that probes until `stop`.

    It requests each endpoint every 50 ms, also while an earlier answer is outstanding; an answer that takes longer than
    5 s is unknown. An endpoint that tests the store needs a session's cookie. Cookies are sent over a pipe, so they
    appear in no argument list.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._probes: deque[Probe] = deque()
        self._began = threading.Event()

    def __enter__(self) -> Self:
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.prober.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C at the terminal is for the command, which stops the others in order
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with contextlib.suppress(BrokenPipeError):  # it has ended; its log has the reason
            self._stdin.write(msgspec.json.encode(self._endpoints) + b"\n")
            self._stdin.flush()
        if not self._began.wait(START_TIMEOUT) or self._process.poll() is not None:
            error = ProberError(self._exit_reason())
            self.__exit__(ProberError)
            raise error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        self._end()
        self._stdout.close()
        self._stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def take(self) -> list[Probe]:
        """Return the probes that have ended since the last call, in the order they ended."""
        return [self._probes.popleft() for _ in range(len(self._probes))]

    def stop(self) -> None:
        """Stop sending, and wait for probes in flight. Raises ProberError if the prober ended before."""
        self._end()
        if self._process.returncode:
            raise ProberError(self._exit_reason())

    def _end(self) -> None:
        """Close its stdin, which ends it; kill it if it does not end in time."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._stdin.close()
        try:
            self._process.wait(TIMEOUT + START_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        try:
            for line in self._stdout:
                if self._began.is_set():
                    self._probes.append(msgspec.json.decode(line, type=Probe))
                self._began.set()
        except msgspec.DecodeError:
            self._process.kill()  # not the output of a prober
        self._began.set()

    def _exit_reason(self) -> str:
        self._process.kill()
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the prober ended early (exit {code}): {last or 'it logged nothing'}"
