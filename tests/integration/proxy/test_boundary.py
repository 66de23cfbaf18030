"""Requests from outside: which ones the proxy accepts, and how it changes them."""

import json
import os

from tests.integration.proxy.conftest import Nodes, StartProxy
from tests.support.http_client import send_raw

FOREIGN = ["evil.example", "localhost.evil.example", "evil", "127.0.0.2"]
ODD = [
    b"",
    b"Host:\r\n",
    b"Host: localhost, evil\r\n",
    b"Host: localhost:80:90\r\n",
    b"Host: localhost\r\nHost: evil\r\n",
]


def test_a_foreign_missing_or_odd_host_reaches_no_node(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy()
    assert send_raw(proxy.port, b"GET / HTTP/1.0\r\n\r\n") == b""
    for host in FOREIGN:
        assert send_raw(proxy.port, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == b"", host
    for lines in ODD:
        answer = send_raw(proxy.port, b"GET / HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), lines
    assert not any(node.seen for node in nodes)
    send_raw(proxy.port, b"GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert not any("evil" in str(seen.headers) for node in nodes for seen in node.seen)


def test_every_named_host_is_served_and_keeps_its_port(start_proxy: StartProxy) -> None:
    proxy = start_proxy(hosts=("shop.example", "localhost", "[::1]"))
    for host in ("shop.example", "localhost:8080", "[::1]:8080", "[::1]"):
        answer = proxy.get(headers={"Host": host})
        assert answer.status == 200
        assert answer.json["host"] == host
        assert answer.json["x-forwarded-host"] == host


def test_forged_forwarding_headers_are_overwritten(start_proxy: StartProxy) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Request-ID": "mine",
    }
    forwarded = start_proxy().get(headers=forged).json
    assert forwarded["x-forwarded-for"] == "127.0.0.1"
    assert forwarded["x-forwarded-proto"] == "http"
    assert forwarded["x-forwarded-host"].startswith("127.0.0.1:")
    assert len(forwarded["x-request-id"]) == 32


def test_other_headers_that_a_node_might_believe_are_dropped(start_proxy: StartProxy) -> None:
    names = {"Forwarded", *(f"X-Forwarded-{name}" for name in ("Port", "Prefix", "Ssl", "Protocol")), "X-Real-IP"}
    forwarded = start_proxy().get(headers=dict.fromkeys(names, "on")).json
    assert not {name.lower() for name in names} & forwarded.keys()


INTERNAL = ["/metrics", "/ready", "/metrics?x", "//metrics", "/%6Detrics", "/x/../ready", "/./metrics", "/%2e/ready"]


def test_what_is_for_operators_reaches_no_node_however_it_is_spelt(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(expose_internals=False)
    for path in INTERNAL:
        assert (proxy.get(path).status, proxy.post(path).status) == (404, 404), path
    answer = send_raw(
        proxy.port, b"GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert not any(node.seen for node in nodes)
    assert proxy.get("/live").status == 200


def test_clients_learn_no_address_of_a_node(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(expose_internals=False)
    answers = [proxy.get(), proxy.post(), proxy.post("/login"), proxy.get("/metrics")]
    for node in nodes:
        node.die()
    answers += [proxy.get(), proxy.post()]
    for answer in answers:
        shown = f"{answer.headers}"
        assert not any(node.address in shown for node in nodes)
        assert "X-Upstream" not in answer.headers


def test_operators_may_choose_to_see_all_of_it(start_proxy: StartProxy) -> None:
    proxy = start_proxy(expose_internals=True)
    assert (proxy.get("/metrics").status, proxy.get("/ready").status) == (200, 200)
    assert proxy.get().headers["X-Upstream-Status"] == "200"


FORWARDED = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.1.2.3", "X-Forwarded-Proto": "https"}


def test_a_trusted_proxy_in_front_tells_the_clients_address_and_scheme(start_proxy: StartProxy) -> None:
    proxy = start_proxy(trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    seen = proxy.get(headers=FORWARDED).json
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("203.0.113.7", "https")
    proxy.get("/logged", headers=FORWARDED)
    assert proxy.log_lines("/logged")[0]["client"] == "203.0.113.7"
    odd = proxy.get(headers={"X-Forwarded-Proto": "https, http"}).json
    assert odd["x-forwarded-proto"] == "http"


def test_others_tell_neither_address_nor_scheme(start_proxy: StartProxy) -> None:
    proxy = start_proxy(trusted_proxies=("10.0.0.0/8", "127.0.0.2"))
    seen = proxy.get(headers=FORWARDED).json
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")


def test_logins_are_limited_for_each_client_behind_a_trusted_proxy(start_proxy: StartProxy) -> None:
    proxy = start_proxy(trusted_proxies=("127.0.0.1",), login_rate=1, login_burst=1)
    first = {proxy.post("/login", headers={"X-Forwarded-For": "203.0.113.7"}).status for _ in range(6)}
    assert first == {200, 429}
    assert proxy.post("/login", headers={"X-Forwarded-For": "203.0.113.8"}).status == 200


def test_a_body_over_the_limit_is_413_and_reaches_no_node(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(max_body_bytes=1000)
    assert proxy.post(body=b"x" * 1000).status == 200
    hits = sum(len(node.seen) for node in nodes)
    assert proxy.post(body=b"x" * 1001).status == 413
    assert sum(len(node.seen) for node in nodes) == hits


def test_a_body_that_does_not_fit_into_memory_passes(start_proxy: StartProxy, nodes: Nodes) -> None:
    body = os.urandom(900_000)
    assert start_proxy().post(body=body).status == 200
    assert [seen.body for node in nodes for seen in node.seen] == [body]


def test_a_cookie_of_16_kb_reaches_the_node_and_one_of_30_kb_is_refused(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy, cookie = start_proxy(), "session=" + "x" * 16 * 1024
    assert proxy.get(headers={"Cookie": cookie}).json["cookie"] == cookie
    assert proxy.get(headers={"Cookie": "x" * 30_000}).status == 400
    assert sum(len(node.seen) for node in nodes) == 1


def test_logins_beyond_rate_and_burst_are_429_with_retry_after(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy(login_rate=1, login_burst=2)
    answers = [proxy.post("/login") for _ in range(8)]
    refused = [answer for answer in answers if answer.status == 429]
    assert [answer.status for answer in answers[:3]] == [200, 200, 200]
    assert len(refused) >= 3
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert sum(node.hits("/login") for node in nodes) == len(answers) - len(refused)


def test_only_the_login_itself_is_limited_and_only_with_a_rate(start_proxy: StartProxy) -> None:
    proxy = start_proxy(login_rate=1, login_burst=1)
    assert {proxy.get("/login").status for _ in range(10)} == {200}
    assert {proxy.post("/visits").status for _ in range(10)} == {200}
    proxy.reload(login_rate=None)
    assert {proxy.post("/login").status for _ in range(150)} == {200}


def test_health_is_answered_without_the_nodes(start_proxy: StartProxy, nodes: Nodes) -> None:
    proxy = start_proxy()
    for node in nodes:
        node.die()
    answer = proxy.get("/proxy/health")
    assert (answer.status, answer.body) == (200, b"ok")
    assert proxy.get("/").status == 502
    for node in nodes:
        node.come_back()


def test_the_access_log_is_json_whatever_the_client_sends(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    nasty = 'a"b\\c\t{}'
    answer = proxy.get("/logged", headers={"User-Agent": nasty, "Cookie": "session=secret"})
    (line,) = proxy.log_lines("/logged")
    assert line["user_agent"] == nasty
    assert line["request_id"] == answer.json["x-request-id"]
    assert line["upstream"] == answer.headers["X-Upstream"]
    assert (line["status"], line["upstream_status"]) == (200, "200")
    # nginx takes the two from clocks of their own, each rounded to a millisecond.
    assert 0 <= float(line["upstream_seconds"]) <= line["seconds"] + 0.005
    assert "secret" not in json.dumps(line)


def test_nginx_names_no_version_and_leaves_nothing_outside_its_folder(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    assert proxy.get("/").headers["Server"] == "nginx"
    temporary = {f"{kind}_temp" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")}
    ours = {"nginx.conf", "nginx.pid", "access.log", "error.log", "stderr.log"}
    assert {path.name for path in proxy.folder.iterdir()} == temporary | ours
