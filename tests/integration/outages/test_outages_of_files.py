"""The rows of docs/outages.md that are about a disk or memory: files, SQLite, the memory store."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.integration.outages.conftest import Start
from tests.integration.outages.holding import HASTY, PATIENT, hold, key_of
from tests.integration.outages.observed import AliceBrowser
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


def test_files_disk_full(file_node: RunningNode, sessions_folder: Path) -> None:
    hold("files: disk full", file_node, lambda _: no_room(file_node, 10))
    assert not list(sessions_folder.rglob("*.new"))


def test_files_folder_gone(file_node: RunningNode, sessions_folder: Path) -> None:
    @contextmanager
    def gone(_: AliceBrowser) -> Iterator[None]:
        away = sessions_folder.with_suffix(".away")
        sessions_folder.rename(away)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                sessions_folder.rmdir()
            away.rename(sessions_folder)

    hold("files: folder gone", file_node, gone)


@pytest.mark.parametrize(
    ("fault", "at", "byte"), [("files: record damaged", -1, 0xC1), ("files: record of a later version", 2, 9)]
)
def test_files_record(file_node: RunningNode, sessions_folder: Path, fault: str, at: int, byte: int) -> None:
    def change(alice: AliceBrowser) -> AbstractContextManager[None]:
        path = sessions_folder / key_of(alice)[:2] / key_of(alice)
        data = bytearray(path.read_bytes())
        data[at] ^= byte
        path.write_bytes(bytes(data))
        return nullcontext()

    hold(fault, file_node, change)


# ---- SQLite


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sqlite") / "sessions.db"
    return path


@pytest.fixture(scope="module")
def sql_node(start: Start, database: Path) -> RunningNode:
    settings = {"SESSION_STORE": "sql", "DATABASE_URL": f"sqlite:///{database}", "DATABASE_CREATE_SCHEMA": "on"}
    return start(**settings, **HASTY)


def test_sqlite_locked_by_another(sql_node: RunningNode, database: Path) -> None:
    @contextmanager
    def locked(_: AliceBrowser) -> Iterator[None]:
        holder = sqlite3.connect(database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.close()

    hold("SQLite: locked by another", sql_node, locked)


def test_sqlite_disk_full(sql_node: RunningNode) -> None:
    hold("SQLite: disk full", sql_node, lambda _: no_room(sql_node, 10))


@pytest.mark.parametrize(
    ("fault", "change"),
    [("SQLite: record damaged", "fields = x'c1'"), ("SQLite: record of a later version", "format = 2")],
)
def test_sqlite_record(sql_node: RunningNode, database: Path, fault: str, change: str) -> None:
    def make(alice: AliceBrowser) -> AbstractContextManager[None]:
        with sqlite3.connect(database, timeout=20) as connection:
            changed = connection.execute(f"UPDATE sessions SET {change} WHERE key = ?", [key_of(alice)])
            assert changed.rowcount == 1
        return nullcontext()

    hold(fault, sql_node, make)


# ---- memory


def test_memory_full(users_file: Path, tmp_path: Path) -> None:
    node = RunningNode(users_file, tmp_path / "log")
    node.application = "tests.integration.outages.small_memory:application()"

    @contextmanager
    def full(_: AliceBrowser) -> Iterator[None]:
        bob = {"user": "bob", "password": PASSWORD}
        logins = [requests.post(f"{node.url}/login", json=bob, timeout=20).status_code for _ in range(12)]
        assert (logins[0], logins[-1]) == (200, 503)
        yield

    with node:
        hold("memory full", node, full)
