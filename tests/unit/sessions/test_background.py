"""Work beside a request that can't be done, or that is interrupted, harms neither this request nor later ones."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from nodes.sessions import Budgets, StoreUnavailable
from nodes.sessions.stores.name_lookup import Resolver
from nodes.sessions.stores.redis.address import Address, ServerList
from nodes.sessions.stores.redis.failover import Call, FailoverConnections
from nodes.sessions.stores.redis.lease import Lease, Opinion
from nodes.sessions.stores.redis.sentinel import SentinelConnections
from tests.unit.sessions.test_redis_lease import PRIMARY, UP

SERVERS = ServerList("sentinel", (Address("127.0.0.1", 1),), "main", ("redis://", "/0"), ("redis://", ""))


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let no thread start, as where the process has as many as it may. Return what undoes that."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return monkeypatch.undo


def test_a_name_is_looked_up_again_after_a_lookup_that_could_not_start(no_threads: Callable[[], None]) -> None:
    resolver = Resolver(lambda name, port: ["127.0.0.1"])
    with pytest.raises(OSError, match="can't start new thread"):
        resolver.addresses("store.example", 6379, 0.1)
    no_threads()
    assert resolver.addresses("store.example", 6379, 5) == ["127.0.0.1"]


@pytest.mark.usefixtures("no_threads")
def test_a_store_is_unavailable_where_no_sentinel_can_be_asked() -> None:
    with pytest.raises(StoreUnavailable, match="can't start new thread"):
        SentinelConnections(SERVERS, Budgets(retries=0)).execute([("PING",)])


@pytest.mark.usefixtures("no_threads")
def test_a_write_counts_under_its_lease_where_that_cannot_be_renewed() -> None:
    now = 100.0

    def ask(_primary: Address) -> list[Opinion]:
        nonlocal now
        now += 0.01
        return [UP, UP, UP]

    lease = Lease(ask, lambda: now)
    lease.confirm_write(PRIMARY)
    now += 0.5
    lease.confirm_write(PRIMARY)
    now += 0.5  # it has ended
    lease.confirm_write(PRIMARY)


class Searching(FailoverConnections[str]):
    """Finds a primary, unless `interruption` interrupts the search."""

    interruption: BaseException | None = None

    def _send(self, call: Call) -> None:
        primary = self._current()
        call.send_open(lambda commands, _idempotent: [primary.encode() for _ in commands])

    def _search(self) -> str:
        if self.interruption is not None:
            raise self.interruption
        return "primary"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(), ValueError()], ids=repr)
def test_the_next_request_searches_the_primary_after_an_interrupted_search(interruption: BaseException) -> None:
    connections = Searching(SERVERS, Budgets(retries=0))
    connections.interruption = interruption
    with pytest.raises(type(interruption)):
        connections.execute([("PING",)])
    connections.interruption = None
    assert connections.execute([("PING",)]) == [b"primary"]
