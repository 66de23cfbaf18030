"""The settings that `setup` accepts and refuses, the files that it writes, and what a cluster overrides."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.compose import setup as module
from deploy.compose.override import make_override
from deploy.compose.secret_files import node_urls
from deploy.compose.services import SENTINELS, SERVICES, SHARDS, STORES
from deploy.compose.setup import check_settings, render_proxy
from deploy.redis.acl import Passwords
from deploy.redis.config import FAST_RECONNECT
from deploy.spec import ClusterError, ClusterSpec, RedisMode, StoreKind
from nodes.environment import SettingsError
from nodes.sessions.stores.redis.address import ServerList

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "compose.yaml").read_text()
DEFAULTS = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
SENTINEL = {"REDIS_MODE": "sentinel"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"SESSION_STORE": "express"},
        {"SESSION_STORE": "express", "STORE_OUTAGE": "wait"},
        {"SESSION_STORE": "memory"},
        {"REDIS_MODE": "cluster", "STORE_DURABILITY": "revocations", "STORE_REPLICAS": "1", "MIN_REPLICAS": "1"},
        {**SENTINEL, "STORE_DURABILITY": "every_write", "STORE_REPLICAS": "2", "STORE_OUTAGE": "wait"},
        {**SENTINEL, "DOWN_AFTER": "0.5", "MIN_REPLICAS": "0", "STORE_SUBNET": "10.255.0"},
    ],
)
def test_valid_settings_are_accepted(settings: dict[str, str]) -> None:
    check_settings(DEFAULTS | settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"REDIS_MODE": "sentinle"}, "unknown Redis mode 'sentinle': did you mean 'sentinel'?"),
        ({**SENTINEL, "SESSION_STORE": "express"}, "REDIS_MODE=sentinel is for SESSION_STORE=redis, not for express"),
        ({"REDIS_MODE": "cluster", "SESSION_STORE": "sql"}, "not for sql: leave it out"),
        ({"SESSION_STORE": "files"}, "unknown store 'files': did you mean 'file'?"),
        ({"SESSION_STORE": "sql", "DATABASE": "postgre"}, "unknown database 'postgre': did you mean 'postgres'?"),
        ({"SESSION_STORE": "redis-ha"}, "set SESSION_STORE=redis REDIS_MODE=sentinel, with --profile ha"),
        ({"SESSION_STORE": "redis-cluster"}, "REDIS_MODE=cluster, with --profile cluster"),
        ({"STORE_DURABILITY": "every_write", "STORE_REPLICAS": "1"}, "a single Redis has no replicas"),
        ({**SENTINEL, "STORE_DURABILITY": "revocations"}, "STORE_REPLICAS=0 with STORE_DURABILITY=revocations: set it"),
        ({"REDIS_MODE": "cluster", "STORE_DURABILITY": "every_write", "STORE_REPLICAS": "2"}, "set it to 1"),
        ({**SENTINEL, "STORE_DURABILITY": "always"}, "STORE_DURABILITY must be"),
        ({"SESSION_STORE": "file", "STORE_OUTAGE": "wait"}, "nodes wait only for a Redis"),
        ({**SENTINEL, "DOWN_AFTER": "0.1"}, "DOWN_AFTER must be"),
        ({**SENTINEL, "MIN_REPLICAS": "3"}, "MIN_REPLICAS must be"),
        ({"STORE_SUBNET": "198.19.77.0/24"}, "must be the first three parts"),
        ({"STORE_SUBNET": "172.31.256"}, "must be the first three parts"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(settings: dict[str, str], message: str) -> None:
    with pytest.raises((ClusterError, SettingsError)) as refused:
        check_settings(DEFAULTS | settings)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("pool", ["172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16"])
def test_the_subnet_is_none_that_the_engine_gives_to_other_networks(pool: str) -> None:
    """It takes them in turns, and refuses one that overlaps."""
    assert not ip_network(f"{DEFAULTS['STORE_SUBNET']}.0/24").overlaps(ip_network(pool))


def test_the_example_lists_every_setting_with_its_default() -> None:
    assert dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", COMPOSE)) == DEFAULTS
    assert set(re.findall(r"\$\{([A-Z_]+)\}", COMPOSE)) == {"COMPOSE_PROJECT_NAME"}, "a setting without a default"


def test_the_proxy_waits_for_reads_that_wait_for_a_primary() -> None:
    assert "proxy_read_timeout 2000ms" in render_proxy(DEFAULTS)
    held = render_proxy(DEFAULTS | {"STORE_OUTAGE": "wait"})
    assert "proxy_read_timeout 2000ms" not in held


def test_the_proxy_knows_clients_and_bounds_them_as_the_environment_says() -> None:
    usual = render_proxy(DEFAULTS)
    assert "set_real_ip_from" not in usual
    assert "by_address" not in usual
    told = render_proxy(DEFAULTS | {"PROXY_TRUSTED": "10.0.0.0/8,192.0.2.1", "PROXY_MAX_PER_ADDRESS": "30"})
    assert "set_real_ip_from 10.0.0.0/8;" in told
    assert "set_real_ip_from 192.0.2.1;" in told
    assert "limit_conn by_address 30;" in told


def test_the_sentinels_of_compose_yaml_have_the_periods_of_local_ones() -> None:
    assert f"ask debug {' '.join(FAST_RECONNECT)} publish-period" in COMPOSE


def test_the_addresses_of_compose_yaml_are_those_of_the_configuration_files() -> None:
    fixed = re.findall(r'^  ([a-z]+-\d):\n(?:    .*\n)*?    networks: .*\}\.(\d+)"', COMPOSE, re.MULTILINE)
    assert {name: int(last) for name, last in fixed} == STORES | SENTINELS | SHARDS
    (sentinels,) = re.findall(r"SENTINELS: (.*)", COMPOSE)
    assert [int(last) for last in re.findall(r"\}\.(\d+)", sentinels)] == list(SENTINELS.values())
    for mode, places in ((RedisMode.SENTINEL, SENTINELS), (RedisMode.CLUSTER, SHARDS)):
        servers = ServerList.parse(node_urls(Passwords(), "10.1.2")[mode])
        assert servers is not None
        assert [server.host for server in servers.addresses] == [f"10.1.2.{last}" for last in places.values()]


def test_the_engine_restarts_no_member_that_was_killed_in_a_cluster_that_is_to_be_broken() -> None:
    services: Any = make_override(ClusterSpec(store=StoreKind.REDIS, store_proxy=True), "198.18.0")["services"]
    assert services.keys() == {*SERVICES, "fault-proxy"}
    assert {name: services[name]["restart"] for name in SERVICES} == dict.fromkeys(SERVICES, "no")
    assert "restart" not in services["fault-proxy"], "the engine restarts nothing by default"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the volumes, without secrets. The environment is that of the service."""
    for folder in ("tls", "proxy", "console", "users"):
        (tmp_path / folder).mkdir()
    for name, value in {**DEFAULTS, "NODE_APP": "", "CLUSTER_USERS": "alice"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "write_secrets", lambda *_: None)
    for name, path in {
        "CLUSTER": "",
        "SETTINGS": "console/settings.json",
        "PASSWORDS": "users/passwords.json",
    }.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    for name, path in {"_KEY": "key.pem", "_CERTIFICATE": "certificate.pem", "_AUTHORITY": "ca.pem"}.items():
        monkeypatch.setattr(module, name, tmp_path / "tls" / path)
    return tmp_path


