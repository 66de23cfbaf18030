"""Count the instructions of a request with valgrind: `python -m loadtest.bench.instructions NAME REDIS_URL PATH...`.

    python -m loadtest.bench.instructions redis redis://127.0.0.1:6379/9 /none /read /write

NAME is an application of the bench (`apps.py`). Its requests go through the node's gunicorn worker over a socket pair,
in one process, whose client is counted too. Instructions repeat within 1 % (of a write within 4 %, because some checks
depend on the time), where CPU time on a busy machine differs by half. The kernel's work is not seen: half of a
session's cost.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_REQUESTS, _WARM_UP = 100, 20
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def serve(name: str, url: str, paths: list[str], folder: Path) -> None:
    """Print the instructions of a request for each path. This process runs under valgrind."""
    from gevent import monkey

    monkey.patch_all()
    import gevent
    from gevent import socket
    from gunicorn.config import Config
    from gunicorn.glogging import Logger

    from loadtest.bench.apps import application
    from loadtest.bench.client import get, request_for
    from nodes.gunicorn_hooks import Worker
    from nodes.gunicorn_response import use_in_this_process

    class Listener:
        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", 8000

    os.environ.update(BENCH_APP=name, BENCH_URL=url, BENCH_FOLDER=str(folder / "sessions"))
    configuration: Any = Config()
    configuration.set("keepalive", 75)
    use_in_this_process(configuration)
    worker = Worker(1, os.getppid(), [], None, 30, configuration, Logger(configuration))
    worker.wsgi = application()
    client, server = socket.socketpair()
    gevent.spawn(worker.handle, Listener(), server, ("127.0.0.1", 5000))
    cookie = ""
    if name != "flask-alone":
        found = re.search(rb"(?i)\r\nset-cookie: ([^;\r\n]+)", get(client, request_for("/start"))[0])
        cookie = found[1].decode() if found else ""
    for path in paths:
        request = request_for(path, cookie)
        for _ in range(_WARM_UP):
            get(client, request)
        _tell_valgrind("zero")
        for _ in range(_REQUESTS):
            get(client, request)
        _tell_valgrind("dump")
        newest = max(folder.glob("counted*"), key=lambda file: file.stat().st_mtime_ns)
        total = _TOTAL.search(newest.read_text())
        assert total is not None
        print(f"{name} {path}: {int(total[1]) // _REQUESTS:,} instructions", flush=True)


def _tell_valgrind(command: str) -> None:
    subprocess.run(["vgdb", f"--pid={os.getpid()}", command], check=True, capture_output=True)


def main() -> None:
    name, url, *paths = sys.argv[1:]
    if (counted := os.environ.get("COUNTED")) is not None:
        serve(name, url, paths, Path(counted))
        os._exit(0)
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/counted.%p"]
        command = [*valgrind, sys.executable, "-m", "loadtest.bench.instructions", name, url, *paths]
        sys.exit(subprocess.run(command, env={**os.environ, "COUNTED": folder}, check=False).returncode)


if __name__ == "__main__":
    main()
