"""What the proxy lets in from outside, and what it makes of it on the way."""

import json
import os

import pytest

from tests.integration.proxy.conftest import StartProxy
from tests.support.backend import Backend


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil", "127.0.0.2"])
def test_a_foreign_host_is_closed_without_an_answer(
    start_proxy: StartProxy, nodes: tuple[Backend, ...], host: str
) -> None:
    proxy = start_proxy()
    assert proxy.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == b""
    assert not any(node.seen for node in nodes)


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Host:\r\n",
        b"Host: localhost, evil\r\n",
        b"Host: localhost:80:90\r\n",
        b"Host: localhost\r\nHost: evil\r\n",
    ],
)
def test_a_missing_or_odd_host_reaches_no_node(
    start_proxy: StartProxy, nodes: tuple[Backend, ...], lines: bytes
) -> None:
    answer = start_proxy().raw(b"GET / HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert not any(node.seen for node in nodes)


def test_http_1_0_without_a_host_is_closed(start_proxy: StartProxy, nodes: tuple[Backend, ...]) -> None:
    assert start_proxy().raw(b"GET / HTTP/1.0\r\n\r\n") == b""
    assert not any(node.seen for node in nodes)


def test_a_known_host_in_the_request_line_does_not_smuggle_a_foreign_one(
    start_proxy: StartProxy, nodes: tuple[Backend, ...]
) -> None:
    proxy = start_proxy()
    proxy.raw(b"GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    for seen in [seen for node in nodes for seen in node.seen]:
        assert "evil" not in str(seen.headers)


def test_every_named_host_is_served_and_keeps_its_port(start_proxy: StartProxy) -> None:
    proxy = start_proxy(hosts=("shop.example", "localhost", "[::1]"))
    for host in ("shop.example", "localhost:8080", "[::1]:8080", "[::1]"):
        answer = proxy.get(headers={"Host": host})
        assert answer.status == 200
        assert answer.forwarded["host"] == host
        assert answer.forwarded["x-forwarded-host"] == host


def test_forged_forwarding_headers_are_overwritten(start_proxy: StartProxy) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Request-ID": "mine",
    }
    forwarded = start_proxy().get(headers=forged).forwarded
    assert forwarded["x-forwarded-for"] == "127.0.0.1"
    assert forwarded["x-forwarded-proto"] == "http"
    assert forwarded["x-forwarded-host"].startswith("127.0.0.1:")
    assert len(forwarded["x-request-id"]) == 32


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-Protocol", "X-Real-IP"],
)
def test_other_headers_that_a_node_might_believe_are_dropped(start_proxy: StartProxy, name: str) -> None:
    assert name.lower() not in start_proxy().get(headers={name: "on"}).forwarded


def test_a_body_over_the_limit_is_413_and_reaches_no_node(start_proxy: StartProxy, nodes: tuple[Backend, ...]) -> None:
    proxy = start_proxy(max_body_bytes=1000)
    assert proxy.post(body=b"x" * 1000).status == 200
    hits = sum(len(node.seen) for node in nodes)
    assert proxy.post(body=b"x" * 1001).status == 413
    assert sum(len(node.seen) for node in nodes) == hits


def test_a_body_that_does_not_fit_into_memory_passes(start_proxy: StartProxy, nodes: tuple[Backend, ...]) -> None:
    body = os.urandom(900_000)
    assert start_proxy().post(body=body).status == 200
    assert [seen.body for node in nodes for seen in node.seen] == [body]


@pytest.mark.parametrize("size", [8 * 1024, 16 * 1024])
def test_a_cookie_of_8_and_of_16_kb_reaches_the_node(start_proxy: StartProxy, size: int) -> None:
    cookie = "session=" + "x" * size
    assert start_proxy().get(headers={"Cookie": cookie}).forwarded["cookie"] == cookie


def test_a_header_line_beyond_that_is_refused_by_the_proxy(start_proxy: StartProxy, nodes: tuple[Backend, ...]) -> None:
    assert start_proxy().get(headers={"Cookie": "x" * 30_000}).status == 400
    assert not any(node.seen for node in nodes)


def test_logins_beyond_rate_and_burst_are_429_with_retry_after(
    start_proxy: StartProxy, nodes: tuple[Backend, ...]
) -> None:
    proxy = start_proxy(login_rate=1, login_burst=2)
    answers = [proxy.post("/login") for _ in range(8)]
    refused = [answer for answer in answers if answer.status == 429]
    assert [answer.status for answer in answers[:3]] == [200, 200, 200]
    assert len(refused) >= 3
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert sum(node.hits("/login") for node in nodes) == len(answers) - len(refused)


def test_only_the_login_itself_is_limited(start_proxy: StartProxy) -> None:
    proxy = start_proxy(login_rate=1, login_burst=1)
    assert {proxy.get("/login").status for _ in range(10)} == {200}
    assert {proxy.post("/visits").status for _ in range(10)} == {200}


def test_no_login_rate_is_no_limit(start_proxy: StartProxy) -> None:
    proxy = start_proxy(login_rate=None)
    assert {proxy.post("/login").status for _ in range(150)} == {200}


def test_health_is_answered_without_the_nodes(start_proxy: StartProxy, nodes: tuple[Backend, ...]) -> None:
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
    assert line["request_id"] == answer.forwarded["x-request-id"]
    assert line["upstream"] == answer.headers["X-Upstream"]
    assert (line["status"], line["upstream_status"]) == (200, "200")
    # nginx takes the two from clocks of their own, each rounded to a millisecond.
    assert 0 <= float(line["upstream_seconds"]) <= line["seconds"] + 0.005
    assert "secret" not in json.dumps(line)


def test_nginx_names_no_version_and_leaves_nothing_outside_its_folder(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    assert proxy.get("/").headers["Server"] == "nginx"
    temporary = {f"{kind}_temp" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")}
    ours = {"nginx.conf", "nginx.pid", "access.log", "error.log"}
    assert {path.name for path in proxy.folder.iterdir()} == temporary | ours
