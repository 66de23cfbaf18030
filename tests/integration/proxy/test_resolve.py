"""Nodes found by name, as in containers: they come and go without a reload."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy import Balance, UpstreamServer
from tests.integration.proxy.conftest import Nodes, StartProxy
from tests.support.backend import Backend
from tests.support.dns import Dns
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until

ADDRESSES = ("127.0.1.1", "127.0.1.2", "127.0.1.3")


@pytest.fixture
def scaled() -> Iterator[Nodes]:
    """Three nodes at one port of three addresses, like the replicas of a service."""
    first = Backend("node-1", host=ADDRESSES[0])
    others = [Backend(f"node-{n}", host=host, port=first.port) for n, host in enumerate(ADDRESSES[1:], start=2)]
    yield (first, *others)
    for backend in (first, *others):
        backend.die()


def start(start_proxy: StartProxy, dns: Dns, scaled: Nodes, balance: Balance, **overrides: float) -> RunningProxy:
    service = UpstreamServer(f"node:{scaled[0].port}", "node", resolve=True)
    proxy = start_proxy((service,), balance=balance, resolver=dns.address, resolver_valid=1, **overrides)
    wait_until(lambda: not dns.addresses or proxy.get().status == 200, "the name is resolved")
    return proxy


def nodes_seen(proxy: RunningProxy) -> set[str]:
    # Each from a network of its own, and with a session of its own, so that every policy spreads them.
    answers = [
        proxy.get(headers={"Cookie": f"session=id-{number}"}, source=f"127.0.{number}.1") for number in range(2, 40)
    ]
    return {answer.node for answer in answers}


@pytest.mark.parametrize("balance", [Balance.ROUND_ROBIN, Balance.HASH, Balance.STICKY])
def test_nodes_come_and_go_with_what_the_name_resolves_to(
    start_proxy: StartProxy, scaled: Nodes, balance: Balance
) -> None:
    with Dns(*ADDRESSES[:2]) as dns:
        proxy = start(start_proxy, dns, scaled, balance)
        wait_until(lambda: nodes_seen(proxy) == {"node-1", "node-2"}, "both are used")
        dns.addresses = ADDRESSES
        wait_until(lambda: nodes_seen(proxy) == {"node-1", "node-2", "node-3"}, "the third is used")
        dns.addresses = ADDRESSES[1:]
        wait_until(lambda: nodes_seen(proxy) == {"node-2", "node-3"}, "the first is no longer used")


def test_a_browser_sticks_to_one_of_the_addresses_of_a_name(start_proxy: StartProxy, scaled: Nodes) -> None:
    with Dns(*ADDRESSES) as dns:
        proxy = start(start_proxy, dns, scaled, Balance.STICKY)
        browsers = []
        for _ in range(9):
            answer = proxy.get()
            browsers.append((answer.node, {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}))
        assert len({node for node, _ in browsers}) == 3
        for node, cookie in browsers:
            assert {proxy.get(headers=cookie).node for _ in range(4)} == {node}


def test_a_session_is_hashed_to_one_of_the_addresses_of_a_name(start_proxy: StartProxy, scaled: Nodes) -> None:
    with Dns(*ADDRESSES) as dns:
        proxy = start(start_proxy, dns, scaled, Balance.HASH)
        # 31, so that taking turns among three does not come out right by itself.
        cookies = [{"Cookie": f"session=id-{number}"} for number in range(31)]
        placed = [proxy.get(headers=cookie).node for cookie in cookies]
        dns.addresses = ADDRESSES[::-1]
        asked = dns.queries
        wait_until(lambda: dns.queries >= asked + 2, "the answer in another order is known")
        assert [proxy.get(headers=cookie).node for cookie in cookies] == placed
        assert min(Counter(placed).values()) >= 2


def test_a_name_that_does_not_resolve_yet_is_502_until_it_does(start_proxy: StartProxy, scaled: Nodes) -> None:
    with Dns() as dns:
        proxy = start(start_proxy, dns, scaled, Balance.ROUND_ROBIN)
        assert proxy.get().status == 502
        dns.addresses = ADDRESSES
        wait_until(lambda: proxy.get().status == 200, "the name is resolved")


def test_a_waiting_read_is_answered_by_a_node_that_the_name_resolves_to_later(
    start_proxy: StartProxy, scaled: Nodes
) -> None:
    silent, *others = scaled
    for other in others:
        other.release.set()
    with Dns(*ADDRESSES) as dns:
        proxy = start(start_proxy, dns, scaled, Balance.ROUND_ROBIN, get_timeout=4, tries_timeout=10)
        asked = []
        while not silent.hits("/wait"):
            asked.append(proxy.open_request("/wait"))
            wait_until(lambda: sum(node.hits("/wait") for node in scaled) == len(asked), "it has arrived")
        dns.addresses = ADDRESSES[1:]
        wait_until(lambda: nodes_seen(proxy) == {"node-2", "node-3"}, "the first is no longer used")
        answers = [connection.getresponse() for connection in asked]
        assert {answer.status for answer in answers} == {200}


def test_a_write_that_reached_no_node_goes_to_one_that_the_name_resolves_to_later(
    start_proxy: StartProxy, scaled: Nodes
) -> None:
    """The kernel drops attempts to connect to a socket whose backlog is full, as if no host had its address."""
    gone, other, _ = scaled
    gone.die()
    with Dns(*ADDRESSES[:2]) as dns, ExitStack() as opened:
        full = opened.enter_context(socket.socket())
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((ADDRESSES[0], other.port))
        full.listen(0)
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((ADDRESSES[0], other.port))
        service = UpstreamServer(f"node:{other.port}", "node", resolve=True)
        proxy = start_proxy((service,), resolver=dns.address, resolver_valid=1, connect_timeout=3, tries_timeout=10)
        wait_until(lambda: proxy.get().status == 200, "the name is resolved")
        asked = [proxy.open_request("/write", "POST") for _ in range(2)]
        dns.addresses, queries = ADDRESSES[1:2], dns.queries
        wait_until(lambda: dns.queries >= queries + 2, "the new answer is known")
        assert [connection.getresponse().status for connection in asked] == [200, 200]
        assert other.hits("/write") == 2
