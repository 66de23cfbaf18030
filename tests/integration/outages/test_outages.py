"""Each row of the first table of docs/outages.md that is about Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from deploy.fault_proxy import FaultProxy
from tests.integration.outages.conftest import Start
from tests.integration.outages.rows import EXPECTED, HASTY, PATIENT, READ, WRITE, documentation, row
from tests.support.node import ROOT, RunningNode
from tests.support.valkey import Valkey


@pytest.fixture(scope="module")
def redis_node(start: Start, valkey: Valkey) -> RunningNode:
    return start(SESSION_STORE="redis", REDIS_URL=valkey.url, **HASTY)


@pytest.fixture(scope="module")
def express_node(start: Start, valkey: Valkey) -> RunningNode:
    return start(SESSION_STORE="express", REDIS_URL=valkey.url, **HASTY)


@contextmanager
def killed(valkey: Valkey) -> Iterator[None]:
    valkey.kill()
    try:
        yield
    finally:
        valkey.start()


@pytest.mark.parametrize(
    ("fault", "node"), [("Redis killed", "redis_node"), ("Express, in Redis: killed", "express_node")]
)
def test_responses_match_the_table_while_redis_is_killed(
    request: pytest.FixtureRequest, valkey: Valkey, fault: str, node: str
) -> None:
    with row(fault, request.getfixturevalue(node)) as redis, killed(valkey):
        redis.observe()


def test_responses_match_the_table_while_redis_is_silent(redis_node: RunningNode, valkey: Valkey) -> None:
    with row("Redis silent", redis_node) as redis, valkey.paused():
        started = time.monotonic()
        assert redis.alice.observe(READ) == "503"
        assert time.monotonic() - started < 3  # the deadline is 0.6 s, on a machine that may be busy
        redis.observe()


def test_responses_match_the_table_while_redis_is_full(redis_node: RunningNode, valkey: Valkey) -> None:
    with row("Redis full", redis_node) as redis, valkey.client() as client:
        client.config_set("maxmemory", "1kb")
        redis.observe()
        client.config_set("maxmemory", "0")


@pytest.fixture(scope="module")
def proxy(valkey: Valkey) -> Iterator[FaultProxy]:
    with closing(FaultProxy.to(valkey.port)) as made:
        yield made


@pytest.fixture(scope="module")
def slow_node(start: Start, proxy: FaultProxy) -> RunningNode:
    return start(SESSION_STORE="redis", REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0", **HASTY)


@pytest.mark.parametrize(
    ("fault", "seconds"), [("Redis slow, within the budget", 0.03), ("Redis slower than the budget", 2.0)]
)
def test_responses_match_the_table_while_redis_is_slow(
    slow_node: RunningNode, proxy: FaultProxy, fault: str, seconds: float
) -> None:
    with row(fault, slow_node) as redis:
        proxy.latency(seconds)
        try:
            started = time.monotonic()
            redis.observe()
            assert time.monotonic() - started >= 0.03
        finally:
            proxy.reset()


def test_responses_match_the_table_while_the_name_of_redis_is_unknown(redis_node: RunningNode, start: Start) -> None:
    lost = start(SESSION_STORE="redis", REDIS_URL="redis://nowhere.invalid:6379/0", **HASTY)
    with row("Redis: its name is not known", redis_node) as redis:
        redis.observe(lost)
    assert "nowhere.invalid" in lost.log.read_text(encoding="utf-8")


def test_responses_match_the_table_when_a_record_in_redis_is_damaged(redis_node: RunningNode, valkey: Valkey) -> None:
    with row("Redis: record damaged", redis_node) as redis:
        valkey.client().hset(f"session:{{{redis.alice.session_key()}}}", "visits", b"\xc1")
        redis.observe()


def test_responses_match_the_table_when_a_record_of_express_is_damaged(
    express_node: RunningNode, valkey: Valkey
) -> None:
    with row("Express, in Redis: record damaged", express_node) as redis:
        assert valkey.client().set(f"sess:{redis.alice.session_id()}", "{broken", xx=True, keepttl=True)
        redis.observe()


def test_responses_match_the_table_when_a_record_in_redis_has_a_later_version(
    redis_node: RunningNode, valkey: Valkey
) -> None:
    client: Any = valkey.client()
    with row("Redis: record of a later version", redis_node) as redis:
        name = f"session:{{{redis.alice.session_key()}}}"
        client.hset(name, "@", b"2:another:layout")
        before = client.hgetall(name)
        assert (redis.alice.observe(READ), redis.alice.observe(WRITE)) == ("503", "503")
        assert client.hgetall(name) == before
        redis.observe()
        assert not client.exists(name)  # a logout ends it


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        ("encrypted: key unknown", {"SESSION_ENCRYPTION_KEYS": "e5" * 32}),
        ("encrypted: a node has no key", {}),
    ],
)
def test_responses_match_the_table_when_a_node_lacks_the_key_of_a_session(
    start: Start, valkey: Valkey, fault: str, keys: dict[str, str]
) -> None:
    settings = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url, **PATIENT}
    node, other = start(SESSION_ENCRYPTION_KEYS="5e" * 32, **settings), start(**settings, **keys)
    with row(fault, node) as encrypted:
        encrypted.observe(other)


def test_every_row_of_the_table_has_a_test_and_is_in_the_documentation() -> None:
    folders = [ROOT / "tests" / tier / "outages" for tier in ("integration", "docker", "cluster")]
    tests = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("test_*.py"))
    assert [fault for fault in EXPECTED if f'"{fault}"' not in tests] == []
    assert documentation() in (ROOT / "docs" / "outages.md").read_text(encoding="utf-8")
