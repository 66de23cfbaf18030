"""The applications as processes: each with its own folder or database, all on one Redis."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from deploy.ports import free_ports
from loadtest.bench.client import get, request_for
from loadtest.targets.install import install_express

_START_SECONDS = 30


class BenchError(Exception):
    """The bench can't go on; one line that says why."""


@dataclass(frozen=True)
class Application:
    """One that is measured."""

    name: str
    title: str
    base: str
    """The name of the same framework alone, which it is compared with."""
    database: int | None = None
    """Which of the Redis's databases it has."""


FLASK_ALONE, EXPRESS_ALONE = "flask-alone", "express-alone"
APPLICATIONS = (
    Application("redis", "this layer, Redis", FLASK_ALONE, 0),
    Application("memory", "this layer, memory", FLASK_ALONE),
    Application("file", "this layer, files", FLASK_ALONE),
    Application("sql", "this layer, SQLite", FLASK_ALONE),
    Application("flask-session", "Flask-Session 0.8", FLASK_ALONE, 1),
    Application(FLASK_ALONE, "Flask alone", FLASK_ALONE),
    Application("express-session", "express-session", EXPRESS_ALONE, 2),
    Application(EXPRESS_ALONE, "Express alone", EXPRESS_ALONE),
)


class Redis:
    """The embedded Valkey on a port of its own; a context manager."""

    def __init__(self, folder: Path, binary: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [
            str(binary),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        self._log = folder / "valkey.log"

    def __enter__(self) -> Redis:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            _wait("the Redis", self._process, self._log, self._answers)
        except BaseException:  # Ctrl-C too: nothing of it may stay
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def bytes_of_the_session(self, database: int) -> int:
        """MEMORY USAGE of the one session in this database."""
        with redis.Redis(port=self.port, db=database) as client:
            keys = [key for key in client.keys("*") if not key.startswith(b"session:of:")]
            if len(keys) != 1:
                raise BenchError(f"database {database} has {len(keys)} sessions where it should have one")
            return int(client.memory_usage(keys[0], samples=0))


class Running:
    """One application under its server, with one worker; a context manager."""

    def __init__(self, application: Application, folder: Path, redis_url: str) -> None:
        self.application = application
        (self.port,) = free_ports(1)
        self._log = folder / f"{application.name}.log"
        url = "" if application.database is None else f"{redis_url}/{application.database}"
        if application.name == "sql":
            url = f"sqlite:///{folder / 'sessions.db'}"
        is_flask = application.base == FLASK_ALONE
        kind = "alone" if application.name == FLASK_ALONE else application.name
        self._environment = {
            **os.environ,
            "BENCH_APP": kind,
            "BENCH_URL": url,
            "BENCH_FOLDER": str(folder / "sessions"),
            "PORT": str(self.port),
        }
        worker = [
            "--worker-class",
            "nodes.gunicorn_hooks.Worker",
            "--workers",
            "1",
            "--keep-alive",
            "75",
            "--no-control-socket",
        ]
        self._command = (
            [
                sys.executable,
                "-m",
                "gunicorn",
                *worker,
                "--bind",
                f"127.0.0.1:{self.port}",
                "loadtest.bench.apps:application()",
            ]
            if is_flask
            else ["node", str(install_express() / "bench.js")]
        )
        self._is_flask = is_flask

    def __enter__(self) -> Running:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        try:
            _wait(self.application.title, self._process, self._log, self._answers)
            process = psutil.Process(self._process.pid)
            self._measured = process.children()[0] if self._is_flask else process
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        try:
            self.get("/none")
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def get(self, path: str, cookie: str = "") -> bytes:
        """The head of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            return get(connection, request_for(path, cookie))[0]

    def cpu_seconds(self) -> float:
        """What the worker's threads have used so far, in user mode and in the kernel, to the nanosecond."""
        threads = Path(f"/proc/{self._measured.pid}/task")
        try:
            return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir()) / 1e9
        except OSError as error:
            raise BenchError(f"{self.application.title} ended: {error.strerror}") from error


def _wait(title: str, process: subprocess.Popen[bytes], log: Path, answers: object) -> None:
    assert callable(answers)
    until = time.monotonic() + _START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > until:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise BenchError(f"{title} did not start: {last or 'it said nothing'}")
        time.sleep(0.02)
