# ruff: noqa: N999 - the name that gunicorn looks for
"""gunicorn's configuration of a node: `python -m gunicorn -c nodes/gunicorn.conf.py "nodes.app:from_environ()"`."""

import os
from typing import Any

from nodes import gunicorn_hooks, logs

settings = gunicorn_hooks.read_settings()
_metrics_folder = gunicorn_hooks.MetricsFolder()

bind = settings.bind
workers = settings.workers
# gevent, because waiting requests must not block others. Measured: GET /live while 8 clients of the same worker wait
# for a silent store takes 4 ms (median) with gevent, 520 ms with gthread and 4 threads, 4 s with sync and with gthread
# and 1 thread. CPU time decides nothing: GET /me with a session in Valkey costs the worker 1.29 ms with gevent, 1.36
# and 1.30 with gthread (4 threads, 1 thread), 1.25 with sync, which keeps no connection (8 keep-alive connections,
# medians of 5 interleaved runs of 3200 requests on 2 busy cores; the runs of one class differ by 26 to 71 %, more than
# the classes).
worker_class = "nodes.gunicorn_hooks.Worker"
worker_connections = 1000
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - heartbeats must not wait for a disk
preload_app = False  # each worker makes its own connections and, with the memory store, its own sessions

keepalive = 75  # longer than nginx keeps idle connections (30 s), so that a request never meets one that is closing
timeout = 30  # a worker that is silent for this long is replaced; no request may take half of it
graceful_timeout = 8  # seconds for requests in flight at a stop; below the 10 s after which Docker kills

limit_request_line = 8190
limit_request_field_size = 16380  # a cookie of 8 KB arrives, and is refused by the session layer, not with a 400
# X-Forwarded-* is trusted in one place, ProxyFix, as often as TRUSTED_PROXIES says; gunicorn itself trusts no client.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

logger_class = logs.JsonLogger
loglevel = settings.log_level
accesslog = None
control_socket_disable = True  # one path for all nodes of a machine, and unused


def on_starting(_server: Any) -> None:
    gunicorn_hooks.make_schema(settings)  # first, since it may exit
    _metrics_folder.open()


def when_ready(_server: Any) -> None:
    gunicorn_hooks.announce(settings, worker_class)


def pre_fork(server: Any, worker: Any) -> None:
    os.environ[gunicorn_hooks.WORKER] = str(gunicorn_hooks.assign_number(worker, server.WORKERS.values()))


def on_exit(_server: Any) -> None:
    _metrics_folder.remove()
