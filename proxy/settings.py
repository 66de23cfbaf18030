"""Settings of the proxy: typed, and checked before any of them becomes configuration text.

nginx-config-builder escapes nothing, so each text must match a pattern that can't end a directive.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, NoReturn

Version = tuple[int, int, int]

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
_ADDRESS = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,5}})", re.ASCII)
_LISTEN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|\*|[0-9.]+|localhost):(?P<port>[0-9]{1,5})", re.ASCII)
_RESOLVER = re.compile(rf"{_HOST}(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_SERVER_NAME = re.compile(rf"(?:\*\.)?{_HOST}", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
_COOKIE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", re.ASCII)
# Zero seconds would mean "no limit" or "off" to nginx, depending on the directive.
_LEAST = {
    0: ("max_fails",),
    1: (
        *("worker_processes", "worker_connections", "max_body_bytes", "login_rate", "login_burst"),
        *("max_in_flight", "max_per_session", "max_per_address"),
        *("tries", "keepalive", "resolver_valid", "fail_timeout"),
    ),
    0.001: (
        *("worker_shutdown_timeout", "client_timeout", "client_keepalive", "connect_timeout", "read_timeout"),
        *("get_timeout", "tries_timeout", "keepalive_timeout"),
    ),
}
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x1f\x7f\"'\\$;{}]")


class ProxySettingsError(ValueError):
    """A wrong setting. The message is one line: name, value, fix."""


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    """Return a hint for an unknown name: the nearest of the choices, or all of them."""
    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}"


class Balance(StrEnum):
    """How nginx picks the node for a request."""

    ROUND_ROBIN = "round_robin"
    """One after the other: even by count, blind to load. Needs a shared store."""
    LEAST_CONN = "least_conn"
    """The node with the fewest open requests: evens out slow ones. Needs a shared store."""
    RANDOM_TWO = "random_two"
    """The less busy of two drawn at random: for several proxies that do not know of each other's load."""
    IP_HASH = "ip_hash"
    """By the client's network (IPv4: /24): needs no cookie, but all clients behind one address share a node."""
    HASH = "hash"
    """Consistent hash of the session cookie, or of the client's address where there is none: a change of the set of
    nodes moves few sessions (most, with `UpstreamServer.resolve`: a plain hash then). A renewed id, as at login, may
    move its user to another node: this warms caches, but does not replace a shared store."""
    STICKY = "sticky"
    """nginx's own affinity cookie (1.29.6): a browser stays with its node for as long as that lives."""

    @classmethod
    def parse(cls, text: str) -> "Balance":
        """Return the policy of this name. Raises ProxySettingsError with the nearest name."""
        try:
            return cls(text)
        except ValueError:
            raise ProxySettingsError(f"unknown balancing policy {text!r}: {did_you_mean(text, cls)}") from None


class ServerState(StrEnum):
    UP = "up"
    DRAIN = "drain"
    """Out of rotation. Under sticky balancing the clients that are pinned to it stay."""
    DOWN = "down"
    """Out of rotation, and pinned clients are moved at once."""


@dataclass(frozen=True)
class UpstreamServer:
    """A node as the proxy sees it. Raises ProxySettingsError."""

    address: str
    """host:port, "127.0.0.1:8001"; IPv6 in brackets."""
    name: str = ""
    """Up to 32 characters. Under sticky balancing it is the value of the cookie, so that a node keeps its clients when
    it comes back at another address; without a name the value is nginx's MD5 of ip:port."""
    state: ServerState = ServerState.UP
    resolve: bool = False
    """Repeat DNS lookups and use all addresses: nodes come and go without a reload."""

    def __post_init__(self) -> None:
        _match("server address", self.address, _ADDRESS, "host:port, for example 127.0.0.1:8001")
        if self.name:
            _match("server name", self.name, _NODE_NAME, "up to 32 letters, digits, '.', '_' or '-'")


