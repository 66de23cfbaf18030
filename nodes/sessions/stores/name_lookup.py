"""Addresses of a server by its name, within a budget.

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
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from .background import start_thread
from .forks import reset_in_children

Lookup = Callable[[str, int], list[str]]


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

    def in_turn(self, name: str, port: int, seconds: float) -> Iterator[tuple[str, float]]:
        """Yield the addresses of `name`, each with its share of `seconds`: a silent one leaves the next ones theirs.

        The lookup may take `seconds` as well. Raises OSError as `addresses` does.
        """
        addresses = self.addresses(name, port, seconds)
        until = time.monotonic() + seconds
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            yield address, max((until - time.monotonic()) / left, seconds / 20)

    def _start(self, name: str, port: int) -> Future[list[str]]:
        with self._lock:
            pending = self._pending
            if pending is None:
                pending = self._pending = Future()
                try:
                    start_thread("lookup", self._run, name, port, pending)
                except OSError:
                    self._pending = None
                    raise
            return pending

    def _run(self, name: str, port: int, pending: Future[list[str]]) -> None:
        try:
            self._last = self._lookup(name, port)
            pending.set_result(self._last)
        except OSError as error:
            pending.set_exception(error)
        finally:
            self._pending = None
