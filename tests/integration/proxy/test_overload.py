"""More requests than the nodes can bear: refused by nginx at once, so that those in flight are answered."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
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


@contextmanager
def two_waiting(proxy: RunningProxy, nodes: Nodes, headers: dict[str, str]) -> Iterator[None]:
    """Let a GET and a POST with these headers wait at the nodes."""
    with ExitStack() as stack:
        for method in ("GET", "POST"):
            connection = proxy.connect()
            stack.callback(connection.close)
            connection.request(method, "/wait", headers=headers)
        wait_until(lambda: sum(node.hits("/wait") for node in nodes) == 2, "both requests to reach a node")
        yield


def test_one_session_fills_a_part_of_the_bound_and_others_go_on(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_in_flight=6, max_per_session=2)
    mine = {"Cookie": "a=1; session=" + "x" * 200}
    with two_waiting(proxy, nodes, mine):
        same = [{"Cookie": f"{name}={'x' * 200}"} for name in ("session", "__Host-session")]
        refused = [send(headers=headers) for headers in same for send in (proxy.get, proxy.post)]
        assert {(answer.status, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
        others = [None, {"Cookie": "session=other"}, {"Cookie": "my_session=" + "x" * 200}]
        assert [proxy.get(headers=headers).status for headers in others] == [200] * 3
        assert proxy.post("/login", headers={"Cookie": "session=other"}).status == 200


def test_one_address_fills_a_part_of_the_bound_without_a_cookie_or_with_forged_ones(
    start_proxy: StartProxy, nodes: Nodes
) -> None:
    proxy = start_proxy(max_in_flight=6, max_per_address=2, trusted_proxies=("127.0.0.1",))
    mine, other = ({"X-Forwarded-For": f"203.0.113.{number}"} for number in (7, 8))
    with two_waiting(proxy, nodes, mine):
        same = [mine, {**mine, "Cookie": "session=" + "x" * 200}]
        refused = [send(headers=headers) for headers in same for send in (proxy.get, proxy.post)]
        assert {(answer.status, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
        assert [send(headers=other).status for send in (proxy.get, proxy.post)] == [200] * 2


def test_long_cookies_use_up_no_memory_for_counting(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_in_flight=200)
    with ExitStack() as stack:
        for number in range(100):
            connection = proxy.connect()
            stack.callback(connection.close)
            connection.request("GET", "/wait", headers={"Cookie": f"session={number}" + "x" * 15_000})
        wait_until(lambda: sum(node.hits("/wait") for node in nodes) == 100, "all requests to reach a node")


def test_the_proxys_own_health_is_answered_under_any_load(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_in_flight=1)
    with ExitStack() as stack:
        stack.callback(fill(proxy, nodes, 1)[0].close)
        assert proxy.get("/proxy/health").status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/slow", "/login"])
@pytest.mark.parametrize("tries", [{}, {"balance": Balance.HASH}, {"login_rate": None}], ids=["spares", "hash", "any"])
def test_clients_that_send_their_bodies_slowly_take_no_place(
    start_proxy: StartProxy, nodes: Nodes, method: str, path: str, tries: dict[str, Any]
) -> None:
    proxy = start_proxy(max_in_flight=3, **tries)
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx"
            client.sendall(head.encode())
        waiting = fill(proxy, nodes, 3)
        assert {proxy.get("/more").status, proxy.post("/more").status, proxy.post("/login").status} == {503}
        client.sendall(b"x" * 99)  # it has come to the bound now
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
        for connection in waiting:
            connection.close()


def test_a_request_with_a_body_is_logged_with_its_nodes_alone(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(expose_internals=True)
    answer = proxy.post("/logged", b"a=1")
    [line] = proxy.log_lines("/logged")
    assert line["upstream"] in {node.address for node in nodes}
    assert line["upstream_status"] == "200"
    assert float(line["upstream_connect_seconds"]) + float(line["upstream_seconds"]) < 5
    assert answer.headers["X-Upstream"] == line["upstream"]
    assert answer.headers["X-Upstream-Status"] == "200"


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


def test_requests_of_a_killed_worker_count_until_a_reload_begins_a_new_generation(
    start_proxy: StartProxy, nodes: Nodes
) -> None:
    proxy = start_proxy(max_in_flight=3, worker_processes=1)
    waiting = fill(proxy, nodes, 3)
    (worker,) = psutil.Process(int((proxy.folder / "nginx.pid").read_text())).children()
    worker.kill()
    wait_until(proxy.answers, "another worker")
    for connection in waiting:
        connection.close()
    assert proxy.get("/more").status == 503, "nginx itself forgets them by now"
    proxy.reload()
    assert proxy.get("/more").status == 503, "a reload alone forgets them by now"
    proxy.reload(generation=1)
    assert proxy.get("/more").status == 200
    assert proxy.post("/more").status == 200
