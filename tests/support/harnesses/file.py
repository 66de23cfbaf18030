import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.sessions import FileStore, Store

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder in memory, where the system has one: fsync takes no time there, and a killed process loses nothing."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as made:
        yield Path(made)


@dataclass
class FileHarness:
    """A file store with a clock that can be turned."""

    folder: Path

    def __post_init__(self) -> None:
        self.clear()

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def advance(self, seconds: float) -> None:
        self._moved += seconds

    def damage(self, key: str) -> None:
        data = bytearray(self.path(key).read_bytes())
        data[-1] ^= 1
        self.path(key).write_bytes(bytes(data))

    def set_format(self, key: str, number: int) -> None:
        """Make the record one that another version wrote."""
        data = bytearray(self.path(key).read_bytes())
        data[2] = number
        self.path(key).write_bytes(bytes(data))

    def keys(self) -> set[str]:
        return set(self.file.keys())

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Move the folder away inside the block, as if its disk were gone."""
        self.store.ping()
        away = self.folder.with_suffix(".away")
        self.folder.rename(away)
        try:
            yield
        finally:
            away.rename(self.folder)

    def clear(self) -> None:
        for path in self.folder.glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._moved = 0.0
        # Many at once on a busy disk: how long one waits has tests of its own.
        self.file = FileStore(self.folder, lock_timeout=20, clock=lambda: time.time() + self._moved)
        self.store: Store = self.file
