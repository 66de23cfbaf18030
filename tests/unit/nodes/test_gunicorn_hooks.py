"""The worker: its stop, at moments that a running node only meets by chance, and the cost of its start."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from nodes import gunicorn_hooks
from nodes.gunicorn_hooks import Worker
from tests.support.node import ROOT


class Configuration:
    """What a worker reads of gunicorn's configuration; SIGTERM arrives just as it asks for how long to wait."""

    umask, uid, gid, worker_tmp_dir, max_requests, worker_connections = 0, 0, 0, None, 0, 1

    def __init__(self) -> None:
        self.worker: Any = None

    @property
    def keepalive(self) -> float:
        self.worker.handle_exit(signal.SIGTERM, None)
        return 20


def test_a_connection_that_begins_to_wait_while_the_signal_arrives_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_hooks, "CLOSING", 0.02)
    configuration = Configuration()
    worker = configuration.worker = Worker(1, 1, [], SimpleNamespace(), 30, configuration, None)

    def wait_for_a_request() -> float:
        began = time.monotonic()
        with worker.timeout_ctx():
            gevent.sleep(5)
        return time.monotonic() - began

    assert gevent.spawn(wait_for_a_request).get(timeout=10) < 1


COUNTING = """
from importlib import metadata
from nodes.gunicorn_hooks import Worker
from tests.support.node import ROOT

asked, entry_points = [], metadata.entry_points

def counting(**group):
    asked.append(group["group"])
    return entry_points(**group)

metadata.entry_points = counting
worker = Worker.__new__(Worker)
worker.sockets = []
worker.patch()
assert metadata.entry_points is counting
print(len(asked) - len(set(asked)), len(asked) > 0)
"""


def test_distributions_are_asked_once_for_each_kind_of_plugins() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "0 True\n", done.stderr
