"""A URL that names several servers: redis+sentinel:// and redis+cluster://, with rediss+ for TLS.

----

Connecting by name within the budget: the system's resolver may take 20 s to say that it has no answer.

A lookup can't be given up, only waited for no longer. So each runs in a thread of its own (under gevent: a greenlet),
shared by all who want that name at the time, and who is in a hurry takes what the name meant last.


----

From a URL to a pool of redis-py's that keeps to the budgets."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from ...store import Budgets

_URL = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/]*)@)?([^/?#]+)(?:/([^?#]*))?(?:\?([^#]*))?\Z")
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,\s]+))(?::(\d{1,5}))?\Z")
_PORTS = {"sentinel": 26379, "cluster": 6379}


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Servers:
    """What such a URL says.

    redis+sentinel://user:password@h1:26379,h2,h3/NAME    the primary that three Sentinels call NAME
    redis+cluster://user:password@h1:6379,h2,h3           a cluster, some of whose servers these are

    User and password are the store's. A Sentinel's own follow as `?sentinel_username=…&sentinel_password=…`, the
    number of the database as `db=1`; whatever else follows, such as `ssl_ca_certs`, is redis-py's.
    """

    by: str
    """ "sentinel" or "cluster"."""
    scheme: str
    """ "redis" or "rediss", of the store's servers and the Sentinels alike."""
    user: str
    """With the password, as it stands in the URL: "user:password"."""
    places: tuple[Place, ...]
    name: str
    """What the Sentinels call the primary."""
    database: str
    options: tuple[tuple[str, str], ...]
    sentinel_user: str = ""

    @classmethod
    def parse(cls, url: str) -> Servers | None:
        """None for a URL of one server. ValueError, which repeats no password, for what can't be meant."""
        if "+" not in url.partition("://")[0]:
            return None
        found = _URL.match(url)
        if not found:
            raise ValueError(
                "the URL is none: redis+sentinel://user:password@h1:26379,h2:26379/NAME or redis+cluster://"
            )
        scheme, by, user, hosts, path, query = found.groups()
        options = dict(parse_qsl(query or ""))
        who = tuple(quote(options.pop(f"sentinel_{part}", ""), safe="") for part in ("username", "password"))
        database = options.pop("db", "0")
        if by == "sentinel" and not path:
            raise ValueError("the URL names no primary: end it with /NAME, what the Sentinels call it")
        if by == "cluster" and (path or "0", database) != ("0", "0"):
            raise ValueError("a cluster has database 0 alone: leave it out of the URL")
        places = tuple(_place(each, _PORTS[by]) for each in hosts.split(","))
        sentinel_user = ":".join(who) if any(who) else ""
        rest = tuple(options.items())
        return cls(by, scheme, user or "", places, unquote(path or ""), database, rest, sentinel_user)

    def url_of(self, place: Place) -> str:
        """The URL of one of the store's servers."""
        return self._url(self.user, place, self.database)

    def url_of_sentinel(self, place: Place) -> str:
        return self._url(self.sentinel_user, place, "0")

    def _url(self, user: str, place: Place, database: str) -> str:
        who = f"{user}@" if user else ""
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"{self.scheme}://{who}{place}/{database}{query}"


def _place(text: str, port: int) -> Place:
    found = _PLACE.match(text.strip())
    if not found or not 0 < int(found[3] or port) <= 65535:
        raise ValueError(f"{text!r} is no host:port")
    return Place(found[1] or found[2], int(found[3] or port))


_UNBOUNDED = 60.0
"""Seconds, where no timeout was set."""
Lookup = Callable[[str, int], list[str]]


def system_lookup(name: str, port: int) -> list[str]:
    """The addresses of `name`, in the order in which to try them; OSError where there are none."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _Pending:
    """A lookup under way. `addresses` or `error` once it is `done`."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: list[str] = []
        self.error: OSError | None = None


class Resolver:
    """Names to addresses, `lookup` in the background. One for all connections of a store."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, str, int], _Pending] = {}
        self._last: dict[tuple[str, int], list[str]] = {}

    def addresses(self, name: str, port: int, seconds: float) -> list[str]:
        """What `name` means now, or where that is not known within `seconds`, what it meant last.

        An address stands for itself. Raises OSError, the lookup's own where it
        has one, where neither is known.
        """
        try:
            return [str(ipaddress.ip_address(name))]
        except ValueError:
            pass
        last = self._last.get((name, port))
        pending = self._start(name, port)
        # Half of it, where there is something to try in the other half.
        if not pending.done.wait(seconds / 2 if last else seconds):
            if last is None:
                raise OSError(f"nobody told the address of {name} within {seconds:g} s")
            return last
        if pending.error is not None:
            if last is None:
                raise pending.error
            return last
        return pending.addresses

    def _start(self, name: str, port: int) -> _Pending:
        key = (os.getpid(), name, port)  # a lookup of the parent's does not end in its child
        with self._lock:
            if key not in self._pending:
                self._pending[key] = _Pending()
                threading.Thread(target=self._run, args=(key,), name=f"lookup-{name}", daemon=True).start()
            return self._pending[key]

    def _run(self, key: tuple[int, str, int]) -> None:
        _, name, port = key
        pending = self._pending[key]
        try:
            pending.addresses = self._lookup(name, port)
            self._last[name, port] = pending.addresses
        except (OSError, UnicodeError) as error:
            pending.error = error if isinstance(error, OSError) else OSError(f"{name} is no name of a host: {error}")
        finally:
            with self._lock:
                del self._pending[key]
            pending.done.set()


class NamedConnection(redis.Connection):
    """redis-py's connection, to each address of its host in turn: looked up and connected within its timeout each."""

    def __init__(self, *, resolver: Resolver, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._resolver = resolver

    def _connect(self) -> socket.socket:
        name, timeout = self.host, float(self.socket_connect_timeout or _UNBOUNDED)
        addresses = self._resolver.addresses(name, self.port, timeout)
        until = time.monotonic() + timeout
        failure = OSError(f"{name} has no address")
        try:
            for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
                self.host = address
                # One that is silent leaves the next ones their share.
                self.socket_connect_timeout = max((until - time.monotonic()) / left, timeout / 20)
                try:
                    return super()._connect()  # type: ignore[no-any-return,no-untyped-call]
                except OSError as error:
                    failure = error
        finally:
            self.host = name  # TLS holds the certificate against the name
            self.socket_connect_timeout = timeout
        raise failure


class NamedTlsConnection(redis.SSLConnection, NamedConnection):
    """The same with TLS, which redis-py lays over whatever the other class connects."""


def pool_of(url: str, budgets: Budgets, ca_file: Path | None) -> redis.ConnectionPool:
    """The pool for `url` (redis://, rediss://, unix://), which connects within `budgets`. ValueError where it can't."""
    options: dict[str, Any] = {}
    tls = url.startswith("rediss://")
    if ca_file is not None:
        if not tls:
            raise ValueError("a CA file is for rediss:// alone: the URL asks for a connection without TLS")
        options["ssl_ca_certs"] = str(ca_file)
    if not url.startswith("unix://"):
        options["resolver"] = Resolver()
    pool = redis.ConnectionPool.from_url(
        url,
        max_connections=budgets.max_connections,
        socket_connect_timeout=budgets.connect_timeout,
        socket_timeout=budgets.read_timeout,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        # Each would be a round trip more, of up to read_timeout, before the first command.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    if not url.startswith("unix://"):
        pool.connection_class = NamedTlsConnection if tls else NamedConnection
    return pool
