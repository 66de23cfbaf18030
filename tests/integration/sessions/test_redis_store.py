"""Records and faults that only Redis has: other types, other formats, a full server, a silent one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable, current_session
from tests.support.browser import Browser, application
from tests.support.records import HOUR, in_threads
from tests.support.redis_stores import OpenStore
from tests.support.valkey import Valkey

KEY = "c" * 64
RAW, ASIDE = f"session:{{{KEY}}}", f"session:damaged:{{{KEY}}}"


@pytest.fixture
def store(server: Valkey, client: Any, open_store: OpenStore) -> RedisStore:
    return open_store(server)


@pytest.mark.parametrize(
    "record",
    [
        "a string",
        {"a": b"1"},
        {"@": b"not metadata"},
        {"@": b"1:x::"},
        {"@": b"1:12"},
        {"@": b"1:12::\xff"},
        {"@": b"1:999999999999999::"},
    ],
)
def test_a_record_that_no_store_wrote_is_absent_and_quarantined(
    store: RedisStore, client: Any, record: str | dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    write(client, record)
    client.expire(RAW, 60)
    assert store.load(KEY) is None
    assert client.exists(RAW) == 0
    assert client.pttl(ASIDE) > 0
    assert KEY in caplog.text
    assert store.load(KEY) is None


def write(client: Any, record: str | dict[str, bytes]) -> None:
    if isinstance(record, str):
        client.set(RAW, record)
    else:
        client.hset(RAW, mapping=record)


@pytest.mark.parametrize("record", ["a string", {"a": b"1"}])
def test_an_update_quarantines_a_corrupt_record(store: RedisStore, client: Any, record: str | dict[str, bytes]) -> None:
    write(client, record)
    assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    assert (client.exists(RAW), client.exists(ASIDE)) == (0, 1)


def test_a_record_without_an_expiry_is_quarantined(store: RedisStore, client: Any) -> None:
    client.hset(RAW, "@", b"1:1700000000000::alice")
    assert store.load(KEY) is None
    assert (client.exists(RAW), client.exists(ASIDE)) == (0, 1)


def test_a_full_server_refuses_whole_writes_and_serves_reads_and_logouts(own: Valkey, open_store: OpenStore) -> None:
    browser = Browser(application(open_store(own)))
    browser.visit(lambda session: session.update(a=1, b=2))
    with own.client() as client:
        client.config_set("maxmemory", "1kb")
    assert browser.visit(lambda session: current_session.renew("alice")).status == 503
    assert browser.visit(lambda session: (session.pop("b"), session.update(a=3))).status == 503
    assert Browser(browser.app).visit(lambda session: session.update(a=1)).status == 503
    assert browser.visit(dict).value == {"a": 1, "b": 2}
    assert browser.visit(lambda session: current_session.end()).status == 200
    assert browser.visit(dict).value == {}


def measure(call: Callable[[], object]) -> float:
    """Return the seconds until `call` finds the store unavailable."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        call()
    return time.monotonic() - started


def test_a_silent_server_costs_the_budget_and_no_more(server: Valkey, open_store: OpenStore) -> None:
    store = open_store(server, Budgets(0.1, 0.1, retries=1, deadline=0.5))
    store.ping()
    with server.paused():
        assert 0.2 <= measure(lambda: store.load(KEY)) < 1  # two attempts; the second makes a new connection
        # One attempt: it may have been applied.
        assert measure(lambda: store.update(KEY, Changes({"a": b"1"}), HOUR)) < 0.7


def test_many_requests_to_a_silent_server_wait_no_longer_than_one(server: Valkey, open_store: OpenStore) -> None:
    store = open_store(server, Budgets(0.1, 0.1, retries=0, deadline=0.1, max_connections=2))
    seconds: list[float] = []
    with server.paused():
        in_threads(*[lambda: seconds.append(measure(lambda: store.load(KEY)))] * 20)
    assert max(seconds) < 2  # redis-py's own defaults: 59 s


def test_a_session_that_expires_while_it_is_read_is_absent_not_corrupt(
    store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert store._to_record(KEY, {b"@": b"1:1700000000000::", b"a": b"1"}, -2) is None
    assert not caplog.records


def test_two_prefixes_are_two_stores(server: Valkey, store: RedisStore, open_store: OpenStore) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    assert open_store(server, prefix="other:").load(KEY) is None


@pytest.mark.parametrize("bad", [{"connect_timeout": 0}, {"read_timeout": 61}, {"retries": 11}, {"max_connections": 0}])
def test_budgets_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Budgets(**bad)  # type: ignore[arg-type]
