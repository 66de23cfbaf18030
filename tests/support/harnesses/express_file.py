import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.sessions import Store
from nodes.sessions.stores.express_file import ExpressFileStore
from tests.support.harness import Harness
from tests.support.harnesses.express import BytesAsText, plain


class ExpressFileHarness:
    """In a folder, by a clock that can be turned."""

    overhead = 2  # the quotes around a text
    plain = staticmethod(plain)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._moved = 0.0
        self.file = ExpressFileStore(folder, clock=lambda: time.time() + self._moved, lock_timeout=20)
        self.store: Store = self.file

    def of_bytes(self) -> Harness:
        """The same for tests that store bytes which are no JSON."""
        self.store = BytesAsText(self.file)
        return self

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def advance(self, seconds: float) -> None:
        self._moved += seconds

    def damage(self, key: str) -> None:
        self.path(key).write_text("{broken")

    def keys(self) -> set[str]:
        return set(self.file.keys())

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """The disk is gone: the folder is no longer where it was."""
        self.store.ping()
        away = self.folder.with_suffix(".away")
        self.folder.rename(away)
        try:
            yield
        finally:
            away.rename(self.folder)

    def clear(self) -> None:
        self._moved = 0.0
        self.file.ping()
        for path in self.folder.glob("*.json"):
            path.unlink()
        shutil.rmtree(self.folder / ".damaged")
        (self.folder / ".damaged").mkdir(mode=0o700)


def make(request: pytest.FixtureRequest) -> Harness:
    return ExpressFileHarness(request.getfixturevalue("tmp_path") / "sessions")
