"""The reaper of a target: a process that undoes what a command did to the target if the command is killed."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from deploy.local.processes import child_environment

_PROGRAM = Path(__file__).with_name("undo.py")


class ToUndo(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to undo: members that were changed, the number of nodes before, and what is a runtime's `own`.
    `state` is the folder that goes with the run."""

    state: str
    broken: tuple[str, ...] = ()
    scaled_from: int | None = None
    own: dict[str, Any] = {}


class TargetReaper:
    """Starts `loadtest.described.undo` as soon as there is something to undo."""

    def __init__(self, file: Path) -> None:
        self._file = file.resolve()
        self._process: subprocess.Popen[bytes] | None = None

    def note(self, left: ToUndo | None) -> None:
        """Tell what there is to undo from now on; None: nothing."""
        if self._process is None:
            if left is None:
                return
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-P", str(_PROGRAM), str(self._file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody has ended it
            self._process.stdin.write(b"" if left is None else msgspec.json.encode(left))
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End it: all is undone."""
        self.note(None)
        process, self._process = self._process, None
        if process is not None:
            process.communicate()
