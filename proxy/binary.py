"""Finding the binary of a server: by path, or by name in PATH."""

import os
import shutil
from pathlib import Path


class BinaryNotUsable(Exception):
    """The binary is missing or can't be executed. The message is one line."""


def find_binary(name: str | Path, what: str) -> Path:
    """Return the absolute path of a binary; a bare name is looked up in PATH. `what` names it in errors.

    Raises BinaryNotUsable.
    """
    path = Path(name)
    if os.sep not in str(name):
        found = shutil.which(name)
        if found is None:
            raise BinaryNotUsable(f"{what} not found: {str(name)!r} is not in PATH")
        path = Path(found)
    if not path.is_file():
        raise BinaryNotUsable(f"{what} not found: no such file: {path}")
    if not os.access(path, os.X_OK):
        raise BinaryNotUsable(f"{what} {path} is not executable: chmod +x it, or name another")
    return path.absolute()
