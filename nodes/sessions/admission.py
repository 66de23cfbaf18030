"""Admission of anonymous sessions: a number for each address, and none that crowd users out of the store.

Anyone can start anonymous sessions, and a program thousands each second. They are limited in two ways. `rate` bounds
the new ones of each address. `share` is the part of the store's memory beyond which none is started; halfway between
this and a full store, those that exist can't be changed either. The rest is left for logins and for sessions with an
owner, which are never refused here.

Only the application can do this: a proxy does not know which requests start a session, nor which cookies are genuine.
Addresses are counted in each process by itself, since a count in the store would be a write for each refused request.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from .capabilities import MeasuresSpace, find_capability
from .store import Store, StoreNearlyFull, StoreUnavailable, TooManyNewSessions

BURST_SECONDS = 5
"""An address that was idle may start as many sessions at once as it may in this time."""
MEASURE_SECONDS = 0.5
"""How long a measurement of the store's memory counts."""
_MAX_ADDRESSES = 10_000
"""Addresses that are remembered: those that started a session last."""


class Admission:
    """At most `rate` new anonymous sessions a second for each address (None: any number), and at most up to `share`
    (above 0, 1: no bound) of the store's memory. `clock` returns seconds."""

    def __init__(
        self, store: Store, rate: float | None, share: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._space = find_capability(store, MeasuresSpace) if share < 1 else None
        self._rate = rate
        self._share = share
        self._clock = clock
        self._busy_until: OrderedDict[str, float] = OrderedDict()
        """By address when all that it has started is worked off at `rate`; the latest used is the last."""
        self._used = 0.0
        self._measure_at = float("-inf")

    def check_new(self, address: str) -> None:
        """Raise `TooManyNewSessions` or `StoreNearlyFull` where a client at `address` can't start a session."""
        if self._rate is not None and address:
            self._count(client_network(address), self._rate)
        if self._measure() > self._share:
            raise StoreNearlyFull("the session store is nearly full, and the rest is for users who log in")

    def is_crowded(self) -> bool:
        """Return whether the store is so full that anonymous sessions can't be changed."""
        return self._measure() > (1 + self._share) / 2

    def _count(self, network: str, rate: float) -> None:
        now = self._clock()
        busy_until = max(now, self._busy_until.pop(network, now)) + 1 / rate
        is_above = busy_until > now + max(BURST_SECONDS, 1 / rate)
        self._busy_until[network] = busy_until - 1 / rate if is_above else busy_until
        if len(self._busy_until) > _MAX_ADDRESSES:
            self._busy_until.popitem(last=False)
        if is_above:
            raise TooManyNewSessions(f"more than {rate:g} new sessions a second from this address")

    def _measure(self) -> float:
        """Return the used share of the store's memory, 0 where it is unknown. At most one round trip in
        `MEASURE_SECONDS`, in which other requests go by the measurement before."""
        if self._space is not None and (now := self._clock()) >= self._measure_at:
            self._measure_at = now + MEASURE_SECONDS
            with suppress(StoreUnavailable):  # the request itself finds out
                self._used = self._space.used_share() or 0.0
        return self._used


def client_network(address: str) -> str:
    """Return the address that stands for a client: for IPv6 its network of 64 bits, because one client has all of it.

    An IPv4 address that is written as one of IPv6 is itself.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False))
