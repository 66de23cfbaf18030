"""Redis URLs, the addresses of their servers, and pools of connections to one of them."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from ...store import Budgets
from ..lookup import Resolver
from .exchange import BoundedParser

_URL = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/]*)@)?([^/?#]+)(?:/([^?#]*))?(?:\?([^#]*))?\Z")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,\s]+))(?::(\d{1,5}))?\Z")
_PORTS = {"sentinel": 26379, "cluster": 6379}
# The options that redis-py takes as text, beside those that it parses. Its others are objects.
_TEXTS = {"username", "password", "client_name", "lib_name", "lib_version", "encoding", "encoding_errors"}


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
    number of the database as `db=1`. Other parameters, such as `ssl_ca_certs`, are redis-py's; others are refused.
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
        options = dict(parse_qsl(query or ""))
        account = [quote(options.pop(f"sentinel_{part}", ""), safe="") for part in ("username", "password")]
        database = options.pop("db", "0")
        if kind == "sentinel" and not path:
            raise ValueError("the URL names no primary: end it with /NAME, its name at the Sentinels")
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
    _check_options(url)
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
    try:
        pool.connection_class(**pool.connection_kwargs)  # connects to nothing; a request would fail with these errors
    except (TypeError, ValueError, redis.RedisError) as error:
        raise ValueError(f"the URL has a wrong option: {error}") from None
    return pool


def _check_options(url: str) -> None:
    """Raise ValueError for what redis-py would ignore, or pass on as text where it needs an object."""
    parts = urlsplit(url)
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d+", parts.path):
        raise ValueError("the URL must end with the number of a database, as redis://host:6379/0")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in {*URL_QUERY_ARGUMENT_PARSERS, *_TEXTS} and not name.startswith("ssl_"):
            raise ValueError(f"the URL has an unknown option: {name!r}; leave it out")


class NamedConnection(redis.Connection):
    """A connection of redis-py that tries each address of its host. Lookup and connecting have a timeout each."""

    def __init__(self, *, resolver: Resolver, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._resolver = resolver

    def _connect(self) -> socket.socket:
        name, timeout = self.host, float(self.socket_connect_timeout or 60)
        failure = OSError(f"{name} has no address")
        try:
            for address, seconds in self._resolver.in_turn(name, self.port, timeout):
                self.host, self.socket_connect_timeout = address, seconds
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
