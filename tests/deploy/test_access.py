"""What the nodes' user may do at the store, and that nobody else gets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy import ClusterSpec, LocalCluster, StoreKind
from nodes.sessions import RedisStore
from tests.sessions.browser import Browser, application


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of the store of a running cluster: as the nodes know it, and without the user."""
    folder: Path = tmp_path_factory.mktemp("cluster") / "state"
    with LocalCluster(ClusterSpec(nodes=1, store=StoreKind.REDIS), folder):
        (url_file,) = (folder / "secrets").glob("store-url-*")
        url = url_file.read_text()
        yield url, f"redis://{url.rpartition('@')[2]}"


def test_it_is_all_that_sessions_need(urls: tuple[str, str]) -> None:
    store = RedisStore.from_url(urls[0])
    browser = Browser(application(store))
    browser.visit(lambda session: session.update(a=1, b=2))
    browser.visit(lambda session: session.mutate("a", lambda a: a + 1))
    browser.visit(lambda session: (session.pop("b"), session.renew("alice")))
    assert browser.visit(dict).value == {"a": 2}
    key = browser.visit(lambda session: session.key_hash).value
    store.set_aside(key)
    assert browser.visit(dict).value == {}
    assert browser.visit(lambda session: session.end()).status == 200
    store.ping()
    store.close()


@pytest.mark.parametrize(
    "command",
    [
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["CONFIG", "SET", "dir", "/tmp"],
        ["ACL", "LIST"],
        ["ACL", "WHOAMI"],
        ["DEBUG", "SLEEP", "0"],
        ["SHUTDOWN"],
        ["MONITOR"],
        ["SAVE"],
        ["REPLICAOF", "NO", "ONE"],
        ["SCRIPT", "FLUSH"],
        ["FUNCTION", "LIST"],
        ["CLIENT", "LIST"],
        ["GET", "session:{x}"],
        ["SET", "session:{x}", "1"],
        ["HGETALL", "other"],
        ["HSET", "other", "a", "1"],
        ["DEL", "other"],
        ["EVAL", "return redis.call('HSET', 'other', 'a', '1')", "0"],
        ["EVAL", "return redis.call('FLUSHALL')", "0"],
    ],
)
def test_everything_else_is_denied(urls: tuple[str, str], command: list[str]) -> None:
    client: Any = redis.Redis.from_url(urls[0], socket_timeout=5)
    with client, pytest.raises(redis.ResponseError, match="(?i)permission"):
        client.execute_command(*command)


def test_nobody_gets_in_without_the_password(urls: tuple[str, str]) -> None:
    client: Any = redis.Redis.from_url(urls[1], socket_timeout=5)
    with client, pytest.raises(redis.AuthenticationError):
        client.ping()
    for user, password in (("default", ""), ("default", "x"), ("node", "x")):
        client = redis.Redis.from_url(urls[1], username=user, password=password, socket_timeout=5)
        with client, pytest.raises(redis.RedisError):
            client.ping()
