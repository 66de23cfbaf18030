"""The six policies as clients see them, and what happens to clients when nodes die, drain or go down."""

from collections import Counter
from dataclasses import replace

import pytest

from proxy import Balance, ServerState, UpstreamServer
from tests.integration.proxy.conftest import Nodes, Servers, StartProxy
from tests.support.proxy import RunningProxy
from tests.support.waiting import wait_until


def spread(proxy: RunningProxy, requests: int) -> Counter[str]:
    return Counter(proxy.get().node for _ in range(requests))


def session(number: int) -> dict[str, str]:
    return {"Cookie": f"theme=dark; session=id-{number}.signature"}


def where_sessions_go(proxy: RunningProxy, sessions: int) -> list[str]:
    return [proxy.get(headers=session(number)).node for number in range(sessions)]


def new_browser(proxy: RunningProxy) -> tuple[str, dict[str, str]]:
    """The node that a new browser was given, and the header that it sends from then on."""
    answer = proxy.get()
    return answer.node, {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}


def in_state(servers: Servers, name: str, state: ServerState) -> Servers:
    return tuple(replace(server, state=state) if server.name == name else server for server in servers)


def test_round_robin_is_even(start_proxy: StartProxy) -> None:
    # One worker, so that the turns of two do not interleave at the ends.
    assert spread(start_proxy(worker_processes=1), 30) == {"node-1": 10, "node-2": 10, "node-3": 10}


def test_random_two_reaches_every_node(start_proxy: StartProxy) -> None:
    counts = spread(start_proxy(balance=Balance.RANDOM_TWO), 90)
    # Fewer than 5 of 90 by chance: less than one in 10^8.
    assert len(counts) == 3
    assert min(counts.values()) >= 5


@pytest.mark.parametrize("balance", [Balance.LEAST_CONN, Balance.RANDOM_TWO])
def test_a_busy_node_is_avoided(start_proxy: StartProxy, nodes: Nodes, balance: Balance) -> None:
    # Two nodes: "two at random" then always compares both.
    servers = tuple(UpstreamServer(node.address, node.name) for node in nodes[:2])
    proxy = start_proxy(servers, balance=balance)
    waiting = proxy.open_request("/wait")
    wait_until(lambda: any(node.hits("/wait") for node in nodes), "a node is busy")
    busy = next(node for node in nodes if node.hits("/wait"))
    assert busy.name not in spread(proxy, 20)
    busy.release.set()
    waiting.close()


def test_ip_hash_keeps_a_network_on_its_node_and_spreads_networks(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.IP_HASH)
    networks = [[proxy.get(source=f"127.0.{network}.{host}").node for host in (1, 9)] for network in range(30)]
    assert all(first == second for first, second in networks)
    assert {first for first, _ in networks} == {"node-1", "node-2", "node-3"}


def test_hash_keeps_a_session_on_its_node_and_spreads_sessions(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.HASH)
    placed = where_sessions_go(proxy, 61)
    assert where_sessions_go(proxy, 61) == placed
    assert min(Counter(placed).values()) >= 5
    assert len(set(placed)) == 3


def test_hash_goes_by_the_session_cookie_of_http_and_tls_and_no_other(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.HASH)

    def placed(name: str) -> list[str]:
        return [proxy.get(headers={"Cookie": f"{name}=id-{number}"}).node for number in range(20)]

    plain = placed("session")
    assert len(set(plain)) == 3
    assert placed("a=b; __Host-session") == plain
    assert len(set(placed("my-session"))) == 1


def test_hash_without_a_cookie_goes_by_the_address(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.HASH)
    placed = [proxy.get(source=f"127.0.0.{host}").node for host in range(1, 30)]
    assert [proxy.get(source=f"127.0.0.{host}").node for host in range(1, 30)] == placed
    assert len(set(placed)) == 3


def test_hash_moves_only_the_sessions_of_the_node_that_goes(start_proxy: StartProxy, servers: Servers) -> None:
    proxy = start_proxy(balance=Balance.HASH)
    before = where_sessions_go(proxy, 61)
    proxy.reload(in_state(servers, "node-2", ServerState.DOWN))
    after = where_sessions_go(proxy, 61)
    assert "node-2" not in after
    assert all(then == now for then, now in zip(before, after, strict=True) if then != "node-2")


def test_sticky_keeps_a_browser_on_its_node_and_spreads_browsers(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.STICKY)
    browsers = [new_browser(proxy) for _ in range(9)]
    assert {node for node, _ in browsers} == {"node-1", "node-2", "node-3"}
    for node, cookie in browsers:
        assert {proxy.get(headers=cookie).node for _ in range(5)} == {node}


def test_the_sticky_cookie_names_the_node_and_a_forged_one_is_ignored(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.STICKY)
    answer = proxy.get()
    value, *attributes = (part.strip().lower() for part in answer.headers["Set-Cookie"].split(";"))
    assert value == f"node={answer.node}"
    assert {"path=/", "httponly", "samesite=lax"} <= set(attributes)
    assert {proxy.get(headers={"Cookie": "node=node-99"}).status for _ in range(6)} == {200}


