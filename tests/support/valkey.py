"""A real Valkey on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import redis

from deploy.local.redis_server import RedisBinary
from deploy.ports import free_ports
from tests.support.waiting import wait_until


class Valkey:
    """A Valkey server. After `kill` and `start` it is empty, unless `arguments` make it keep its data."""

    def __init__(self, *arguments: str, host: str = "127.0.0.1", port: int | None = None) -> None:
        self.host = host
        self.port = free_ports(1)[0] if port is None else port
        self._arguments = arguments
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", self.host, "--save", "", "--dir", self._folder.name]
        arguments += ["--logfile", "valkey.log", "--maxmemory-policy", "noeviction", *self._arguments]
        self._process = subprocess.Popen([RedisBinary().path, *arguments])
        wait_until(self._answers, "Valkey answers")

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(self.host, self.port, socket_timeout=5)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()


IMPLIED = {"HELLO", "CLIENT", "ECHO", "PING", "ROLE", "INFO"}


@contextlib.contextmanager
def monitored(server: Valkey) -> Iterator[list[str]]:
    """Yield a list that has, after the block, the names of the commands that clients sent to `server`, in order.

    Commands that a script runs are left out: the server sees them, but no client sent them. So are those that come with
    a new connection, PING at the end of each packet, ROLE, which once a second is in the packet of a read, and INFO,
    which comes before some writes of anonymous sessions (`nodes.sessions.admission`).
    """
    commands: list[str] = []
    with server.client() as watcher, server.client() as marker, watcher.monitor() as monitor:
        marker.echo("begin")
        _until(monitor, "begin")
        yield commands
        marker.echo("end")
        commands += [name for name in _until(monitor, "end") if name not in IMPLIED]


def _until(monitor: redis.client.Monitor, mark: str) -> list[str]:
    names: list[str] = []
    for entry in monitor.listen():  # type: ignore[no-untyped-call]
        if entry["command"] == f"ECHO {mark}":
            return names
        if entry["client_type"] != "lua":
            names.append(str(entry["command"]).split(" ", 1)[0].upper())
    raise AssertionError("the server stopped talking")
