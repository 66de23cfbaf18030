"""TLS at the real nginx: what it speaks, what reaches the node, and what becomes of plain HTTP."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.certificate import make_certificate
from proxy import Balance
from tests.support.proxy import RunningProxy, RunningTls
from tests.support.waiting import wait_until

Start = Callable[..., RunningProxy]


@pytest.fixture
def proxy(tmp_path: Path, servers: Any) -> Any:
    with RunningTls(tmp_path, servers, make_certificate(tmp_path), hsts_seconds=600) as running:
        yield running


def get(proxy: RunningTls, path: str = "/", **options: Any) -> requests.Response:
    url = f"https://127.0.0.1:{proxy.port}{path}"
    return requests.get(url, verify=str(proxy.authority), timeout=10, allow_redirects=False, **options)


def test_the_node_is_told_about_tls_whatever_the_client_says(proxy: RunningTls) -> None:
    answer = get(proxy, headers={"X-Forwarded-Proto": "http"})
    assert answer.json()["x-forwarded-proto"] == "https"
    assert answer.headers["Strict-Transport-Security"] == "max-age=600"


def test_the_cookie_that_pins_a_browser_is_secure(tmp_path: Path, servers: Any) -> None:
    with RunningTls(tmp_path, servers, make_certificate(tmp_path), balance=Balance.STICKY) as running:
        assert "; secure" in get(running).headers["Set-Cookie"].lower()


def test_plain_http_is_sent_to_https_with_its_method_and_body(proxy: RunningTls) -> None:
    answer = requests.post(f"http://127.0.0.1:{proxy.port}/a?b=1", data="x", timeout=10, allow_redirects=False)
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://127.0.0.1:{proxy.port}/a?b=1"


def test_connections_for_other_hosts_are_closed(proxy: RunningTls) -> None:
    with pytest.raises(requests.ConnectionError):
        get(proxy, headers={"Host": "evil.example"})


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(("version", "works"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_only_current_versions_of_tls_are_accepted(proxy: RunningTls, version: str, works: bool) -> None:
    context = ssl.create_default_context(cafile=str(proxy.authority))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as raw:
        if works:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
                assert connection.selected_alpn_protocol() == "h2"
                cipher = connection.cipher()
                assert cipher is not None
                assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_a_reload_keeps_tls(proxy: RunningTls) -> None:
    proxy.reload()
    wait_until(lambda: get(proxy).status_code == 200, "the proxy answers again")
