"""Redis URLs, the addresses of their servers, and pools of connections to one of them.

Names are looked up within the budget for connecting. The system's resolver may take 20 s to say that it has no answer,
and a lookup can't be interrupted. So each lookup runs in a thread of its own (under gevent: a greenlet), shared by all
callers that need the name at that time. Where it takes too long, the addresses of the last successful lookup are used.

Other resolvers, measured with a silent DNS server and 0.25 s: gevent's c-ares resolver takes 1.0 s, its shortest
timeout. A gevent.Timeout around it holds the 0.25 s, but outside gevent workers it leaves three file descriptors for
each thread that looked a name up. dnspython takes 0.35 s, and 0.35 s for localhost, since it ignores /etc/hosts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from ...store import Budgets
from ..url_options import FILE, NAME, TEXT, YES_OR_NO, check_options, matching, one_of
from .connection import reset_in_children
from .exchange import BoundedParser

_URL = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/]*)@)?([^/?#]+)(?:/([^?#]*))?(?:\?([^#]*))?\Z")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,\s]+))(?::(\d{1,5}))?\Z")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_BUDGETED = {
    *("socket_timeout", "socket_connect_timeout", "timeout", "max_connections"),
    *("retry_on_timeout", "retry_on_error", "health_check_interval"),
}
_ACCOUNT = {"username": TEXT, "password": TEXT}
_OPTIONS = {
    "db": matching(r"[0-9]{1,9}", "the number of a database"),
    "client_name": NAME,
    "protocol": one_of("2", "3"),
    "socket_keepalive": YES_OR_NO,
}
_TLS_OPTIONS = {
    "ssl_ca_certs": FILE,
    "ssl_ca_path": FILE,
    "ssl_certfile": FILE,
    "ssl_keyfile": FILE,
    "ssl_password": TEXT,
    "ssl_cert_reqs": one_of("required", "optional", "none"),
    "ssl_check_hostname": YES_OR_NO,
}
_SENTINEL_OPTIONS = {"sentinel_username": TEXT, "sentinel_password": TEXT}
Lookup = Callable[[str, int], list[str]]


class Address(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ServerList:
    """A URL that names several servers.

    redis+sentinel://user:password@h1:26379,h2,h3/NAME    the primary that three Sentinels call NAME
    redis+cluster://user:password@h1:6379,h2,h3           some servers of a Redis Cluster

    User and password are the store's. A Sentinel's own follow as `?sentinel_username=…&sentinel_password=…`, the
    number of the database as `db=1`. Other options, such as `ssl_ca_certs`, are those of the URL of one server.
    """

    kind: str
    """ "sentinel" or "cluster"."""
    addresses: tuple[Address, ...]
    name: str
    """The primary's name at the Sentinels."""
    server: tuple[str, str]
    """The URL of a server of the store, before its address and after it."""
    sentinel: tuple[str, str]
    """The URL of a Sentinel, before its address and after it."""

    @classmethod
    def parse(cls, url: str) -> ServerList | None:
        """Parse `url`; return None for the URL of one server. Raises ValueError, without the password in its text."""
        if "+" not in url.partition("://")[0]:
            return None
        match = _URL.match(url)
        if not match:
            raise ValueError(
                "the URL must be redis+sentinel://user:password@h1:26379,h2:26379/NAME or redis+cluster://"
            )
        scheme, kind, user, hosts, path, query = match.groups()
        given = parse_qsl(query or "", keep_blank_values=True)
        own = _SENTINEL_OPTIONS if kind == "sentinel" else {}
        check_options(given, {**_OPTIONS, **(_TLS_OPTIONS if scheme == "rediss" else {}), **own}, _BUDGETED)
        options = dict(given)
        account = [quote(options.pop(f"sentinel_{part}", ""), safe="") for part in ("username", "password")]
        database = options.pop("db", "0")
        if kind == "sentinel" and not path:
            raise ValueError("the URL names no primary: end it with /NAME, its name at the Sentinels")
        if kind == "sentinel" and "/" in path:
            raise ValueError("the primary's name must be without '/'; a database's number follows as ?db=1")
        if kind == "cluster" and (path or "0", database) != ("0", "0"):
            raise ValueError("a cluster has database 0 alone: leave it out of the URL")
        addresses = tuple(_parse_address(each, _PORTS[kind]) for each in hosts.split(","))
        rest = f"?{urlencode(options)}" if options else ""
        server = (f"{scheme}://{user}@" if user else f"{scheme}://", f"/{database}{rest}")
        sentinel = (f"{scheme}://{':'.join(account)}@" if any(account) else f"{scheme}://", f"/0{rest}")
        return cls(kind, addresses, unquote(path or ""), server, sentinel)

    def server_url(self, address: Address) -> str:
        return f"{self.server[0]}{address}{self.server[1]}"

    def sentinel_url(self, address: Address) -> str:
        return f"{self.sentinel[0]}{address}{self.sentinel[1]}"


