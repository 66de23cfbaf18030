"""The peers find the primary by Sentinel, as their clients' own documentation has it, and find the next one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from deploy import NodeKind
from deploy.local.redis_server import RedisBinary
from deploy.ports import free_ports
from loadtest.targets import application_of

ROOT = Path(__file__).parents[3]
PASSWORD, NAME = "alice's password", "main"
PEERS = [pytest.param(NodeKind.EXPRESS, marks=pytest.mark.node), NodeKind.FLASK_SESSION]


def until(condition: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def process(folder: Path, name: str, *command: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={"PATH": os.environ["PATH"], **environment}
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


class Redundant:
    """A primary, a replica, and the one Sentinel that decides."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        binary = str(RedisBinary().path)
        first, second, self.sentinel = free_ports(3)
        usual = ("--save", "", "--bind", "127.0.0.1", "--dir", str(folder))
        self.primary = stack.enter_context(process(folder, "primary", binary, "--port", str(first), *usual))
        replica = ("--port", str(second), "--replicaof", f"127.0.0.1 {first}", "--repl-diskless-sync-delay", "0")
        stack.enter_context(process(folder, "replica", binary, *replica, *usual))
        self.replica: Any = redis.Redis(port=second)
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {self.sentinel}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {first} 1\n"
            f"sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n"
        )
        until(self._follows, "the replica follows")
        stack.enter_context(process(folder, "sentinel", binary, str(settings), "--sentinel"))
        sentinel: Any = redis.Redis(port=self.sentinel)
        until(lambda: self._knows(sentinel), "the Sentinel knows the replica")
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel}/{NAME}"

    def _follows(self) -> bool:
        try:
            return bool(self.replica.info("replication")["master_link_status"] == "up")
        except redis.RedisError:
            return False

    def _knows(self, sentinel: Any) -> bool:
        try:
            return len(sentinel.sentinel_slaves(NAME)) == 1
        except redis.RedisError:
            return False


@pytest.mark.parametrize("kind", PEERS)
def test_a_session_outlives_its_primary(kind: NodeKind, tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text(json.dumps({"users": {"alice": PASSWORD}}))
    application = application_of(kind)
    assert application is not None
    (port,) = free_ports(1)
    with ExitStack() as stack:
        store = Redundant(tmp_path, stack)
        environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "NODE_NAME": "node-1",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "SESSION_STORE": "redis",
            "REDIS_URL": store.url,
            "SESSION_SECRETS": "s" * 32,
            "CLUSTER_USERS_FILE": str(tmp_path / "users.json"),
            **application.environment,
        }
        node = stack.enter_context(process(tmp_path, "node", *application.command, **environment))
        browser, url = requests.Session(), f"http://127.0.0.1:{port}"

        def answers(path: str) -> bool:
            assert node.poll() is None, (tmp_path / "node.log").read_text()
            try:
                return browser.get(url + path, timeout=5).status_code == 200
            except requests.RequestException:
                return False

        until(lambda: answers("/ready"), "the node is ready")
        login = browser.post(f"{url}/login", json={"user": "alice", "password": PASSWORD}, timeout=10)
        assert login.status_code == 200, login.text
        until(lambda: store.replica.dbsize() == 1, "the session is on the replica")
        store.primary.kill()
        until(lambda: store.replica.info("replication")["role"] == "master", "the replica is the primary")
        until(lambda: answers("/me"), "the node has found it")
        assert browser.get(f"{url}/me", timeout=10).json()["user"] == "alice"
        assert browser.post(f"{url}/visits", json={}, timeout=10).json() == {"visits": 1}
