"""A process of its own beside the command: it is told what to do line by line, and answers so."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


class Child:
    """`python -m module`, from when this is made until `close`."""

    def __init__(self, module: str) -> None:
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
            # Its own session: Ctrl-C at the terminal is for the command, which ends the others in its own order.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def tell(self, line: bytes) -> None:
        """Raises BrokenPipeError where it has ended."""
        self._stdin.write(line + b"\n")
        self._stdin.flush()

    def lines(self) -> Iterator[bytes]:
        """What it says, until it ends."""
        return iter(self._stdout)

    def kill(self) -> None:
        self._process.kill()

    def end(self, timeout: float) -> None:
        """Tells it nothing more, upon which it ends: by itself within `timeout` seconds, or by force."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Once it has ended and nobody reads its lines any more."""
        self._stdout.close()
        self._stderr.close()

    def obituary(self) -> str:
        """How it ended, now at the latest: "ended early (exit 1): …", with the last line that it complained with."""
        self._process.kill()
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"ended early (exit {code}): {last or 'it said nothing'}"
