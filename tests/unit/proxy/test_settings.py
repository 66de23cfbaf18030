"""Every setting is checked before it becomes text: nothing that ends a directive gets in."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxy import Balance, ProxySettings, ProxySettingsError, Tls, UpstreamServer

RUN = Path("/run/proxy")
ONE = (UpstreamServer("127.0.0.1:8001", "node-1"),)

INJECTIONS = [
    *("x;", "x; return 200", "x{", "x}", "x\n", "x\ny", "x y", 'x"', "x'", "x\\", "$x", "x#", "x\0", "é", " x", ""),
]


def refusal(**overrides: Any) -> str:
    """The error for these settings, which is one line."""
    with pytest.raises(ProxySettingsError) as error:
        ProxySettings(**{"servers": ONE, "runtime_dir": RUN, **overrides})
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("field", ["listen", "session_cookie", "sticky_cookie", "resolver", "user"])
def test_no_text_can_end_a_directive(field: str, text: str) -> None:
    for value in (text, f"127.0.0.1:80{text}" if field == "listen" else f"1{text}"):
        if value in ("1", "127.0.0.1:80"):
            continue  # Nothing was added to what is right.
        assert field in refusal(**{field: value})


@pytest.mark.parametrize("text", [*INJECTIONS, "10.0.0.1/8", "10.0.0.0/33", "proxy", "fe80::1%a;b"])
def test_a_trusted_proxy_is_an_address_or_a_network(text: str) -> None:
    assert "trusted_proxies" in refusal(trusted_proxies=("10.0.0.0/8", text))


@pytest.mark.parametrize("text", [text for text in INJECTIONS if text])
def test_no_host_address_or_name_can_end_a_directive(text: str) -> None:
    for host in (text, f"localhost{text}", f"localhost{text}x"):
        assert "host" in refusal(hosts=("localhost", host))
    for address in (f"{text}:80", f"host{text}:80", f"host:80{text}", f"host:80 {text}"):
        with pytest.raises(ProxySettingsError):
            UpstreamServer(address)
    with pytest.raises(ProxySettingsError):
        UpstreamServer("127.0.0.1:80", f"node{text}")


@pytest.mark.parametrize("text", ["a;b", "a{b", "a}b", "a\nb", 'a"b', "a'b", "a\\b", "$a", "\0"])
@pytest.mark.parametrize("field", ["runtime_dir", "access_log", "error_log"])
def test_no_path_can_leave_its_quotes(field: str, text: str) -> None:
    assert field in refusal(**{field: Path(f"/run/{text}") if field == "runtime_dir" else text})


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:", ":80", "a:0", "a:65536", "a:99999", "http://a:80", "a:٣"]
)
def test_a_server_needs_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ProxySettingsError):
        UpstreamServer(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "node:8000", "node_1.net-a:65535", "[::1]:80", "a:8"])
def test_addresses_names_and_ipv6_are_servers(address: str) -> None:
    assert UpstreamServer(address).address == address


def test_a_name_has_room_for_32_characters_as_nginx_does() -> None:
    assert UpstreamServer("a:80", "n" * 32)
    with pytest.raises(ProxySettingsError):
        UpstreamServer("a:80", "n" * 33)


@pytest.mark.parametrize(
    "overrides",
    [
        {"servers": ()},
        {"hosts": ()},
        {"runtime_dir": Path("relative")},
        {"servers": (UpstreamServer("a:80"), UpstreamServer("a:80"))},
        {"servers": (UpstreamServer("a:80", "node"), UpstreamServer("b:80", "node"))},
        {"servers": (UpstreamServer("a:80", resolve=True),)},
        {"worker_processes": 0},
        {"worker_connections": 0},
        {"tries": 0},
        {"max_fails": -1},
        {"fail_timeout": 0},
        {"login_rate": 0},
        {"login_burst": 0},
        {"max_body_bytes": 0},
        {"connect_timeout": 0},
        {"read_timeout": -1.0},
        {"tries_timeout": float("nan")},
        {"keepalive_timeout": float("inf")},
        {"listen": "127.0.0.1:0"},
        {"listen": "127.0.0.1:70000"},
        {"listen": "8080"},
    ],
)
def test_wrong_proxy_settings_are_refused_in_one_line(overrides: dict[str, Any]) -> None:
    assert len(refusal(**overrides)) > 20


def test_wrong_tls_settings_are_refused() -> None:
    with pytest.raises(ProxySettingsError, match="tls key"):
        Tls(Path("/a"), Path('/b"; evil'))
    with pytest.raises(ProxySettingsError, match="hsts_seconds"):
        Tls(Path("/a"), Path("/b"), -1)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("stiky", "did you mean 'sticky'?"),
        ("roundrobin", "did you mean 'round_robin'?"),
        ("least-conn", "did you mean 'least_conn'?"),
        ("zzz", "choose one of round_robin, least_conn, random_two, ip_hash, hash, sticky"),
    ],
)
def test_an_unknown_policy_is_answered_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(ProxySettingsError, match=rf"^{re.escape(f'unknown balancing policy {text!r}: {hint}')}$"):
        Balance.parse(text)


def test_every_policy_is_parsed_by_its_name() -> None:
    assert [Balance.parse(balance.value) for balance in Balance] == list(Balance)
