"""More requests than the nodes can bear: refused by nginx at once, so that those in flight are answered."""

import http.client
from contextlib import ExitStack

import pytest

from proxy import Balance
from tests.integration.proxy.conftest import Nodes, StartProxy
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until


def fill(proxy: RunningProxy, nodes: Nodes, requests: int) -> list[http.client.HTTPConnection]:
    """Send requests that wait; return their connections when all are at the nodes."""
    waiting = [proxy.open_request("/wait") for _ in range(requests)]
    wait_until(lambda: sum(node.hits("/wait") for node in nodes) == requests, "all requests to reach a node")
    return waiting


@pytest.mark.parametrize("balance", [Balance.ROUND_ROBIN, Balance.HASH])
def test_requests_beyond_the_bound_are_refused_and_reach_no_node(
    start_proxy: StartProxy, nodes: Nodes, balance: Balance
) -> None:
    proxy = start_proxy(max_in_flight=3, balance=balance)
    waiting = fill(proxy, nodes, 3)
    refused = [proxy.get("/more"), proxy.post("/more"), proxy.post("/login")]
    assert {answer.status for answer in refused} == {503}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert {answer.headers["Cache-Control"] for answer in refused} == {"no-store"}
    assert [node.hits("/more") + node.hits("/login") for node in nodes] == [0, 0, 0]
    for node in nodes:
        node.release.set()
    assert [connection.getresponse().status for connection in waiting] == [200] * 3
    assert proxy.get("/more").status == 200


def test_the_proxys_own_health_is_answered_under_any_load(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_in_flight=1)
    with ExitStack() as stack:
        stack.callback(fill(proxy, nodes, 1)[0].close)
        assert proxy.get("/proxy/health").status == 200


def test_a_refusal_is_in_the_access_log_without_a_node(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_in_flight=1)
    waiting = fill(proxy, nodes, 1)
    proxy.get("/refused")
    assert [(line["status"], line["upstream"]) for line in proxy.log_lines("/refused")] == [(503, "")]
    waiting[0].close()


def test_slow_reads_of_all_nodes_take_none_out_of_use(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(get_timeout=0.1, fail_timeout=60)
    assert {proxy.get("/wait").status for _ in range(6)} == {504}
    for node in nodes:
        node.release.set()
    assert {proxy.get("/wait").status for _ in range(6)} == {200}
    assert {line["status"] for line in proxy.log_lines("/wait")} == {200, 504}  # and never 502, "no live upstreams"
