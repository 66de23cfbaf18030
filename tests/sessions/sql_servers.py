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
from tests.sessions.valkey import free_port

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
        """Takes the server's processes away at once."""
        docker("kill", self.container)

    def restart(self) -> None:
        """Brings back a server that was killed, with what it had on its disk."""
        docker("start", self.container)
        eventually(self.answers, 90)

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
def running(scheme: str, *, durable: bool = False) -> Iterator[SqlServer]:
    """A server that answers; it is removed at the end, whatever happens. A `durable` one keeps its data on a disk."""
    inside, options, image = _POSTGRES if scheme == "postgresql" else _MARIADB
    port = free_port()
    memory = (
        () if durable else ("--tmpfs", "/var/lib/mysql", "--tmpfs", "/memory:mode=1777", "-e", "PGDATA=/memory/data")
    )
    container = docker("run", "-d", "-p", f"127.0.0.1:{port}:{inside}", *memory, *options, *image)
    try:
        server = SqlServer(container, scheme, port)
        eventually(server.answers, 90)
        yield server
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, timeout=60)


_MARIADB = (
    3306,
    (
        *("-e", "MARIADB_DATABASE=sessions", "-e", "MARIADB_USER=tester", "-e", "MARIADB_PASSWORD=secret"),
        *("-e", "MARIADB_ROOT_PASSWORD=secret"),
    ),
    (
        "mariadb:11",
        "mariadbd",
        "--bind-address=0.0.0.0",
        "--innodb-buffer-pool-size=64M",
        "--max-connect-errors=100000",
    ),
)
_POSTGRES = (
    5432,
    ("-e", "POSTGRES_USER=tester", "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=sessions"),
    ("postgres:17", "postgres", "-c", "listen_addresses=*"),
)


@pytest.fixture(scope="session")
def mysql() -> Iterator[SqlServer]:
    with running("mysql") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[SqlServer]:
    with running("postgresql") as server:
        yield server
