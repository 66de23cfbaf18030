"""Connecting by name within the budget: the system's resolver may take 20 s to say that it has no answer.

A lookup can't be given up, only waited for no longer. So each runs in a thread of its own (under gevent: a greenlet),
shared by all who want that name at the time, and who is in a hurry takes what the name meant last.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

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