@dataclass(frozen=True)
class Tls:
    """TLS at the proxy, 1.2 and later, with HTTP/2. Plain HTTP to its port is redirected to https."""

    certificate: Path
    """PEM, with the intermediate certificates."""
    key: Path
    hsts_seconds: int = 0
    """How long browsers refuse plain HTTP to this host (Strict-Transport-Security). 0: none; for `localhost` it would
    affect everything that runs there."""

    def __post_init__(self) -> None:
        for name in ("certificate", "key"):
            _check_path(f"tls {name}", getattr(self, name))
        _at_least("hsts_seconds", self.hsts_seconds, 0)


@dataclass(frozen=True, kw_only=True)
class ProxySettings:
    """All settings of the generated configuration. Times are in seconds, sizes in bytes.

    Raises ProxySettingsError for the first wrong value. `proxy.render` refuses settings that need a later nginx.
    """

    servers: tuple[UpstreamServer, ...]
    runtime_dir: Path
    """Absolute. Holds nginx.pid, the five temporary folders and, unless named otherwise, the logs. Must exist."""
    listen: str = "127.0.0.1:8080"
    tls: Tls | None = None
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    """The Host names that are served; any other gets its connection closed (444)."""
    balance: Balance = Balance.ROUND_ROBIN
    session_cookie: str = "session"
    """The cookie that `Balance.HASH` hashes and `max_per_session` counts by, with or without the prefix `__Host-`."""
    sticky_cookie: str = "node"
    resolver: str | None = None
    """DNS server for servers with resolve=True: "127.0.0.11" is Docker's. The system looks a name of it up once, when
    nginx starts. nginx itself knows no search domains, so these servers need their full names."""
    resolver_valid: int = 5
    access_log: str = "access.log"
    """A path, relative to runtime_dir. JSON, one object per line."""
    error_log: str = "error.log"
    """A path, relative to runtime_dir, or "stderr"."""
    user: str | None = None
    """The workers' user when the master is root. None: nginx's default (nobody), which must be able to enter
    runtime_dir."""
    worker_processes: int | Literal["auto"] = "auto"
    worker_connections: int = 4096
    worker_shutdown_timeout: float = 30
    """How long old workers may finish their requests after a reload."""
    max_body_bytes: int = 1024 * 1024
    client_timeout: float = 15
    """For a client to send its header or a part of its body, and to accept a part of the response."""
    client_keepalive: float = 65
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (CIDR) of proxies in front of this one. From there, X-Forwarded-For has the client's
    address and X-Forwarded-Proto its scheme, and clients there can forge both. From elsewhere both are overwritten."""
    expose_internals: bool = False
    """Whether clients get /metrics and /ready of the nodes, and each node's address and status in X-Upstream and
    X-Upstream-Status: for clusters that only their operators can reach."""
    login_rate: int | None = 20
    """POST /login per client address and second; beyond login_burst the response is 429. None: no limit."""
    login_burst: int = 100
    max_in_flight: int | None = 100
    """Requests that the nodes work on at one time; more are answered 503 with Retry-After, without a node. Divided by
    the nodes' requests per second it bounds how long a request waits for others. None: no bound."""
    max_per_session: int | None = 20
    """How many of them may be of one session, by the cookie `session_cookie`. None: no bound. A browser sends 6 at a
    time over HTTP/1.1, whatever number of tabs it has. It holds where `max_in_flight` does."""
    max_per_address: int | None = None
    """How many of them may be of one client address, with whatever cookies. None: no bound, since many clients have one
    address in containers and behind a proxy that is not in `trusted_proxies`. It holds where `max_in_flight` does."""
    generation: int = 0
    """A reload with another number counts the requests in flight from 0. nginx goes on counting those of a worker that
    was killed, also after a reload with the same number, and in the end refuses every request."""
    connect_timeout: float = 1.0
    read_timeout: float = 15.0
    get_timeout: float = 2.0
    """The read timeout of GET and HEAD, where it is shorter: they can be repeated at another node, so a node that
    accepts and stays silent costs readers this long and is then taken out. Must be longer than a node may need."""
    tries: int = 2
    """How many nodes one request may try; requests that are not idempotent are never sent twice."""
    tries_timeout: float = 5.0
    """After this long no other node is tried. Above get_timeout, or a silent node would fail its readers."""
    keepalive: int = 32
    """Idle connections to nodes that each worker keeps."""
    keepalive_timeout: float = 30
    """Must be below the nodes' own, or a POST fails on a connection that is just being closed."""
    max_fails: int = 3
    """A node that fails this often within `fail_timeout` is left out for as long, and then gets one request as a test.
    0: no node is ever left out."""
    fail_timeout: int = 1
    """In whole seconds; nginx may take one more."""
    spares: bool = True
    """Whether nodes that are left out are used while no other is left, in place of nginx's own 502."""
    nginx_version: Version = (1, 31, 3)

    def __post_init__(self) -> None:
        self._check_servers()
        _match("listen", self.listen, _LISTEN, "address:port, for example 127.0.0.1:8080")
        if not self.hosts:
            raise ProxySettingsError("hosts is empty: name at least one Host to serve")
        for host in self.hosts:
            _match("host", host, _SERVER_NAME, "a host name or address without a port")
        for name in ("session_cookie", "sticky_cookie"):
            _match(name, getattr(self, name), _COOKIE_NAME, "letters, digits, '_', '.' or '-'")
        if self.resolver is not None:
            _match("resolver", self.resolver, _RESOLVER, "an address or a name, for example 127.0.0.11")
        for network in self.trusted_proxies:
            _check_network(network)
        if self.user is not None:
            _match("user", self.user, _USER, "a system user's name")
        self._check_paths()
        self._check_numbers()

    def path(self, name: str) -> Path:
        """Return where a file of this proxy lies: under runtime_dir unless the name is absolute."""
        return self.runtime_dir / name

    def _check_servers(self) -> None:
        if not self.servers:
            raise ProxySettingsError("servers is empty: a proxy needs at least one")
        for what, values in (
            ("address", [server.address for server in self.servers]),
            ("name", [server.name for server in self.servers if server.name]),
        ):
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ProxySettingsError(f"two servers have the {what} {twice!r}: give each its own")
        if self.resolver is None:
            for server in self.servers:
                if server.resolve:
                    raise ProxySettingsError(
                        f"server {server.address} needs a resolver: set one, for example 127.0.0.11"
                    )

    def _check_paths(self) -> None:
        if not self.runtime_dir.is_absolute():
            _refuse("runtime_dir", self.runtime_dir, "an absolute path")
        for name in ("runtime_dir", "access_log", "error_log"):
            _check_path(name, getattr(self, name))

    def _check_numbers(self) -> None:
        for least, names in _LEAST.items():
            for name in names:
                value = getattr(self, name)
                if value not in ("auto", None):
                    _at_least(name, value, least)


def _match(what: str, value: str, pattern: re.Pattern[str], wanted: str) -> None:
    found = pattern.fullmatch(value)
    if not found:
        _refuse(what, value, wanted)
    port = found.groupdict().get("port")
    if port is not None and not 1 <= int(port) <= 65535:
        _refuse(what, value, "a port from 1 to 65535")


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text.replace("%", "/"))  # after % any text may follow, the name of an interface
    except ValueError:
        _refuse("trusted_proxies", text, "addresses or networks such as 10.0.0.0/8")


def _check_path(what: str, path: object) -> None:
    if not str(path) or _UNSAFE_IN_PATH.search(str(path)):
        _refuse(what, path, "a path without quotes, backslashes, '$', ';', braces or control characters")


def _at_least(what: str, value: float, least: float) -> None:
    # The negation also refuses NaN. The upper bound keeps numbers within what nginx can parse.
    if not least <= value <= 1e12:
        _refuse(what, value, f"a number from {least:g} to 1e12")


def _refuse(what: str, value: object, wanted: str) -> NoReturn:
    raise ProxySettingsError(f"{what} must be {wanted}, not {str(value)!r}")
