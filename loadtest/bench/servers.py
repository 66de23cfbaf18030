"""The applications as processes, each with its own folder or database, all on one Redis."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import psutil
import redis

from deploy.cluster import Role
from deploy.local.processes import python_path
from deploy.local.redis_server import RedisBinary
from deploy.local.revision import EARLIER, extract_nodes
from deploy.local.servers import LocalNodes, Server, ServerGroup, make_environment
from deploy.local.state import StateDir
from deploy.ports import free_ports
from deploy.spec import ClusterSpec, StoreKind
from deploy.waiting import http_ok
from loadtest.bench.client import get, request_for
from loadtest.cpu import cpu_seconds
from loadtest.targets.install import install_express

_START_SECONDS = 30
_END_SECONDS = 10
_GUNICORN = ("--workers", "1", "--keep-alive", "75", "--no-control-socket", "--worker-class")
_WORKERS = {None: "nodes.gunicorn_hooks.Worker", EARLIER: "nodes.worker.Worker"}
"""gunicorn's worker class of each version of the nodes."""


class BenchError(Exception):
    """The bench failed; the message is one line with the cause."""


@dataclass(frozen=True)
class Application:
    """An application to measure. `base` is the name of its framework without sessions, for comparison."""

    name: str
    title: str
    base: str
    database: int | None = None
    """Its database in the Redis."""
    warm_up: int = 60
    """Requests with each use of the session before the first that counts."""
    revision: str | None = None
    """The commit whose package `nodes` it runs; None: the present one."""
    is_node: bool = False
    """Whether it is a node of the cluster, whose GET /me reads the session."""

    @property
    def has_sessions(self) -> bool:
        return self.name != self.base

    @property
    def is_flask(self) -> bool:
        return self.base == FLASK_ALONE


FLASK_ALONE, EXPRESS_ALONE = "flask-alone", "express-alone"
WARM_V8 = 2400  # before V8 has compiled the code of a request, the request takes up to three times as long
APPLICATIONS = (
    Application("redis", "this layer, Redis", FLASK_ALONE, 0),
    Application("memory", "this layer, memory", FLASK_ALONE),
    Application("file", "this layer, files", FLASK_ALONE),
    Application("sql", "this layer, SQLite", FLASK_ALONE),
    Application(f"redis-{EARLIER}", f"{EARLIER} on Redis", FLASK_ALONE, 3, revision=EARLIER),
    Application("flask-session", "Flask-Session 0.8", FLASK_ALONE, 1),
    Application(FLASK_ALONE, "Flask alone", FLASK_ALONE),
    Application("express-session", "express-session", EXPRESS_ALONE, 2, WARM_V8),
    Application(EXPRESS_ALONE, "Express alone", EXPRESS_ALONE, None, WARM_V8),
    Application("node", "a node", FLASK_ALONE, 4, is_node=True),
    Application(f"node-{EARLIER}", f"a node of {EARLIER}", FLASK_ALONE, 5, revision=EARLIER, is_node=True),
)


class Running:
    """An application at a port of 127.0.0.1: the process that serves its requests, and that of its Redis."""

    def __init__(self, application: Application, port: int, worker: int, redis: int | None = None) -> None:
        self.application, self.port, self._worker, self._redis = application, port, worker, redis

    def get(self, path: str, cookie: str = "") -> bytes:
        """Return the head of the answer."""
        return self._send(request_for(path, cookie))

    def post(self, path: str) -> bytes:
        """Return the head of the answer to a POST without a body."""
        return self._send(request_for(path, body=b""))

    def _send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            return get(connection, request)[0]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the worker's threads so far, user and system, in seconds."""
        return self._cpu_seconds(self._worker)

    def redis_seconds(self) -> float:
        """Return the CPU time of the Redis so far; 0 without one."""
        return 0.0 if self._redis is None else self._cpu_seconds(self._redis)

    def _cpu_seconds(self, process: int) -> float:
        try:
            return cpu_seconds(process)
        except OSError as error:
            raise BenchError(f"{self.application.title} ended: {error.strerror}") from error


