"""Each row of the first table of docs/outages.md: the fault made, what a browser gets, and what is left afterwards."""

from __future__ import annotations

import re
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from nodes.accounts import create_users
from nodes.sessions import cookie
from tests.integration.outages.delaying import Delaying
from tests.integration.outages.observed import KINDS, LOGOUT, READ, WRITE, Browser
from tests.nodes.running import PASSWORD, ROOT, RunningNode, eventually
from tests.sessions.valkey import Valkey

DOCUMENT = (ROOT / "docs" / "outages.md").read_text(encoding="utf-8")
ROWS = re.compile(r"^\| ([^|]+?) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", re.MULTILINE)
DOCUMENTED = {
    fault: dict(zip(KINDS, row, strict=True)) for fault, *row, _ in ROWS.findall(DOCUMENT) if fault != "fault"
}
OTHERS = {row[0]: row[-1] for row in ROWS.findall(DOCUMENT)}
PATIENT = {"STORE_CONNECT_TIMEOUT": "2", "STORE_READ_TIMEOUT": "2", "STORE_DEADLINE": "4"}
HASTY = {"STORE_CONNECT_TIMEOUT": "0.3", "STORE_READ_TIMEOUT": "0.3", "STORE_RETRIES": "0", "STORE_DEADLINE": "0.6"}

