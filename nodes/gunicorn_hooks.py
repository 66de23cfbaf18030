"""Hooks of gunicorn.conf.py: checked settings, the metrics folder, the worker class.

This is imported by gunicorn's main process, before gevent patches anything, so it imports nothing that opens sockets.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import gevent
from greenlet import greenlet
from gunicorn.workers.ggevent import GeventWorker

from . import gunicorn_response
from .accounts import UsersError, read_accounts
from .environment import SettingsError
from .settings import Settings, list_unknown

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
WORKER = "NODE_WORKER"
log = logging.getLogger("nodes")

CLOSING = 1.0
"""Seconds that a connection may stay idle once the worker is to stop. Not 0, so that a request
which a client is just sending still gets its response, with `Connection: close`."""


def read_settings() -> Settings:
    """Return the settings of this process's environment, or exit with one line on stderr.

    Checked here too, because gunicorn would start otherwise, see its workers die and print their tracebacks.
    """
    try:
        settings = Settings.from_environ(os.environ)
        if settings.users_file is not None:
            read_accounts(settings.users_file)
    except (SettingsError, UsersError) as error:
        variable = "USERS_FILE: " if isinstance(error, UsersError) else ""
        print(f"error: {variable}{error}", file=sys.stderr)
        raise SystemExit(2) from None
    os.environ["NODE_NAME"] = settings.node_name  # found once, not by every worker again
    return settings


def make_schema(settings: Settings) -> None:
    """Create the tables of an SQL store if DATABASE_CREATE_SCHEMA is on; else look whether they are its own.

    Runs in a separate process, so that this one imports nothing that opens sockets. After a failure the node starts
    anyway: its store is unavailable then, as in any other outage. A wrong setting ends it with status 2, and so does a
    table of another application.
    """
    if settings.database_url is None:
        return
    command = [sys.executable, "-m", "nodes.stores", *([] if settings.create_schema else ["--check"])]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    reason = made.stderr.strip().rpartition("\n")[2]
    if made.returncode == 2:
        print(reason, file=sys.stderr)
        raise SystemExit(2)
    if made.returncode != 0 and settings.create_schema:
        log.error(
            "the schema was not made: %s; run `python -m nodes.stores` when the database answers",
            reason.removeprefix("error: "),
        )


class MetricsFolder:
    """The folder of the counters that a node's workers share: from the environment, or a temporary one."""

    def __init__(self) -> None:
        self._made: Path | None = None

    def open(self) -> None:
        """Create the folder, and remove the counters of an earlier run."""
        given = os.environ.get(METRICS_DIR)
        if not given:
            self._made = Path(tempfile.mkdtemp(prefix="node-metrics-"))
            os.environ[METRICS_DIR] = str(self._made)
            return
        Path(given).mkdir(parents=True, exist_ok=True)
        for old in Path(given).glob("*.db"):
            old.unlink()

    def remove(self) -> None:
        """Remove a temporary folder."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


def sweeps(settings: Settings) -> bool:
    """Return whether this worker sweeps: one of each node's does, and nodes share the work."""
    return settings.sweep_seconds > 0 and os.environ.get(WORKER, "0") == "0"


def assign_number(worker: Any, siblings: Any) -> int:
    """Give a worker the lowest free number and return it: a replacement continues its predecessor's files."""
    taken = {getattr(sibling, "number", -1) for sibling in siblings}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)
    return int(worker.number)


def announce(settings: Settings, worker_class: str) -> None:
    """Log the start of this node, with its settings and its budgets for the store; warn of unknown variables."""
    for line in list_unknown(os.environ):
        log.warning("%s", line)
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


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, which on stop doesn't wait for idle connections.

    nginx keeps connections to a node open that no request is using. gunicorn's own worker waits for them until
    `graceful_timeout`, so it stops late even without work (measured: 8 s instead of 2 s).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: set[tuple[greenlet, gevent.Timeout]] = set()

    def patch(self) -> None:
        """Patch as gevent does, and ask for each kind of plugins once.

        gevent asks all installed distributions for five kinds, 25 times: of the 0.7 s of CPU that a worker takes to
        start, 0.3 s beside 130 distributions.
        """
        entry_points = metadata.entry_points
        metadata.entry_points = cache(entry_points)  # type: ignore[assignment]
        try:
            super().patch()
        finally:
            metadata.entry_points = entry_points

    def init_process(self) -> None:
        gunicorn_response.use_in_this_process(self.cfg)
        super().init_process()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Bound the wait for a connection's next request; gunicorn enters this for nothing else."""
        with gevent.Timeout(self.cfg.keepalive if self.alive else CLOSING, False) as timeout:  # type: ignore[arg-type]
            waiting = (gevent.getcurrent(), timeout)
            self._waiting.add(waiting)
            try:
                yield
            finally:
                self._waiting.discard(waiting)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop gracefully (SIGTERM)."""
        super().handle_exit(sig, frame)
        # Not here: the signal may have interrupted a connection that is just about to wait.
        gevent.spawn(self._close_idle)

    def _close_idle(self) -> None:
        idle = frozenset(self._waiting)
        gevent.sleep(CLOSING)
        for waiting, timeout in idle & self._waiting:  # those that have waited ever since
            gevent.kill(waiting, timeout)
