"""What gunicorn.conf.py hooks into gunicorn: JSON logs, the folder of the metrics, a number for each worker.

This runs in gunicorn's main process, before gevent patches anything, so it imports nothing that opens sockets.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gunicorn.glogging

from . import logs
from .accounts import Users, UsersError
from .environment import SettingsError
from .settings import Settings

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
WORKER = "NODE_WORKER"
log = logging.getLogger("nodes")


def checked_settings() -> Settings:
    """The settings of this process's environment. Ends the process with one line on stderr where they are wrong.

    Here and not only in the workers, because gunicorn would start, see its workers die and print their traces.
    """
    try:
        settings = Settings.from_environ(os.environ)
        Users.read(settings.users_file)
    except (SettingsError, UsersError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    os.environ["NODE_NAME"] = settings.node_name  # found once, not by every worker again
    return settings


def make_schema(settings: Settings) -> None:
    """Makes the tables of an SQL store, where DATABASE_CREATE_SCHEMA asks for it.

    In a process of its own, so that this one stays free of what opens sockets. Where it fails the node starts all the
    same: its store is out of reach then, as in any other outage.
    """
    if not settings.create_schema:
        return
    made = subprocess.run([sys.executable, "-m", "nodes.stores"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        log.error("the schema was not made: %s", made.stderr.strip().rpartition("\n")[2])


class JsonLogger(gunicorn.glogging.Logger):  # type: ignore[misc]
    """gunicorn's own messages as JSON lines. It logs no access: the node does, knowing the session and the route."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn with its configuration."""
        logs.configure(os.environ.get("NODE_NAME", "node"), cfg.loglevel)
        self.error_log.handlers.clear()
        self.error_log.setLevel(cfg.loglevel.upper())
        self.error_log.propagate = True

    def access(self, *_: object) -> None:
        """Nothing."""

    def reopen_files(self) -> None:
        """Nothing: logs go to stderr."""

    def close_on_exec(self) -> None:
        """Nothing: stderr stays open."""


class MetricsFolder:
    """The folder that the workers of one node share their counts in: the one of the environment, or a temporary one."""

    def __init__(self) -> None:
        self._made: Path | None = None

    def open(self) -> None:
        """Makes it, and empties it of what an earlier run of the same node left."""
        given = os.environ.get(METRICS_DIR)
        if not given:
            self._made = Path(tempfile.mkdtemp(prefix="node-metrics-"))
            os.environ[METRICS_DIR] = str(self._made)
            return
        Path(given).mkdir(parents=True, exist_ok=True)
        for old in Path(given).glob("*.db"):
            old.unlink()

    def remove(self) -> None:
        """Takes it away again, if it is a temporary one."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


def number_of(worker: Any, siblings: Any) -> int:
    """The lowest number that no living worker has, so that a replacement continues the files of the one it replaces."""
    taken = {getattr(sibling, "number", -1) for sibling in siblings}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)
    return int(worker.number)


def announce(settings: Settings, worker_class: str) -> None:
    """Logs once, at the start, what this node is and how long it will wait for the store."""
    log.info(
        "node is served",
        extra={
            "bind": settings.bind,
            "workers": settings.workers,
            "worker_class": worker_class,
            "store": settings.store.value,
            "store_budgets": settings.budgets(),
            "session_timeouts": {"idle": settings.idle_timeout, "absolute": settings.absolute_timeout},
            "trusted_proxies": settings.trusted_proxies,
        },
    )
