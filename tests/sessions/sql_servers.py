"""Real database servers in containers, for tests: started once, on a free port, with their data in memory."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from nodes.sessions import Budgets
from nodes.sessions.stores.sql_engine import engine_from
from tests.nodes.running import eventually

PATIENT = Budgets(10, 20, retries=0, deadline=20)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@dataclass
class SqlServer:
    """A container; `paused` makes it silent, with its connections open."""

    container: str
    scheme: str
    port: int

    @property
    def url(self) -> str:
        return f"{self.scheme}://tester:secret@127.0.0.1:{self.port}/sessions"

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        docker("pause", self.container)
        try:
            yield
        finally:
            docker("unpause", self.container)

    def kill(self) -> None:
        """Takes the server's processes away at once; `start` brings them back, on the same port and empty."""
        docker("kill", self.container)

    def answers(self) -> bool:
        """Whether it does; AssertionError where it ended."""
        assert docker("ps", "-q", "--no-trunc", "--filter", f"id={self.container}"), f"{self.scheme}: the server ended"
        engine = engine_from(self.url, PATIENT)
        try:
            with engine.connect() as connection:
                return bool(connection.execute(text("SELECT 1")).scalar_one())
        except SQLAlchemyError:
            return False
        finally:
            engine.dispose()


@contextlib.contextmanager
def running(scheme: str, *arguments: str) -> Iterator[SqlServer]:
    """A server that answers; it is removed at the end, whatever happens."""
    run = {"mysql": _mariadb, "mariadb": _mariadb, "postgresql": _postgres}[scheme]
    container = docker("run", "--rm", "-d", *run(*arguments))
    try:
        inside = "5432" if scheme == "postgresql" else "3306"
        port = int(docker("port", container, inside).splitlines()[0].rpartition(":")[2])
        server = SqlServer(container, scheme, port)
        eventually(server.answers, 90)
        yield server
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, timeout=60)


def _mariadb(*arguments: str) -> list[str]:
    return [
        *("-p", "127.0.0.1::3306", "--tmpfs", "/var/lib/mysql", "-e", "MARIADB_ROOT_PASSWORD=secret"),
        *("-e", "MARIADB_DATABASE=sessions", "-e", "MARIADB_USER=tester", "-e", "MARIADB_PASSWORD=secret"),
        *("mariadb:11", "mariadbd", "--bind-address=0.0.0.0", "--innodb-buffer-pool-size=64M", *arguments),
    ]


def _postgres(*arguments: str) -> list[str]:
    return [
        *("-p", "127.0.0.1::5432", "--tmpfs", "/memory:mode=1777", "-e", "PGDATA=/memory/data"),
        *("-e", "POSTGRES_USER=tester", "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=sessions"),
        *("postgres:17", "postgres", "-c", "listen_addresses=*", *arguments),
    ]


@pytest.fixture(scope="session")
def mysql() -> Iterator[SqlServer]:
    with running("mysql") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[SqlServer]:
    with running("postgresql") as server:
        yield server
