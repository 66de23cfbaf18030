"""A node under gunicorn on a free port, and fixtures that start one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.http_client import HttpClient
from tests.support.servers import RunningServer
from tests.support.valkey import Valkey

ROOT = Path(__file__).parents[2]
SECRET = "a secret of more than thirty-two bytes"
PASSWORD = "correct horse battery"
PATIENT = {"STORE_CONNECT_TIMEOUT": "5", "STORE_READ_TIMEOUT": "5", "STORE_DEADLINE": "10"}
"""For tests that are not about slow stores, on a busy machine."""


def store_settings(kind: str, folder: Path) -> dict[str, str]:
    """The settings of a node on a store in this folder, `file` or `sqlite`."""
    if kind == "file":
        return {"SESSION_STORE": "file", "SESSION_FOLDER": str(folder / "sessions"), **PATIENT}
    url = f"sqlite:///{folder / 'sessions.db'}"
    return {"SESSION_STORE": "sql", "DATABASE_URL": url, "DATABASE_CREATE_SCHEMA": "on", **PATIENT}


def environment(users_file: Path, **settings: str) -> dict[str, str]:
    """Return a complete environment for a node, without the settings of this process."""
    foreign = ("NODE_", "SESSION_", "STORE_", "EXPRESS_", "REDIS_", "DATABASE_", "PROMETHEUS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    defaults = {"NODE_NAME": "node-2", "SESSION_SECRETS": SECRET, "USERS_FILE": str(users_file)}
    return kept | defaults | settings


APPLICATION = "nodes.app:from_environ()"


def command(application: str = APPLICATION) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-c", "nodes/gunicorn.conf.py", application]


class RunningNode(RunningServer):
    """A node; `settings` are environment variables."""

    application = APPLICATION

    def __init__(self, users_file: Path, log: Path, **settings: str) -> None:
        super().__init__(log)
        self._environment = environment(users_file, NODE_BIND=f"127.0.0.1:{self.port}", **settings)

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as stderr:
            return subprocess.Popen(command(self.application), cwd=ROOT, env=self._environment, stderr=stderr)

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def lines(self) -> list[dict[str, Any]]:
        """Return the finished lines of the log. A line that is not JSON fails the test."""
        text = self.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def log_in(self, user: str = "alice") -> HttpClient:
        browser = HttpClient(self.url)
        browser.log_in({user: PASSWORD}, user)
        return browser


@pytest.fixture
def run_node(users_file: Path, tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Yield a function that starts a node with these environment variables. The nodes end with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            RunningNode(users_file, tmp_path / f"node-{len(list(tmp_path.iterdir()))}.log", **settings)
        )


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Valkey that keeps its data when it is killed and started again."""
    server = Valkey("--appendonly", "yes", "--appendfsync", "no")
    yield server
    server.close()
