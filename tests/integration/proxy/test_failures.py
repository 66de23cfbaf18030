"""Failures of nodes: which requests are tried again, and which answers pass unchanged."""

import time

import pytest

from deploy.ports import free_ports
from proxy import Balance, UpstreamServer
from tests.integration.proxy.conftest import Nodes, StartProxy
from tests.support.http_client import send
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until


def drop_requests(nodes: Nodes) -> None:
    for node in nodes:
        node.dropping.set()


def hits(nodes: Nodes, path: str) -> int:
    return sum(node.hits(path) for node in nodes)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_idempotent_requests_are_retried_when_a_node_hangs_up(
    start_proxy: StartProxy, nodes: Nodes, method: str
) -> None:
    proxy = start_proxy(worker_processes=1)
    nodes[0].dropping.set()
    answers = [send(proxy.connect(), method, "/drop") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert hits(nodes, "/drop") == 4
    assert sorted(answer.headers["X-Upstream-Status"] for answer in answers) == ["200", "200", "502, 200"]
    assert "502, 200" in {line["upstream_status"] for line in proxy.log_lines("/drop")}


@pytest.mark.parametrize("balance", list(Balance))
def test_a_post_is_never_repeated(start_proxy: StartProxy, nodes: Nodes, balance: Balance) -> None:
    drop_requests(nodes)
    answer = start_proxy(balance=balance).post("/drop")
    assert answer.status == 502
    assert answer.headers["X-Upstream-Status"] == "502"
    assert hits(nodes, "/drop") == 1


def test_a_post_that_no_node_has_seen_yet_goes_to_another(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(worker_processes=1)
    nodes[0].die()
    assert [proxy.post("/new").status for _ in range(6)] == [200] * 6
    assert hits(nodes, "/new") == 6
    nodes[0].come_back()


def test_one_request_tries_no_more_nodes_than_allowed(start_proxy: StartProxy, nodes: Nodes) -> None:
    drop_requests(nodes)
    answer = start_proxy(tries=2).get("/drop")
    assert (answer.status, answer.headers["X-Upstream-Status"]) == (502, "502, 502")
    assert hits(nodes, "/drop") == 2


def test_readers_leave_a_silent_node_soon_and_writers_are_given_time(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(get_timeout=0.3, read_timeout=1.5)
    for node in nodes[1:]:
        node.release.set()
    reads = [proxy.get("/wait") for _ in range(3)]
    assert {answer.status for answer in reads} == {200}
    assert "504, 200" in {answer.headers["X-Upstream-Status"] for answer in reads}
    began = time.monotonic()
    writes = [proxy.post("/wait") for _ in range(3)]
    assert sorted(answer.headers["X-Upstream-Status"] for answer in writes) == ["200", "200", "504"]
    assert time.monotonic() - began >= 1.5
    written = sum(seen.method == "POST" for node in nodes for seen in node.seen)
    assert written == 3, "a write is never sent to a second node"


def test_a_503_passes_unchanged_and_is_tried_once(start_proxy: StartProxy, nodes: Nodes) -> None:
    answer = start_proxy().get("/503")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Upstream-Status"] == "503"
    assert answer.json["host"]
    assert hits(nodes, "/503") == 1


@pytest.mark.parametrize("balance", list(Balance))
def test_a_store_outage_on_all_nodes_takes_none_of_them_out(start_proxy: StartProxy, balance: Balance) -> None:
    proxy = start_proxy(balance=balance, max_fails=1)
    assert {proxy.get("/503").status for _ in range(12)} == {503}
    assert {proxy.get("/").headers["X-Upstream-Status"] for _ in range(12)} == {"200"}


def test_a_dead_node_is_not_asked_again_until_fail_timeout(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_fails=1, fail_timeout=60)
    nodes[0].die()
    answers = [proxy.get() for _ in range(12)]
    assert {answer.status for answer in answers} == {200}
    assert [answer.headers["X-Upstream-Status"] for answer in answers].count("502, 200") == 1
    nodes[0].come_back()


def leave_all_out(proxy: RunningProxy, nodes: Nodes) -> None:
    """Let every node drop a request, which leaves it out, and be well again."""
    drop_requests(nodes)
    for _ in range(6):
        proxy.get("/drop")
    for node in nodes:
        node.dropping.clear()


@pytest.mark.parametrize("balance", list(Balance))
def test_nodes_are_used_though_all_are_left_out(start_proxy: StartProxy, nodes: Nodes, balance: Balance) -> None:
    proxy = start_proxy(balance=balance, max_fails=1, fail_timeout=60)
    leave_all_out(proxy, nodes)
    assert {proxy.get("/drop").status for _ in range(6)} == {200}
    assert {proxy.post("/drop").status for _ in range(6)} == {200}


def test_spares_of_sticky_nodes_have_their_names(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(balance=Balance.STICKY, max_fails=1, fail_timeout=60)
    leave_all_out(proxy, nodes)
    cookies = [proxy.get("/drop", {"Cookie": "node=node-1"}).headers["Set-Cookie"] for _ in range(6)]
    assert {cookie.partition(";")[0] for cookie in cookies} <= {f"node={node.name}" for node in nodes}


def test_a_silent_node_is_left_out_and_used_again_within_two_seconds(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(get_timeout=0.1, worker_processes=1)
    for node in nodes[1:]:
        node.release.set()
    for _ in range(9):
        assert proxy.get("/wait").status == 200
    left_out, seen = time.monotonic(), nodes[0].hits("/")
    nodes[0].release.set()
    for _ in range(6):
        proxy.get("/")
    assert nodes[0].hits("/") == seen
    wait_until(lambda: proxy.get("/") and nodes[0].hits("/") > seen, "the node to be used")
    assert time.monotonic() - left_out < 3


def test_without_any_node_the_answer_is_502(start_proxy: StartProxy) -> None:
    nobody = tuple(UpstreamServer(f"127.0.0.1:{free_ports(1)[0]}") for _ in range(2))
    assert start_proxy(nobody).get().status == 502
