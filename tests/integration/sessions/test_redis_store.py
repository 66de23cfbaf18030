"""What only Redis can do to a session: other types, other formats, full, killed, slow, forbidden."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.ports import free_ports
from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable, UnsupportedRecordVersion
from tests.support.browser import Browser, application
from tests.support.records import HOUR, PATIENT, in_threads
from tests.support.valkey import Valkey

KEY = "c" * 64
RAW, ASIDE = f"session:{{{KEY}}}", f"session:damaged:{{{KEY}}}"


@pytest.fixture
def store(server: Valkey) -> Iterator[RedisStore]:
    with server.client() as client:
        client.flushdb()
    made = RedisStore.from_url(server.url, PATIENT)
    yield made
    made.close()


@pytest.mark.parametrize(
    "plant",
    [
        lambda client: client.set(RAW, "a string", ex=60),
        lambda client: (client.hset(RAW, "a", b"1"), client.expire(RAW, 60)),
        lambda client: (client.hset(RAW, "@", b"not metadata"), client.expire(RAW, 60)),
        lambda client: (client.hset(RAW, "@", b"1:x::"), client.expire(RAW, 60)),
        lambda client: (client.hset(RAW, "@", b"1:12"), client.expire(RAW, 60)),
        lambda client: (client.hset(RAW, "@", b"1:12::\xff"), client.expire(RAW, 60)),
        lambda client: client.hset(RAW, "@", b"1:1700000000000::alice"),
        lambda client: client.lpush(RAW, "a"),
    ],
)
def test_a_record_that_no_store_wrote_is_absent_and_quarantined(
    store: RedisStore, server: Valkey, plant: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with server.client() as client:
        plant(client)
        assert store.load(KEY) is None
        assert client.exists(RAW) == 0
        assert client.exists(ASIDE) == 1
        assert client.pttl(ASIDE) > 0
    assert KEY in caplog.text
    assert store.load(KEY) is None


def test_an_update_quarantines_a_corrupt_record_too(store: RedisStore, server: Valkey) -> None:
    client: Any = server.client()
    with client:
        client.set(RAW, "x", ex=60)
        assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
        client.hset(RAW, "a", "1")
        assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
        assert client.exists(RAW) == 0


def test_a_record_of_a_later_version_is_unknown_and_never_changed(store: RedisStore, server: Valkey) -> None:
    with server.client() as client:
        client.hset(RAW, mapping={"@": b"2:whatever", "a": b"later"})
        client.expire(RAW, 60)
        before = client.hgetall(RAW)
        with pytest.raises(UnsupportedRecordVersion):
            store.load(KEY)
        with pytest.raises(UnsupportedRecordVersion):
            store.update(KEY, Changes({"a": b"1"}), HOUR)
        assert store.create(KEY, {}, None, HOUR) is None
        assert client.hgetall(RAW) == before
        store.delete(KEY)  # a logout is a logout
        assert client.exists(RAW) == 0


def test_a_full_store_refuses_writes_whole_and_serves_reads_and_logouts() -> None:
    server = Valkey()
    try:
        store = RedisStore.from_url(server.url, PATIENT)
        browser = Browser(application(store))
        browser.visit(lambda session: session.update(a=1, b=2))
        with server.client() as client:
            client.config_set("maxmemory", "1kb")
        assert browser.visit(lambda session: session.renew("alice")).status == 503
        assert browser.visit(lambda session: (session.pop("b"), session.update(a=3))).status == 503
        assert Browser(browser.app).visit(lambda session: session.update(a=1)).status == 503
        assert browser.visit(dict).value == {"a": 1, "b": 2}
        assert browser.visit(lambda session: session.end()).status == 200
        assert browser.visit(dict).value == {}
        store.close()
    finally:
        server.close()


def test_a_refused_connection_is_unavailable_at_once() -> None:
    store = RedisStore.from_url(f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.load(KEY)
    assert time.monotonic() - started < 2


def test_a_silent_server_costs_the_budget_and_no_more(server: Valkey) -> None:
    store = RedisStore.from_url(server.url, Budgets(0.1, 0.1, retries=1, deadline=0.5))
    store.ping()
    with server.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.load(KEY)
        spent = time.monotonic() - started
        assert 0.2 <= spent < 1  # two attempts; the second connects anew
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.update(KEY, Changes({"a": b"1"}), HOUR)
        assert time.monotonic() - started < 0.7  # one attempt: it may have been applied
    store.close()


def test_many_threads_at_a_silent_server_wait_no_longer_than_one(server: Valkey) -> None:
    store = RedisStore.from_url(server.url, Budgets(0.1, 0.1, retries=0, deadline=0.1, max_connections=2))
    failures: list[float] = []

    def ask() -> None:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.load(KEY)
        failures.append(time.monotonic() - started)

    with server.paused():
        in_threads(*[ask] * 20)
    assert len(failures) == 20
    assert max(failures) < 2  # redis-py's own defaults: 59 s
    store.close()


def test_a_session_that_expires_while_it_is_read_is_absent_not_damaged(
    store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert store._to_record(KEY, {b"@": b"1:1700000000000::", b"a": b"1"}, -2) is None
    assert not caplog.records


def test_two_prefixes_are_two_stores(server: Valkey, store: RedisStore) -> None:
    other = RedisStore.from_url(server.url, PATIENT, prefix="other:")
    store.create(KEY, {"a": b"1"}, None, HOUR)
    assert other.load(KEY) is None
    other.close()


@pytest.mark.parametrize("bad", [{"connect_timeout": 0}, {"read_timeout": 61}, {"retries": 11}, {"max_connections": 0}])
def test_budgets_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Budgets(**bad)  # type: ignore[arg-type]