Fault = Callable[[Browser], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("users") / "users.json"
    create_users(path, ["alice", "bob"], PASSWORD)
    return path


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    server = Valkey("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.close()


@pytest.fixture(scope="module")
def redis_node(users: Path, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    log = tmp_path_factory.mktemp("redis") / "log"
    with RunningNode(users, log, SESSION_STORE="redis", REDIS_URL=valkey.url, **HASTY) as node:
        yield node


@pytest.fixture(scope="module")
def sessions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("files") / "sessions"
    return folder


@pytest.fixture(scope="module")
def file_node(users: Path, sessions_folder: Path) -> Iterator[RunningNode]:
    settings = {"SESSION_STORE": "file", "SESSION_FOLDER": str(sessions_folder)}
    with RunningNode(users, sessions_folder.parent / "log", **settings, **PATIENT) as node:
        yield node


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sqlite") / "sessions.db"
    return path


@pytest.fixture(scope="module")
def sql_node(users: Path, database: Path) -> Iterator[RunningNode]:
    settings = {"SESSION_STORE": "sql", "DATABASE_URL": f"sqlite:///{database}", "DATABASE_CREATE_SCHEMA": "on"}
    with RunningNode(users, database.parent / "log", **settings, **HASTY) as node:
        yield node


def hold(fault: str, node: RunningNode, make: Fault, trouble: RunningNode | None = None) -> None:
    """Makes the fault, does everything that the table speaks of, and compares. `trouble`: the node that is in it."""
    alice, bystander = Browser(node), Browser(node)
    with make(alice):
        alice.node = trouble or node
        # Logging out comes last: where it works, nobody is there afterwards.
        observed = {kind: alice.observe(kind) for kind in sorted(KINDS, key=lambda kind: kind == LOGOUT)}
        assert requests.get(f"{alice.node.url}/live", timeout=20).status_code == 200
    assert observed == DOCUMENTED[fault]
    assert OTHERS[fault] == "kept"
    eventually(bystander.is_logged_in)
    eventually(lambda: requests.get(f"{node.url}/ready", timeout=20).status_code == 200)
    if observed[LOGOUT] == "503" and observed[WRITE] == "503" and "slower" not in fault:
        assert alice_is_back(alice, node)
    assert not [line["exception"][-700:] for line in node.lines() if "exception" in line]


def alice_is_back(alice: Browser, node: RunningNode) -> bool:
    alice.node = node
    return alice.is_logged_in()


def key_of(browser: Browser) -> str:
    return cookie.key_of(str(browser.session.cookies["session"]).partition(".")[0])


# ---- Redis


@contextmanager
def killed(valkey: Valkey) -> Iterator[None]:
    valkey.kill()
    try:
        yield
    finally:
        valkey.start()


def test_redis_killed(redis_node: RunningNode, valkey: Valkey) -> None:
    hold("Redis killed", redis_node, lambda _: killed(valkey))


def test_redis_silent(redis_node: RunningNode, valkey: Valkey) -> None:
    @contextmanager
    def silent(alice: Browser) -> Iterator[None]:
        with valkey.paused():
            started = time.monotonic()
            assert alice.observe(READ) == "503"
            assert time.monotonic() - started < 3  # the deadline is 0.6 s, on a machine that may be busy
            yield

    hold("Redis silent", redis_node, silent)


def test_redis_full(redis_node: RunningNode, valkey: Valkey) -> None:
    @contextmanager
    def full(_: Browser) -> Iterator[None]:
        with valkey.client() as client:
            client.config_set("maxmemory", "1kb")
            yield
            client.config_set("maxmemory", "0")

    hold("Redis full", redis_node, full)


@pytest.fixture(scope="module")
def slow(valkey: Valkey) -> Iterator[Delaying]:
    with Delaying(valkey.port) as delaying:
        yield delaying


@pytest.fixture(scope="module")
def slow_node(users: Path, slow: Delaying, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    url = f"redis://127.0.0.1:{slow.port}/0"
    log = tmp_path_factory.mktemp("slow") / "log"
    with RunningNode(users, log, SESSION_STORE="redis", REDIS_URL=url, **HASTY) as node:
        yield node


@contextmanager
def late(delaying: Delaying, seconds: float) -> Iterator[None]:
    delaying.seconds = seconds
    try:
        yield
    finally:
        delaying.seconds = 0.0


def test_redis_slow_but_answering(slow_node: RunningNode, slow: Delaying) -> None:
    @contextmanager
    def make(alice: Browser) -> Iterator[None]:
        with late(slow, 0.03):
            started = time.monotonic()
            assert alice.me().status_code == 200
            assert time.monotonic() - started >= 0.03
            yield

    hold("Redis slow, within the budget", slow_node, make)


def test_redis_slower_than_the_budget(slow_node: RunningNode, slow: Delaying) -> None:
    hold("Redis slower than the budget", slow_node, lambda _: late(slow, 2.0))


def test_redis_whose_name_is_not_known(redis_node: RunningNode, users: Path, tmp_path: Path) -> None:
    settings = {"SESSION_STORE": "redis", "REDIS_URL": "redis://nowhere.invalid:6379/0"}
    with RunningNode(users, tmp_path / "log", **settings, **HASTY) as lost:
        hold("Redis: its name is not known", redis_node, lambda _: nullcontext(), trouble=lost)
        assert "nowhere.invalid" in lost.log.read_text(encoding="utf-8")


def test_redis_record_damaged(redis_node: RunningNode, valkey: Valkey) -> None:
    def damage(alice: Browser) -> AbstractContextManager[None]:
        valkey.client().hset(f"session:{{{key_of(alice)}}}", "visits", b"\xc1")
        return nullcontext()

    hold("Redis: record damaged", redis_node, damage)


def test_redis_record_of_a_later_version(redis_node: RunningNode, valkey: Valkey) -> None:
    @contextmanager
    def renew(alice: Browser) -> Iterator[None]:
        client: Any = valkey.client()
        name = f"session:{{{key_of(alice)}}}"
        client.hset(name, "@", b"2:another:layout")
        before = client.hgetall(name)
        assert (alice.observe(READ), alice.observe(WRITE)) == ("503", "503")
        assert client.hgetall(name) == before
        yield
        assert not client.exists(name)  # a logout is a logout

    hold("Redis: record of a later version", redis_node, renew)


# ---- files


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
    def gone(_: Browser) -> Iterator[None]:
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
    def change(alice: Browser) -> AbstractContextManager[None]:
        path = sessions_folder / key_of(alice)[:2] / key_of(alice)
        data = bytearray(path.read_bytes())
        data[at] ^= byte
        path.write_bytes(bytes(data))
        return nullcontext()

    hold(fault, file_node, change)


# ---- SQLite


def test_sqlite_locked_by_another(sql_node: RunningNode, database: Path) -> None:
    @contextmanager
    def locked(_: Browser) -> Iterator[None]:
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
    def make(alice: Browser) -> AbstractContextManager[None]:
        with sqlite3.connect(database, timeout=20) as connection:
            (table,) = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            changed = connection.execute(f"UPDATE {table} SET {change} WHERE key = ?", [key_of(alice)])
            assert changed.rowcount == 1
        return nullcontext()

    hold(fault, sql_node, make)


def test_every_row_was_produced() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert len(DOCUMENTED) == 16
    for fault in DOCUMENTED:
        assert f'"{fault}"' in source, fault
