"""The rows of docs/outages.md that are about a disk or memory: files, SQLite, the memory store."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.integration.outages.conftest import Start
from tests.integration.outages.rows import HASTY, PATIENT, row
from tests.support.http_client import HttpClient
from tests.support.node import PASSWORD, RunningNode


@pytest.fixture(scope="module")
def sessions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("files") / "sessions"
    return folder


@pytest.fixture(scope="module")
def file_node(start: Start, sessions_folder: Path) -> RunningNode:
    return start(SESSION_STORE="file", SESSION_FOLDER=str(sessions_folder), **PATIENT)


@contextmanager
def no_room(node: RunningNode, size: int) -> Iterator[None]:
    """No file of the running node's may grow past `size` bytes, as on a full disk."""
    for worker in node.workers():
        psutil.Process(worker.pid).rlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for worker in node.workers():
            psutil.Process(worker.pid).rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_responses_match_the_table_while_the_disk_of_the_files_is_full(
    file_node: RunningNode, sessions_folder: Path
) -> None:
    with row("files: disk full", file_node) as files, no_room(file_node, 10):
        files.observe()
    assert not list(sessions_folder.rglob("*.new"))


def test_responses_match_the_table_while_the_folder_of_the_files_is_gone(
    file_node: RunningNode, sessions_folder: Path
) -> None:
    away = sessions_folder.with_suffix(".away")
    with row("files: folder gone", file_node) as files:
        sessions_folder.rename(away)
        try:
            files.observe()
        finally:
            with suppress(FileNotFoundError):
                sessions_folder.rmdir()
            away.rename(sessions_folder)


@pytest.mark.parametrize(
    ("fault", "at", "byte"), [("files: record damaged", -1, 0xC1), ("files: record of a later version", 2, 9)]
)
def test_responses_match_the_table_when_a_file_is_damaged_or_of_a_later_version(
    file_node: RunningNode, sessions_folder: Path, fault: str, at: int, byte: int
) -> None:
    with row(fault, file_node) as files:
        key = files.alice.session_key()
        path = sessions_folder / key[:2] / key
        data = bytearray(path.read_bytes())
        data[at] ^= byte
        path.write_bytes(bytes(data))
        files.observe()


# ---- SQLite


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sqlite") / "sessions.db"
    return path


@pytest.fixture(scope="module")
def sql_node(start: Start, database: Path) -> RunningNode:
    settings = {"SESSION_STORE": "sql", "DATABASE_URL": f"sqlite:///{database}", "DATABASE_CREATE_SCHEMA": "on"}
    return start(**settings, **HASTY)


def connect(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, isolation_level=None, timeout=20)


def test_responses_match_the_table_while_sqlite_is_locked(sql_node: RunningNode, database: Path) -> None:
    with row("SQLite: locked by another", sql_node) as sqlite, closing(connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        sqlite.observe()


def test_responses_match_the_table_while_the_disk_of_sqlite_is_full(sql_node: RunningNode) -> None:
    with row("SQLite: disk full", sql_node) as sqlite, no_room(sql_node, 10):
        sqlite.observe()


@pytest.mark.parametrize(
    ("fault", "change"),
    [("SQLite: record damaged", "fields = x'c1'"), ("SQLite: record of a later version", "format = 2")],
)
def test_responses_match_the_table_when_a_row_is_damaged_or_of_a_later_version(
    sql_node: RunningNode, database: Path, fault: str, change: str
) -> None:
    with row(fault, sql_node) as sqlite:
        with closing(connect(database)) as connection:
            key = sqlite.alice.session_key()
            assert connection.execute(f"UPDATE sessions SET {change} WHERE key = ?", [key]).rowcount == 1
        sqlite.observe()


# ---- memory


def test_responses_match_the_table_while_the_memory_store_is_full(users_file: Path, tmp_path: Path) -> None:
    node = RunningNode(users_file, tmp_path / "log")
    node.application = "tests.integration.outages.small_memory:application()"

    with node, row("memory full", node) as memory:
        bob = {"user": "bob", "password": PASSWORD}
        logins = [HttpClient(node.url).post("/login", json=bob).status_code for _ in range(12)]
        assert (logins[0], logins[-1]) == (200, 503)
        memory.observe()
