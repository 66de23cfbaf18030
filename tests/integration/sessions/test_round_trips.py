"""The round trips of each request, counted at the server."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from nodes.sessions import Budgets, Lifetime, RedisStore, SessionData, StoreUnavailable, current_session
from nodes.sessions.stores.redis import Durability
from tests.support.browser import Browser, View, application
from tests.support.harnesses.redis import RedisHarness
from tests.support.records import PATIENT
from tests.support.valkey import Valkey, monitored

READ = ["HGETALL", "PTTL"]  # one packet
LOGIN = ["EVALSHA", "EVALSHA", "EVALSHA"]  # the index and the session in one packet, then the end of the old one
FORGED = f"session={'A' * 43}.{'B' * 43}"


@pytest.fixture
def browser(server: Valkey, redis_harness: RedisHarness) -> Browser:
    """Logged in, on a store that has loaded its scripts and opened its connection.

    The memory of the store, which the limit of anonymous sessions asks for twice a second, is left out of the count.
    """
    warm = Browser(application(RedisStore.from_url(server.url, PATIENT), anonymous_share=1))
    warm.visit(write)
    warm.visit(lambda session: current_session.mutate("a", lambda a: a + 1))
    warm.log_in()
    return warm


@pytest.fixture
def durable(server: Valkey, redis_harness: RedisHarness) -> Iterator[RedisStore]:
    """A store that waits for a replica, which this server does not have."""
    store = RedisStore.from_url(server.url, Budgets(5, 1, deadline=5), durability=Durability.EVERY_WRITE, replicas=1)
    store.ping()
    yield store
    store.close()


def write(session: SessionData) -> None:
    session["a"] = 1


def read(session: SessionData) -> Any:
    return session.get("a"), session.get("b"), current_session.owner, len(session)


def read_and_write(session: SessionData) -> None:
    session["b"] = session.get("a")


@pytest.mark.parametrize(
    ("view", "commands"),
    [
        pytest.param(lambda session: None, [], id="unused"),
        pytest.param(read, READ, id="read"),
        pytest.param(read_and_write, [*READ, "EVALSHA"], id="write"),
        pytest.param(write, ["EVALSHA"], id="blind write"),
        pytest.param(lambda session: current_session.renew("alice"), [*READ, *LOGIN], id="login"),
        pytest.param(lambda session: current_session.mutate("a", lambda a: a + 1), [*READ, "EVALSHA"], id="mutate"),
        pytest.param(lambda session: current_session.end(), ["EVALSHA"], id="logout"),
        pytest.param(lambda session: session["a"] and write(session), READ, id="write of the same value"),
    ],
)
def test_commands_of_a_request_with_a_session(
    server: Valkey, browser: Browser, view: View, commands: list[str]
) -> None:
    browser.put(a=1)
    with monitored(server) as sent:
        browser.visit(view)
    assert sent == commands


@pytest.mark.parametrize(("view", "commands"), [(lambda session: None, []), (read, []), (write, ["EVALSHA"])])
def test_commands_of_a_request_without_a_cookie(
    server: Valkey, browser: Browser, view: View, commands: list[str]
) -> None:
    with monitored(server) as sent:
        browser.visit(view, header="")
        browser.visit(view, header=FORGED)
    assert sent == commands * 2


@pytest.mark.parametrize(
    ("view", "count"),
    [(read, 1), (write, 1), (lambda _: current_session.renew("alice"), 3), (lambda _: current_session.end(), 1)],
    ids=["read", "write", "login", "logout"],
)
def test_a_round_trip_is_a_packet_each_way(server: Valkey, browser: Browser, view: View, count: int) -> None:
    assert packets(server, browser, view) == count


def packets(server: Valkey, browser: Browser, view: View) -> int:
    """Return how often the server read from a socket during one request."""

    def reads() -> int:
        return int(client.info("stats")["total_reads_processed"])

    gc.collect()  # closes connections of earlier tests now, because the server counts their end as a read
    with server.client() as client:
        own = next(one for one in (-reads() + reads() for _ in range(1000)) if one == 1)
        before = reads()
        browser.visit(view)
        return reads() - before - own


def test_a_touch_is_sent_only_after_a_tenth_of_the_idle_timeout(
    server: Valkey, redis_harness: RedisHarness, browser: Browser
) -> None:
    for age, commands in ((170, READ), (11, [*READ, "EVALSHA"]), (170, READ), (12, [*READ, "EVALSHA"])):
        redis_harness.advance(age)
        with monitored(server) as sent:
            browser.visit(read)
        assert sent == commands


def test_no_touch_is_sent_where_the_absolute_timeout_decides(
    server: Valkey, redis_harness: RedisHarness, browser: Browser
) -> None:
    for _ in range(18):
        redis_harness.advance(1500)
        browser.read()
    redis_harness.advance(1000)
    with monitored(server) as sent:
        browser.visit(read)
    assert sent == READ


def test_a_server_that_forgot_the_scripts_gets_them_again(server: Valkey, browser: Browser) -> None:
    with server.client() as client:
        client.script_flush()
    with monitored(server) as sent:
        assert browser.put(a=1).status == 200
        assert browser.put(a=2).status == 200
    assert sent == ["EVALSHA", "SCRIPT", "EVALSHA", "EVALSHA"]


def test_waiting_for_replicas_adds_no_round_trip(server: Valkey, browser: Browser, durable: RedisStore) -> None:
    with monitored(server) as sent, pytest.raises(StoreUnavailable):
        durable.create("a" * 64, {}, "bob", Lifetime(60, 600))
    assert sent == ["EVALSHA", "EVALSHA", "WAIT"]


def test_a_login_at_a_server_that_forgot_the_scripts_is_complete(server: Valkey, durable: RedisStore) -> None:
    with server.client() as client:
        client.script_flush()
    with monitored(server) as sent, pytest.raises(StoreUnavailable):
        durable.create("a" * 64, {}, "bob", Lifetime(60, 600))
    # The first WAIT was for nothing.
    assert sent == ["EVALSHA", "EVALSHA", "WAIT", "SCRIPT", "SCRIPT", "EVALSHA", "EVALSHA", "WAIT"]
    assert durable.keys_of("bob") == ["a" * 64]
