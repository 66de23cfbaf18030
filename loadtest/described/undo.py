"""Repairs and ends a target after the command that broke or started it was killed.

Run as `python -S -E -P undo.py FILE`, with a pipe as stdin whose other end the command holds. A line on it is what
there is to undo at that moment, as JSON; an empty one is nothing. The end of the pipe is the end of the command, by
SIGKILL too: then `python -m loadtest.described.undo FILE LINE` undoes what the last line says. Until then it uses the
standard library alone, and imports little of it: nearly always there is nothing to do.
"""

import os
import signal
import sys


def wait(file: str) -> None:
    """Wait for the end of the command; then undo what it has left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = ""
    for line in sys.stdin:
        if line.endswith("\n"):  # all of it was written
            left = line.strip()
    if left:
        os.execv(sys.executable, [sys.executable, "-m", "loadtest.described.undo", file, left])  # noqa: S606


def undo(file: str, left: str) -> None:
    """Repair and end the target of a file."""
    from pathlib import Path

    import msgspec

    from loadtest.described.description import read_description
    from loadtest.described.make_runtime import make_cluster
    from loadtest.described.reaper import ToUndo

    cluster = make_cluster(read_description(Path(file)))
    assert cluster is not None, "the file has a runtime"
    cluster.take_over(msgspec.json.decode(left, type=ToUndo))
    cluster.stop()


if __name__ == "__main__":
    (wait if len(sys.argv) == 2 else undo)(*sys.argv[1:])