class Servers:
    """The Redis and the applications, as servers of a local cluster that end with the command.

    A context manager; `running` and `redis_port` are set while it is entered. Raises ClusterError.
    """

    def __init__(self, applications: Iterable[Application]) -> None:
        self._applications = tuple(applications)
        self._redis = RedisBinary()
        self.versions: Mapping[str, str] = self._redis.versions
        self.running: list[Running] = []

    def __enter__(self) -> Self:
        self._group = ServerGroup(None)
        self._state = self._group.state
        self._servers: list[Server] = []
        self._nodes: list[StateDir] = []
        try:
            store = self._make("redis", _redis_answers, self._redis_command, lambda _: {})
            self._group.start([store], _START_SECONDS)
            self.redis_port = store.port
            servers = [self._make_application(application) for application in self._applications]
            self._group.start(servers, _START_SECONDS)
            self.running = [
                Running(application, server.port, _worker(application, server), _redis_of(application, store))
                for application, server in zip(self._applications, servers, strict=True)
            ]
        except BaseException:  # Ctrl-C too: no process may stay
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._group.end(self._servers, _END_SECONDS)
        for state in self._nodes:
            state.close()
        self._group.close()

    def session_bytes(self, database: int) -> int:
        """Return MEMORY USAGE of the only session in a database."""
        with redis.Redis(port=self.redis_port, db=database) as client:
            keys = [key for key in client.keys("*") if not key.startswith(b"session:of:")]
            if len(keys) != 1:
                raise BenchError(f"database {database} has {len(keys)} sessions where it should have one")
            return int(client.memory_usage(keys[0], samples=0))

    def _make_application(self, application: Application) -> Server:
        url = f"sqlite:///{self._state.data / 'sessions.db'}" if application.name == "sql" else ""
        if application.database is not None:
            url = f"redis://127.0.0.1:{self.redis_port}/{application.database}"
        if application.is_node:
            return self._make_node(application, url)
        worker = _WORKERS[application.revision]
        flask = [sys.executable, "-m", "gunicorn", *_GUNICORN, worker, "loadtest.bench.apps:application()"]
        express = [] if application.is_flask else ["node", str(install_express() / "bench.js")]

        def command(port: int) -> list[str]:
            return [*flask, "--bind", f"127.0.0.1:{port}"] if application.is_flask else express

        sessions = application.name.removesuffix(f"-{application.revision}")
        revision, data = application.revision, self._state.data
        earlier = [str(extract_nodes(revision, data / revision))] if revision else []

        def variables(port: int) -> dict[str, str]:
            folder = str(self._state.data / "sessions")
            found = {"BENCH_APP": sessions, "BENCH_URL": url, "BENCH_FOLDER": folder, "PORT": str(port)}
            return found | {"PYTHONPATH": os.pathsep.join([*earlier, *python_path()])}

        return self._make(application.name, _http_answers, command, variables)

    def _make_node(self, application: Application, url: str) -> Server:
        """Return a node with one worker, as clusters start it."""
        state = StateDir(self._state.data / application.name)
        self._nodes.append(state)
        spec = ClusterSpec(nodes=1, store=StoreKind.REDIS, users=("alice",), revision=application.revision or "")
        (server,) = LocalNodes(spec, state).make([application.name], lambda: {"REDIS_URL": url})
        self._servers.append(server)
        return server

    def _redis_command(self, port: int) -> list[str]:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._state.data)]
        return [str(self._redis.path), *options]

    def _make(
        self,
        name: str,
        answers: Callable[[int], bool],
        command: Callable[[int], list[str]],
        variables: Callable[[int], dict[str, str]],
    ) -> Server:
        server = Server(
            name=name,
            role=Role.NODE,
            port=free_ports(1)[0],
            log=self._state.logs / f"{name}.log",
            command=command,
            environment=lambda port: make_environment(variables(port)),
            probe=answers,
        )
        self._servers.append(server)
        return server


def _worker(application: Application, server: Server) -> int:
    """Return the process that serves requests: gunicorn's first process only supervises."""
    assert server.process is not None
    pid = server.process.pid
    return psutil.Process(pid).children()[0].pid if application.is_flask else pid


def _redis_of(application: Application, store: Server) -> int | None:
    assert store.process is not None
    return None if application.database is None else store.process.pid


def _redis_answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _http_answers(port: int) -> bool:
    return http_ok(port, "/none")
