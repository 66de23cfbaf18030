"""Shell commands of a target's file, each bounded in time."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from deploy import ClusterError
from loadtest.http import printable

_MOST_BYTES = 1_000_000


def run_command(command: str, what: str, folder: Path, environment: Mapping[str, str], timeout: float) -> str:
    """Run a command; return its standard output. A process that it leaves in the background goes on.

    Raises ClusterError with one line that begins with `what` if it fails, or does not end within `timeout` seconds:
    then all of its processes are killed.
    """
    # Files and not pipes: what goes on in the background would keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
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
        for file in (output, errors):
            file.seek(0)
        text = output.read(_MOST_BYTES).decode(errors="replace")
        if status:
            lines = [*text.splitlines(), *errors.read(_MOST_BYTES).decode(errors="replace").splitlines()]
            last = next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
            ended = f"exit status {status}" if status > 0 else f"killed by {signal.Signals(-status).name}"
            raise ClusterError(f"{what} failed: {ended}: {printable(last)}")
        return text
