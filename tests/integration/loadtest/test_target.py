"""A target is checked before a crowd of users comes to it."""

import re
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from deploy.ports import free_ports
from loadtest.history import Header, read
from loadtest.load import run_load
from loadtest.load_profile import LoadProfile
from loadtest.results import HISTORY
from loadtest.target import TargetError, log_in
from nodes.sessions import Lifetime
from tests.support.servers import http_server, tcp_server
from tests.support.stand_in import StandIn, serving, target


def test_a_target_that_speaks_the_interface_is_accepted() -> None:
    with serving(StandIn()) as url:
        target(url).check()


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b'{"name": 1}'), (200, b"[]"), (404, b'{"user": null}'), (503, b"")]
)
def test_a_target_that_speaks_something_else_is_refused(status: int, body: bytes) -> None:
    with http_server(lambda _: (status, {}, body)) as url:
        with pytest.raises(TargetError, match=f"GET /me answered {status}; see docs"):
            target(url).check()


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:80", "ftp://host", "http://", "http://127.0.0.1/shop", "http://host?x", "http://host#x"),
        *("http://[::1:8080", "http://[x]", "http://user:pw@host", "http://a..b", "http://a b", "http://host\n"),
        *("http://host:abc", "http://host:0", "http://host:65536"),
    ],
)
def test_a_target_must_be_an_address_with_a_host_and_nothing_else_but_a_port(url: str) -> None:
    with pytest.raises(TargetError, match="target must be http://HOST"):
        target(url).check()


@pytest.mark.parametrize(("cookie", "found"), [("session", "session"), ("a\x1bb", r"a\x1bb"), ("", "none")])
def test_a_target_that_never_sets_the_named_cookie_is_refused(cookie: str, found: str) -> None:
    headers = {"Set-Cookie": f"{cookie}=1; Path=/"} if cookie else {}
    with http_server(lambda _: (200, headers, b'{"user": null, "visits": 1}')) as url:
        with pytest.raises(TargetError, match=re.escape(f"set no cookie 'nocookie': it set {found}; name the ")):
            target(url, session_cookie="nocookie").check()


@pytest.mark.parametrize(
    ("scheme", "cause"),
    [("http", r"GARBAGE\x1b[2J; start it, or"), ("https", "TLS failed (WRONG_VERSION_NUMBER); give an address with")],
)
def test_garbage_of_a_target_is_escaped_and_one_line(scheme: str, cause: str) -> None:
    def send_garbage(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"GARBAGE\x1b[2J\r\n\r\n")

    with tcp_server(send_garbage) as port:
        with pytest.raises(TargetError, match=re.escape(f"does not answer: {cause}")):
            target(f"{scheme}://127.0.0.1:{port}").check()


def test_a_target_that_does_not_run_is_one_line() -> None:
    with pytest.raises(TargetError, match=r"does not answer: Connection refused; start it, or correct the address"):
        target(f"http://127.0.0.1:{free_ports(1)[0]}").check()


def test_a_login_that_fails_is_reported_in_one_line() -> None:
    with serving(StandIn()) as url, pytest.raises(TargetError, match=r"cannot log in at .* as alice: status 401"):
        log_in(target(url, users={"alice": "wrong"}))
    with pytest.raises(TargetError, match=r"cannot log in at .* as carol: ConnectionRefusedError"):
        log_in(target(url))


def test_the_header_of_a_load_describes_its_target_and_when_sessions_expire(tmp_path: Path) -> None:
    profile = LoadProfile(users=2, spawn_rate=20, wait=(0.0, 0.1))
    with serving(StandIn()) as url:
        described = target(url, description={"nodes": 3}, session_lifetime=Lifetime(1800, 28800))
        run_load(profile, 1.0, described, tmp_path, "a load", lambda _: None)
    header = next(iter(read(tmp_path / HISTORY)))
    assert isinstance(header, Header)
    load = {"users": 2, "wait": [0.0, 0.1], "mix": "everyday"}
    assert header.cluster == {"url": url, "nodes": 3, **load}
    assert (header.idle_timeout, header.lifetime) == (1800, 28800)


def test_a_target_over_tls_needs_a_trusted_certificate_unless_insecure(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with http_server(lambda _: (200, {"Set-Cookie": "session=1"}, b'{"user": null}'), context) as url:
        target(url, authority=tmp_path / "ca.pem").check()
        target(url, insecure=True).check()
        with pytest.raises(TargetError, match=r"is not trusted: .*name its authority with --ca"):
            target(url).check()
