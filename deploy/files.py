"""Writing files atomically, readable by their owner alone by default."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    """Create or replace a file; a reader sees the old content or the new one. Returns `path`. Raises OSError."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        os.fchmod(descriptor, mode)
    return Path(draft).replace(path)