def refused(*words: str) -> str:
    """Return the one line of a command that fails."""
    done = CliRunner().invoke(module.setup, words, catch_exceptions=False)
    assert done.exit_code == 1, done.output
    (line,) = done.output.splitlines()
    return line


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("", "host must be a host name or address without a port, not ''"),
        ("a b", "host must be a host name or address without a port, not 'a b'"),
        ("shop.example,", "host must be a host name or address without a port, not ''"),
        ("shop.example:80", "host must be a host name or address without a port, not 'shop.example:80'"),
        ("localhost," + "x" * 65, f"PROXY_HOSTS: no certificate can have the name '{'x' * 65}': Label too long"),
        ("localhost,a..b", "PROXY_HOSTS: no certificate can have the name 'a..b': Empty Label"),
        ("localhost,a_b", "PROXY_HOSTS: no certificate can have the name 'a_b': Codepoint U+005F"),
    ],
)
def test_hosts_that_no_proxy_or_certificate_can_have_are_refused(cluster: Path, monkeypatch: pytest.MonkeyPatch,
                                                                 hosts: str, message: str) -> None:  # fmt: skip
    monkeypatch.setenv("PROXY_HOSTS", hosts)
    assert refused("prepare").startswith(f"Error: {message}")
    assert not list((cluster / "tls").iterdir())


def test_every_name_that_the_internet_knows_gets_a_certificate(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_HOSTS", f"{'a' * 60}.{'b' * 60}.example,*.shop.example,[2001:db8::1],192.0.2.1")
    done = CliRunner().invoke(module.setup, ["prepare"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {one.name for one in (cluster / "tls").iterdir()} == {"ca.pem", "certificate.pem", "key.pem"}


def test_a_volume_that_cannot_be_used_is_named(cluster: Path) -> None:
    (cluster / "proxy").rmdir()
    assert re.fullmatch(rf"Error: {cluster}/proxy/\S+ cannot be used: No such file or directory", refused("prepare"))
    (cluster / "users" / "passwords.json").mkdir()
    assert refused("passwords") == f"Error: {cluster}/users/passwords.json cannot be used: Is a directory"
    said = module._explain(PermissionError(13, "Permission denied", "/cluster/proxy/x"))
    assert said.endswith("/x cannot be used: Permission denied; the user of this container must own the volume")
