# ruff: noqa: N999 - the name that gunicorn looks for
"""gunicorn settings of the Flask-Session application: those of the Flask nodes, so that only the sessions differ."""

import os

bind = f"{os.environ['HOST']}:{os.environ['PORT']}"
workers = int(os.environ.get("NODE_WORKERS", "1"))
worker_class = "nodes.gunicorn_hooks.Worker"
worker_connections = 1000
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - as the nodes' own
preload_app = False

keepalive = 75
timeout = 30
graceful_timeout = 8

forwarded_allow_ips = ""
accesslog = None
control_socket_disable = True
