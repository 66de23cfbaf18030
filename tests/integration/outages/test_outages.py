"""Each row of the first table of docs/outages.md: what a browser gets, and what is left. Here: those of Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from deploy.fault_proxy import FaultProxy
from tests.integration.outages.conftest import Start
from tests.integration.outages.holding import EXPECTED, HASTY, PATIENT, documentation, hold, id_of, key_of
from tests.integration.outages.observed import READ, WRITE, AliceBrowser
from tests.support.node import ROOT, RunningNode
from tests.support.valkey import Valkey


@pytest.fixture(scope="module")
def redis_node(start: Start, valkey: Valkey) -> RunningNode:
    return start(SESSION_STORE="redis", REDIS_URL=valkey.url, **HASTY)


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
    def silent(alice: AliceBrowser) -> Iterator[None]:
        with valkey.paused():
            started = time.monotonic()
            assert alice.observe(READ) == "503"
            assert time.monotonic() - started < 3  # the deadline is 0.6 s, on a machine that may be busy
            yield

    hold("Redis silent", redis_node, silent)


def test_redis_full(redis_node: RunningNode, valkey: Valkey) -> None:
    @contextmanager
    def full(_: AliceBrowser) -> Iterator[None]:
        with valkey.client() as client:
            client.config_set("maxmemory", "1kb")
            yield
            client.config_set("maxmemory", "0")

    hold("Redis full", redis_node, full)


@pytest.fixture(scope="module")
def slow(valkey: Valkey) -> Iterator[FaultProxy]:
    proxy = FaultProxy.to(valkey.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def slow_node(start: Start, slow: FaultProxy) -> RunningNode:
    return start(SESSION_STORE="redis", REDIS_URL=f"redis://127.0.0.1:{slow.port}/0", **HASTY)


@contextmanager
def late(proxy: FaultProxy, seconds: float) -> Iterator[None]:
    proxy.latency(seconds)
    try:
        yield
    finally:
        proxy.reset()


def test_redis_slow_but_answering(slow_node: RunningNode, slow: FaultProxy) -> None:
    @contextmanager
    def make(alice: AliceBrowser) -> Iterator[None]:
        with late(slow, 0.03):
            started = time.monotonic()
            assert alice.me().status_code == 200
            assert time.monotonic() - started >= 0.03
            yield

    hold("Redis slow, within the budget", slow_node, make)


def test_redis_slower_than_the_budget(slow_node: RunningNode, slow: FaultProxy) -> None:
    hold("Redis slower than the budget", slow_node, lambda _: late(slow, 2.0))


def test_redis_whose_name_is_not_known(redis_node: RunningNode, start: Start) -> None:
    lost = start(SESSION_STORE="redis", REDIS_URL="redis://nowhere.invalid:6379/0", **HASTY)
    hold("Redis: its name is not known", redis_node, lambda _: nullcontext(), trouble=lost)
    assert "nowhere.invalid" in lost.log.read_text(encoding="utf-8")


def test_redis_record_damaged(redis_node: RunningNode, valkey: Valkey) -> None:
    def damage(alice: AliceBrowser) -> AbstractContextManager[None]:
        valkey.client().hset(f"session:{{{key_of(alice)}}}", "visits", b"\xc1")
        return nullcontext()

    hold("Redis: record damaged", redis_node, damage)


def test_redis_record_of_a_later_version(redis_node: RunningNode, valkey: Valkey) -> None:
    @contextmanager
    def renew(alice: AliceBrowser) -> Iterator[None]:
        client: Any = valkey.client()
        name = f"session:{{{key_of(alice)}}}"
        client.hset(name, "@", b"2:another:layout")
        before = client.hgetall(name)
        assert (alice.observe(READ), alice.observe(WRITE)) == ("503", "503")
        assert client.hgetall(name) == before
        yield
        assert not client.exists(name)  # a logout is a logout

    hold("Redis: record of a later version", redis_node, renew)


# ---- encrypted, and shared with Express


def test_encrypted_with_a_key_that_a_node_does_not_know(start: Start, valkey: Valkey) -> None:
    settings = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url, **PATIENT}
    node, other = (start(SESSION_ENCRYPTION_KEYS=key * 32, **settings) for key in ("5e", "e5"))
    hold("encrypted: key unknown", node, lambda _: nullcontext(), trouble=other)


def test_encrypted_and_a_node_has_no_key(start: Start, valkey: Valkey) -> None:
    settings = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url, **PATIENT}
    node, other = start(SESSION_ENCRYPTION_KEYS="5e" * 32, **settings), start(**settings)
    hold("encrypted: a node has no key", node, lambda _: nullcontext(), trouble=other)


@pytest.fixture(scope="module")
def express_node(start: Start, valkey: Valkey) -> RunningNode:
    return start(SESSION_STORE="express", REDIS_URL=valkey.url, **HASTY)


def test_express_redis_killed(express_node: RunningNode, valkey: Valkey) -> None:
    hold("Express, in Redis: killed", express_node, lambda _: killed(valkey))


def test_express_redis_record_damaged(express_node: RunningNode, valkey: Valkey) -> None:
    def damage(alice: AliceBrowser) -> AbstractContextManager[None]:
        assert valkey.client().set(f"sess:{id_of(alice)}", "{broken", xx=True, keepttl=True)
        return nullcontext()

    hold("Express, in Redis: record damaged", express_node, damage)


def test_every_row_of_the_table_has_a_test_and_is_in_the_documentation() -> None:
    folders = (Path(__file__).parent, ROOT / "tests" / "docker" / "outages")
    tests = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("test_*.py"))
    assert [fault for fault in EXPECTED if f'"{fault}"' not in tests] == []
    assert documentation() in (ROOT / "docs" / "outages.md").read_text(encoding="utf-8")
