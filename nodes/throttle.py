"""How often a password may be guessed: counted for all nodes together, and never to the cost of the user.

What is counted is failures, for each user *and* address, and for each address whoever is tried. A stranger elsewhere
can't lock the user out, since only their own guesses count against them; nor can one at the same address, once the user
has logged in with a browser: it then carries a device cookie and is counted by that, and by nothing else (OWASP,
Authentication Cheat Sheet: device cookies).

The counters are records in the session store itself (`counter_key`), so they need no other server, are the same for all
nodes, and end by themselves. Each guess is a field of its record; that the store bounds a record's size bounds the
number of guesses, in one round trip and atomically, before the password is looked at: guesses at the same time don't
slip through.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass

from flask import Flask, Request, Response, current_app
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.exceptions import TooManyRequests

from .sessions import Changes, Lifetime, Outcome, Secure, Sessions, Store, counter_key
from .sessions.store import innermost

_EXTENSION = "throttle"
_NAME_CHARACTERS = 8
_GUESS = b"0"
"""What a field holds: also valid JSON, for the store that Express shares."""
_BYTES = _NAME_CHARACTERS + len(_GUESS)
PER_ADDRESS = 10
"""So many times more guesses are left to an address than to one user at it: many people share one."""
_YEAR = 365 * 86400


@dataclass(frozen=True)
class Throttle:
    """At most `attempts` failures of one client for one user within `window` seconds."""

    store: Store
    serializer: URLSafeSerializer
    attempts: int
    window: float

    def begin(self, request: Request, user: str) -> Guess:
        """Counts a guess. Raises 429 with Retry-After where there were too many, whether the user exists or not."""
        counted = self._limits(request, user)
        name = secrets.token_hex(_NAME_CHARACTERS // 2)
        for key, most in counted.items():
            if not self._count(key, name, most):
                wait = self._seconds_left(key)
                raise TooManyRequests("Too many wrong passwords. Wait before you try again.", retry_after=wait)
        return Guess(self, tuple(counted), name)

    def _limits(self, request: Request, user: str) -> dict[str, int]:
        """What this guess counts against: the key of each counter and how many it takes, the client's own first."""
        device = self.device(request, user)
        if device is not None:  # not by its address: strangers there would lock the user out
            return {_key("device", user, device): self.attempts}
        address = _network(request.remote_addr or "")
        return {_key("user", user, address): self.attempts, _key("address", address): PER_ADDRESS * self.attempts}

    def _count(self, key: str, name: str, most: int) -> bool:
        lifetime = Lifetime(idle=self.window, absolute=self.window)
        changes = Changes({name: _GUESS}, max_bytes=most * _BYTES)
        outcome = self.store.update(key, changes, lifetime)
        if outcome is Outcome.ABSENT:
            if self.store.create(key, {name: _GUESS}, None, lifetime) is not None:
                return True
            outcome = self.store.update(key, changes, lifetime)  # somebody else's guess was the first
        return outcome is Outcome.APPLIED

    def _seconds_left(self, key: str) -> int:
        record = self.store.load(key)
        return max(1, round(record.ttl)) if record is not None else 1

    def device(self, request: Request, user: str) -> str | None:
        """The browser, if it has logged in as this user before."""
        for name in ("__Host-device", "device"):
            try:
                known = self.serializer.loads(request.cookies.get(name, ""))
            except BadSignature:
                continue
            if isinstance(known, list) and len(known) == 2 and known[0] == user:
                return str(known[1])
        return None


@dataclass(frozen=True)
class Guess:
    """One that was counted."""

    throttle: Throttle
    keys: tuple[str, ...]
    name: str

    def was_right(self) -> None:
        """Forgets the client's failures for this user, and this guess at its address."""
        of_client, *others = self.keys
        self.throttle.store.delete(of_client)
        lifetime = Lifetime(idle=self.throttle.window, absolute=self.throttle.window)
        for key in others:
            self.throttle.store.update(key, Changes(delete=frozenset({self.name})), lifetime)


def protect(app: Flask, sessions: Sessions, attempts: int, window: float) -> None:
    """Gives `app` its throttle; none with 0 `attempts`."""
    keys = list(reversed(sessions.options.secrets))
    serializer = URLSafeSerializer(keys, salt="nodes.device")
    # Below encryption: there is nothing to hide, and sizes have to be as they are.
    throttle = Throttle(innermost(sessions.store), serializer, attempts, window)
    app.extensions[_EXTENSION] = throttle if attempts else None


def count_guess(request: Request, user: str) -> Guess | None:
    """Counts a guess at this user's password; None where nothing is counted. Raises 429, or `StoreUnavailable`."""
    throttle: Throttle | None = current_app.extensions[_EXTENSION]
    return throttle.begin(request, user) if throttle is not None else None


def remember_device(request: Request, response: Response, user: str) -> None:
    """Gives a browser that logged in the cookie that it is known by, unless it has one."""
    throttle: Throttle | None = current_app.extensions[_EXTENSION]
    if throttle is None or throttle.device(request, user) is not None:
        return
    sessions: Sessions = current_app.extensions["sessions"]
    is_secure = request.is_secure and sessions.options.secure is not Secure.OFF
    signed = throttle.serializer.dumps([user, secrets.token_urlsafe(16)])
    response.set_cookie(
        "__Host-device" if is_secure else "device",
        signed if isinstance(signed, str) else signed.decode(),
        max_age=_YEAR,
        secure=is_secure,
        httponly=True,
        samesite="Lax",
    )


def _key(*parts: str) -> str:
    return counter_key("login throttle", *parts)


def _network(address: str) -> str:
    """The address; of IPv6 the network of 64 bits, of which one client has all addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else address