def to_address(host: Any, port: Any) -> Address:
    """Return the address that a server names. Raises ValueError for nonsense, which would become a part of a URL."""
    name = host.decode("ascii") if isinstance(host, bytes) else str(host)
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,255}", name) or not 0 < int(port) <= 65535:
        raise ValueError("a server names an address that can't be one")
    return Address(name, int(port))


def _parse_address(text: str, port: int) -> Address:
    match = _ADDRESS.match(text.strip())
    if not match or not 0 < int(match[3] or port) <= 65535:
        raise ValueError(f"a server must be host:port, not {text!r}")
    return Address(match[1] or match[2], int(match[3] or port))


def make_pool(url: str, budgets: Budgets) -> redis.ConnectionPool:
    """Return a pool for `url` (redis://, rediss://, unix://) that connects within `budgets`. Raises ValueError."""
    has_host = not url.startswith("unix://")
    _check_url(url)
    pool = redis.ConnectionPool.from_url(
        url,
        max_connections=budgets.max_connections,
        socket_connect_timeout=budgets.connect_timeout,
        socket_timeout=budgets.read_timeout,
        parser_class=partial(BoundedParser, most=budgets.max_reply),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        # Each would be one more round trip, of up to read_timeout, before the first command.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **({"resolver": Resolver()} if has_host else {}),
    )
    if has_host:
        pool.connection_class = NamedTlsConnection if url.startswith("rediss://") else NamedConnection
    return pool


def _check_url(url: str) -> None:
    """Raise ValueError for what redis-py would ignore, or find wrong when it connects."""
    parts = urlsplit(url)
    if parts.fragment:
        raise ValueError("the URL must be without '#'; write it as %23 in a password")
    given = parse_qsl(parts.query, keep_blank_values=True)
    if parts.scheme == "unix":
        if parts.hostname or not parts.path:
            raise ValueError("the URL must name a socket, as unix:///run/redis.sock")
    elif not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
        raise ValueError("the URL must end with the number of a database, as redis://host:6379/0")
    elif parts.path.strip("/"):
        given.append(("db", parts.path[1:]))
    check_options(given, {**_OPTIONS, **_ACCOUNT, **(_TLS_OPTIONS if parts.scheme == "rediss" else {})}, _BUDGETED)


def system_lookup(name: str, port: int) -> list[str]:
    """Return the addresses of `name`, in the order in which to try them. Raises OSError where there are none."""
    try:
        infos = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except ValueError as error:
        raise OSError(f"{name} is not the name of a host: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in infos))


class Resolver:
    """Looks up the host of a pool in the background. One for all connections of the pool."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._last: list[str] = []
        reset_in_children(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pending: Future[list[str]] | None = None

    def addresses(self, name: str, port: int, seconds: float) -> list[str]:
        """Return the addresses of `name`; where the lookup fails or takes too long, those of the last lookup.

        An IP address is returned as it is. Raises OSError where there are no addresses after `seconds`.
        """
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(name))]
        try:
            # If earlier addresses are known, half of the time is left for connecting to them.
            return self._start(name, port).result(seconds / 2 if self._last else seconds)
        except OSError as error:
            if self._last:
                return self._last
            if isinstance(error, TimeoutError):
                raise OSError(f"no address of {name} within {seconds:g} s") from None
            raise

    def _start(self, name: str, port: int) -> Future[list[str]]:
        with self._lock:
            pending = self._pending
            if pending is None:
                pending = self._pending = Future()
                threading.Thread(target=self._run, args=(name, port, pending), name="lookup", daemon=True).start()
            return pending

    def _run(self, name: str, port: int, pending: Future[list[str]]) -> None:
        try:
            self._last = self._lookup(name, port)
            pending.set_result(self._last)
        except OSError as error:
            pending.set_exception(error)
        finally:
            self._pending = None


class NamedConnection(redis.Connection):
    """A connection of redis-py that tries each address of its host. Lookup and connecting have a timeout each."""

    def __init__(self, *, resolver: Resolver, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._resolver = resolver

    def _connect(self) -> socket.socket:
        name, timeout = self.host, float(self.socket_connect_timeout or 60)
        addresses = self._resolver.addresses(name, self.port, timeout)
        until = time.monotonic() + timeout
        failure = OSError(f"{name} has no address")
        try:
            for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
                self.host = address
                # A silent address must leave the next ones their share of the time.
                self.socket_connect_timeout = max((until - time.monotonic()) / left, timeout / 20)
                try:
                    return super()._connect()  # type: ignore[no-any-return,no-untyped-call]
                except OSError as error:
                    failure = error
        finally:
            self.host = name  # TLS compares the certificate with the name
            self.socket_connect_timeout = timeout
        raise failure


class NamedTlsConnection(redis.SSLConnection, NamedConnection):
    """A `NamedConnection` with TLS, which redis-py's `SSLConnection` adds."""
