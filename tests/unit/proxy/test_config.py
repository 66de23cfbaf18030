"""The text of nginx.conf, and what each version of nginx is refused."""

from pathlib import Path
from typing import Any

import pytest

from proxy import Balance, ProxySettings, ProxySettingsError, UpstreamServer, render
from proxy.containers import container_settings

NODES = tuple(UpstreamServer(f"127.0.0.1:{8000 + number}", f"node-{number}") for number in (1, 2, 3))


def directives(**overrides: Any) -> list[str]:
    """The lines of a rendered configuration, without indentation."""
    settings = ProxySettings(**{"servers": NODES, "runtime_dir": Path("/run/proxy"), **overrides})
    return [line.strip() for line in render(settings).splitlines()]


REQUIRED = [
    "worker_processes auto;",
    "worker_rlimit_nofile 8192;",
    "worker_connections 4096;",
    "worker_shutdown_timeout 30000ms;",
    "absolute_redirect off;",
    "client_header_timeout 15000ms;",
    "client_body_timeout 15000ms;",
    "keepalive_min_timeout 2s;",
    "zone app 256k;",
    "keepalive 32;",
    "keepalive_timeout 30000ms;",
    "proxy_next_upstream_timeout 5000ms;",
    "proxy_read_timeout 2000ms;",
    "proxy_connect_timeout 1000ms;",
    "proxy_read_timeout 15000ms;",
    "proxy_send_timeout 15000ms;",
    'proxy_set_header Connection "";',
]


def test_limits_timeouts_and_temporary_folders_are_configured() -> None:
    lines = directives()
    assert [line for line in REQUIRED if line not in lines] == []
    for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        assert f'{module}_temp_path "/run/proxy/{module}_temp";' in lines


def test_reads_have_no_longer_timeout_than_writes() -> None:
    assert directives(get_timeout=2, read_timeout=0.3).count("proxy_read_timeout 300ms;") == 2


def test_the_access_log_has_what_makes_retries_visible() -> None:
    (line,) = (line for line in directives() if line.startswith("log_format json escape=json "))
    for variable in ("$msec", "$request_id", "$node_addr", "$node_status", "$node_response_time"):
        assert variable in line


@pytest.mark.parametrize(
    ("balance", "line"),
    [
        (Balance.LEAST_CONN, "least_conn;"),
        (Balance.RANDOM_TWO, "random two;"),
        (Balance.IP_HASH, "ip_hash;"),
        (Balance.HASH, "hash $session_key consistent;"),
        (Balance.STICKY, "sticky cookie node path=/ httponly samesite=lax;"),
    ],
)
def test_each_policy_has_its_directive_and_no_other(balance: Balance, line: str) -> None:
    others = ("least_conn", "random", "ip_hash", "hash ", "sticky")
    assert [found for found in directives(balance=balance) if found.startswith(others)] == [line]
    assert not [found for found in directives() if found.startswith(others)]


def test_each_server_has_its_failures_counted_and_in_sticky_mode_its_route() -> None:
    assert "server 127.0.0.1:8001 max_fails=3 fail_timeout=1s;" in directives()
    assert "server 127.0.0.1:8001 max_fails=3 fail_timeout=1s route=node-1;" in directives(balance=Balance.STICKY)


def test_the_dns_of_docker_is_asked_every_five_seconds() -> None:
    lines = directives(**RESOLVED)
    assert "resolver 127.0.0.11 valid=5s ipv6=off;" in lines
    assert "server node:8000 max_fails=3 fail_timeout=1s resolve;" in lines


def test_the_dns_and_the_nodes_name_of_another_platform_can_be_set() -> None:
    nodes = UpstreamServer("node.shop.svc.cluster.local:8000", resolve=True)
    text = render(container_settings((nodes,), "kube-dns.kube-system.svc.cluster.local:5353"))
    assert "resolver kube-dns.kube-system.svc.cluster.local:5353 valid=5s ipv6=off;" in text
    assert "server node.shop.svc.cluster.local:8000 max_fails=3 fail_timeout=1s resolve;" in text
    assert "resolver 127.0.0.11 valid=5s ipv6=off;" in render(container_settings((nodes,)))


def test_the_paths_of_the_proxys_logs_can_be_set() -> None:
    lines = directives(access_log="/dev/stdout", error_log="stderr")
    assert 'access_log "/dev/stdout" json;' in lines
    assert "error_log stderr warn;" in lines


RESOLVED: dict[str, Any] = {"servers": (UpstreamServer("node:8000", resolve=True),), "resolver": "127.0.0.11"}


@pytest.mark.parametrize(
    ("overrides", "version", "reason"),
    [
        ({"balance": Balance.STICKY}, (1, 22, 1), r"does not support balance sticky: use nginx 1\.29\.6 "),
        ({"balance": Balance.STICKY}, (1, 29, 5), r"does not support balance sticky: use nginx 1\.29\.6 "),
        (RESOLVED, (1, 22, 1), r"does not support resolve for server node:8000: use nginx 1\.27\.3 "),
        (RESOLVED, (1, 27, 2), r"does not support resolve for server node:8000: use nginx 1\.27\.3 "),
    ],
)
def test_an_nginx_that_is_too_old_is_refused(
    overrides: dict[str, Any], version: tuple[int, int, int], reason: str
) -> None:
    with pytest.raises(ProxySettingsError, match=reason):
        directives(**overrides, nginx_version=version)


@pytest.mark.parametrize("balance", [balance for balance in Balance if balance is not Balance.STICKY])
def test_an_old_nginx_gets_what_it_can_do(balance: Balance) -> None:
    lines = directives(balance=balance, nginx_version=(1, 22, 1))
    assert not [line for line in lines if line.startswith("keepalive_min_timeout")]
    assert "proxy_http_version 1.1;" in lines
