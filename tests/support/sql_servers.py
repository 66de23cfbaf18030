"""Real database servers in containers, with their data in memory."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from deploy.ports import free_ports
from nodes.sessions import Budgets
from nodes.sessions.stores.sql.engine import make_engine
from tests.support.waiting import wait_until

PATIENT = Budgets(10, 20, retries=0, deadline=20)


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"docker {words[0]}: {done.stderr}"
    return done.stdout.strip()


_AGAIN = "while {} || [ -e /tmp/down ]; do while [ -e /tmp/down ]; do sleep 0.1; done; done"
"""The command of a container: the server, started again after a kill as soon as `/tmp/down` is gone."""


@dataclass
class SqlServer:
    """A database server in a container."""

    container: str
    scheme: str
    port: int
    data: str
    """The folder in the container that has its data, unless it is durable."""

    @property
    def url(self) -> str:
        return self.url_of("sessions")

    def url_of(self, database: str) -> str:
        return f"{self.scheme}://tester:secret@127.0.0.1:{self.port}/{database}"

    def database(self, name: str) -> str:
        """Create an empty database of this name. Return its URL."""
        if self.scheme == "postgresql":
            statements = [f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"]
            engine = make_engine(self.url, PATIENT)
            with engine.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            engine.dispose()
        else:
            made = f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; GRANT ALL ON {name}.* TO tester"
            docker("exec", self.container, "mariadb", "-uroot", "-psecret", "-e", made)
        return self.url_of(name)

    def shell(self, script: str) -> None:
        """Run `script` in the container."""
        docker("exec", self.container, "sh", "-c", script)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.go_on()

    def pause(self) -> None:
        """Stop all processes of the server until `go_on`."""
        docker("pause", self.container)

    def go_on(self) -> None:
        docker("unpause", self.container)

    def kill(self) -> None:
        """Kill all processes of the server. The container runs on and keeps their files."""
        self.shell("touch /tmp/down; kill -9 -1")

    def restart(self) -> None:
        """Start a killed server again."""
        self.shell("rm /tmp/down")
        wait_until(self.answers, timeout=90)

    @contextlib.contextmanager
    def killed(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.restart()

    @contextlib.contextmanager
    def without_room(self) -> Iterator[None]:
        """Fill the disk of the data, which is in memory, inside the block."""
        self.shell(f"cat /dev/zero > {self.data}/filler 2> /dev/null || true")
        try:
            yield
        finally:
            self.shell(f"rm {self.data}/filler")

    def answers(self) -> bool:
        """Return whether the server answers. Raises AssertionError if it has ended."""
        assert docker("ps", "-q", "--no-trunc", "--filter", f"id={self.container}"), f"{self.scheme}: the server ended"
        engine = make_engine(self.url, PATIENT)
        try:
            with engine.connect() as connection:
                return bool(connection.execute(text("SELECT 1")).scalar_one())
        except SQLAlchemyError:
            return False
        finally:
            engine.dispose()


@contextlib.contextmanager
def running(scheme: str, *, durable: bool = False) -> Iterator[SqlServer]:
    """Yield a server that answers, and remove it at the end. A `durable` one keeps its data on a disk."""
    kind = _POSTGRES if scheme == "postgresql" else _MARIADB
    port = free_ports(1)[0]
    entrypoint = json.loads(docker("inspect", "-f", "{{json .Config.Entrypoint}}", kind.image))
    again = _AGAIN.format(shlex.join([*entrypoint, *kind.command]))
    container = docker(
        *("run", "-d", "-p", f"127.0.0.1:{port}:{kind.port}", *kind.environment),
        *(() if durable else ("--tmpfs", f"{kind.data}:mode=1777,size=400m", "-e", f"PGDATA={kind.data}/data")),
        *("--entrypoint", "bash", kind.image, "-c", again),
    )
    try:
        server = SqlServer(container, scheme, port, kind.data)
        wait_until(server.answers, timeout=90)
        yield server
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, timeout=60)


@dataclass(frozen=True)
class _Kind:
    image: str
    port: int
    data: str
    environment: tuple[str, ...]
    command: tuple[str, ...]


_MARIADB = _Kind(
    "mariadb:11",
    3306,
    "/var/lib/mysql",
    (
        *("-e", "MARIADB_DATABASE=sessions", "-e", "MARIADB_USER=tester", "-e", "MARIADB_PASSWORD=secret"),
        *("-e", "MARIADB_ROOT_PASSWORD=secret"),
    ),
    (
        *("mariadbd", "--bind-address=0.0.0.0", "--max-connect-errors=100000"),
        *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=24M"),
    ),
)
_POSTGRES = _Kind(
    "postgres:17",
    5432,
    "/memory",
    ("-e", "POSTGRES_USER=tester", "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=sessions"),
    ("postgres", "-c", "listen_addresses=*", "-c", "max_wal_size=64MB"),
)


@pytest.fixture(scope="session")
def mysql() -> Iterator[SqlServer]:
    with running("mysql") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[SqlServer]:
    with running("postgresql") as server:
        yield server