FOR_SOME_CACHES = {
    *("CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Netlify-CDN-Cache-Control", "Vercel-CDN-Cache-Control"),
    *("Edge-Control", "Surrogate-Control", "X-Accel-Expires"),
}


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        (None, "private"),
        ("public", "private"),
        ("public, max-age=31536000", "private, max-age=31536000"),
        ("max-age=60, Public", "max-age=60, private"),
        ("max-age=60,public,s-maxage=600", "max-age=60,private,s-maxage=600"),
        ("private, public", "private, private"),
        ("max-age=60", "private, max-age=60"),
        ("no-cache", "private, no-cache"),
        ('private="set-cookie"', 'private, private="set-cookie"'),
        ("no-store", "no-store"),
        ("private, max-age=60", "private, max-age=60"),
        ("Max-Age=5, Private", "Max-Age=5, Private"),
    ],
)
def test_the_sticky_cookie_is_not_left_to_shared_caches(
    start_proxy: StartProxy, nodes: Nodes, own: str | None, sent: str
) -> None:
    for node in nodes:
        node.headers = dict.fromkeys(FOR_SOME_CACHES, "public, max-age=60")
        node.headers |= {} if own is None else {"Cache-Control": own}
    proxy = start_proxy(balance=Balance.STICKY, max_in_flight=None)
    for answer in (proxy.get(), proxy.post()):
        assert "Set-Cookie" in answer.headers
        assert answer.headers.get_all("Cache-Control") == [sent]
        assert not FOR_SOME_CACHES & set(answer.headers)
    assert "Cache-Control" not in proxy.get("/proxy/health").headers


def test_other_policies_leave_the_cache_control_of_the_nodes(start_proxy: StartProxy, nodes: Nodes) -> None:
    for node in nodes:
        node.headers = {"Cache-Control": "public, max-age=60", "CDN-Cache-Control": "public"}
    answer = start_proxy().get()
    assert (answer.headers["Cache-Control"], answer.headers["CDN-Cache-Control"]) == ("public, max-age=60", "public")


def test_the_sticky_cookie_is_secure_for_clients_whose_tls_ends_at_a_trusted_proxy(
    start_proxy: StartProxy, nodes: Nodes
) -> None:
    over_tls = {"X-Forwarded-Proto": "https"}
    proxy = start_proxy(balance=Balance.STICKY, trusted_proxies=("127.0.0.1",))
    answer = proxy.get(headers=over_tls)
    value, *attributes = (part.strip().lower() for part in answer.headers["Set-Cookie"].split(";"))
    assert sorted(attributes) == ["httponly", "path=/", "samesite=lax", "secure"]
    browser = over_tls | {"Cookie": value}
    assert {proxy.get(headers=browser).node for _ in range(6)} == {answer.node}
    assert proxy.post("/login", headers=browser).node == answer.node
    assert proxy.get("/path?a=b%2F", headers=browser).status == 200
    assert "secure" not in proxy.get().headers["Set-Cookie"].lower()
    next(node for node in nodes if node.name == answer.node).die()
    assert proxy.get(headers=browser).status == 200


def test_a_client_that_is_not_trusted_does_not_choose_the_sticky_cookie_s_attributes(start_proxy: StartProxy) -> None:
    proxy = start_proxy(balance=Balance.STICKY, trusted_proxies=("10.0.0.0/8",))
    assert "secure" not in proxy.get(headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"].lower()


def test_the_browser_of_a_dead_node_is_answered_by_another_and_pinned_to_it(
    start_proxy: StartProxy, nodes: Nodes
) -> None:
    proxy = start_proxy(balance=Balance.STICKY)
    home, cookie = new_browser(proxy)
    dead = next(node for node in nodes if node.name == home)
    dead.die()
    answer = proxy.get(headers=cookie)
    assert answer.status == 200
    assert answer.headers["X-Upstream-Status"] == "502, 200"
    assert answer.node != home
    pinned = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
    dead.come_back()
    assert {proxy.get(headers=pinned).node for _ in range(6)} == {answer.node}


def test_a_node_that_comes_back_at_another_address_keeps_its_browsers(
    start_proxy: StartProxy, nodes: Nodes, servers: Servers
) -> None:
    proxy = start_proxy(servers[:2], balance=Balance.STICKY)
    home, cookie = new_browser(proxy)
    moved = tuple(UpstreamServer(nodes[2].address, home) if server.name == home else server for server in servers[:2])
    proxy.reload(moved)
    assert {proxy.get(headers=cookie).node for _ in range(5)} == {"node-3"}


def test_a_draining_node_keeps_its_browsers_and_those_of_one_that_is_down_move(
    start_proxy: StartProxy, servers: Servers
) -> None:
    proxy = start_proxy(balance=Balance.STICKY)
    home, cookie = new_browser(proxy)
    proxy.reload(in_state(servers, home, ServerState.DRAIN))
    assert {proxy.get(headers=cookie).node for _ in range(6)} == {home}
    assert home not in spread(proxy, 12)
    proxy.reload(in_state(servers, home, ServerState.DOWN))
    answer = proxy.get(headers=cookie)
    assert (answer.status, answer.node == home) == (200, False)


@pytest.mark.parametrize("state", [ServerState.DRAIN, ServerState.DOWN])
@pytest.mark.parametrize("balance", list(Balance))
def test_a_node_out_of_rotation_gets_nothing_new_and_returns_to_it(
    start_proxy: StartProxy, servers: Servers, balance: Balance, state: ServerState
) -> None:
    proxy = start_proxy(in_state(servers, "node-1", state), balance=balance)

    def nodes_seen() -> set[str]:
        answers = [proxy.get(headers=session(number), source=f"127.0.{number}.1") for number in range(30)]
        assert {answer.status for answer in answers} == {200}
        return {answer.node for answer in answers}

    assert nodes_seen() == {"node-2", "node-3"}
    proxy.reload(servers)
    assert nodes_seen() == {"node-1", "node-2", "node-3"}
