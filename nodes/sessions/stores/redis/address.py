"""Redis URLs, the addresses of their servers, and pools of connections to one of them."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from ...store import Budgets
from ..name_lookup import Resolver
from ..receive import start_tls
from ..url_options import FILE, NAME, TEXT, YES_OR_NO, check_options, one_of, pattern
from .exchange import BoundedParser

_URL = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/]*)@)?([^/?#]+)(?:/([^?#]*))?(?:\?([^#]*))?\Z")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,\s]+))(?::(\d{1,5}))?\Z")
_SLASH = "the URL has '@' after its server; write '/' in a password as %2F"
_PORTS = {"sentinel": 26379, "cluster": 6379}
_BUDGETED = {
    *("socket_timeout", "socket_connect_timeout", "timeout", "max_connections"),
    *("retry_on_timeout", "retry_on_error", "health_check_interval"),
}
_ACCOUNT = {"username": TEXT, "password": TEXT}
_OPTIONS = {
    "db": pattern(r"[0-9]{1,9}", "the number of a database"),
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
        if "@" in (path or ""):
            raise ValueError(_SLASH)
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


def _is_address(text: str) -> bool:
    match = _ADDRESS.match(text)
    return match is not None and 0 < int(match[3] or 1) <= 65535


def _parse_address(text: str, port: int) -> Address:
    match = _ADDRESS.match(text.strip())
    if not match or not _is_address(text.strip()):
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
    elif "@" in parts.path:
        raise ValueError(_SLASH)
    elif not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
        raise ValueError("the URL must end with the number of a database, as redis://host:6379/0")
    elif parts.path.strip("/"):
        given.append(("db", parts.path[1:]))
    check_options(given, {**_OPTIONS, **_ACCOUNT, **(_TLS_OPTIONS if parts.scheme == "rediss" else {})}, _BUDGETED)
    server = parts.netloc.rpartition("@")[2].removesuffix(":")
    if server and not _is_address(server):  # not in the error: of a URL without '@' it may be a password
        raise ValueError("the URL must name its server as host or host:port, with a port from 1 to 65535")


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
    """A `NamedConnection` with TLS by redis-py's options, and a handshake within the timeout of an exchange."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = self.check_hostname, self.cert_reqs
        if self.certfile or self.keyfile:
            context.load_cert_chain(self.certfile, self.keyfile, self.certificate_password)
        if self.ca_certs or self.ca_path:
            context.load_verify_locations(self.ca_certs, self.ca_path)
        return start_tls(context, sock, self.host, float(self.socket_timeout or 60))
