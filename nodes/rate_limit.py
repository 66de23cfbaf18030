"""Limits on wrong passwords: counted for all nodes together, without locking users out of their accounts.

Failures are counted for each pair of user and address, and for each address over all users. A stranger at another
address can't lock a user out, because the failures there don't count at the user's address. A stranger at the same
address can't either, once the user has logged in with a browser: the browser then has a device cookie, and only its own
failures count (OWASP, Authentication Cheat Sheet: device cookies).

Counters are records of a store of their own (`nodes.stores`), on the sessions' servers: all nodes share them, and they
expire by themselves. Each guess is a field of its record. The bound on a record's size bounds the number of guesses,
atomically and in one round trip, before the password is checked. So concurrent guesses can't exceed the limit.

Until the password is checked, a guess is open. One whose worker was killed, or whose result the store could not take,
stays open; it gives way after `OPEN_SECONDS` where the limit is reached. Nobody was told its result, so it helps no
one to guess, and the user of a right password does not wait for the window's end.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flask import Request, Response
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.exceptions import TooManyRequests

from .sessions import Changes, Lifetime, Outcome, Record, Store, StoreUnavailable
from .sessions.admission import client_network

_NAME_CHARACTERS = 8
_WRONG = b"00000000"
"""The value of a guess that was wrong; that of an open one is as long: when it began, in seconds, hexadecimal."""
_BYTES = _NAME_CHARACTERS + len(_WRONG)
OPEN_SECONDS = 30
"""Time after which an open guess no longer counts, by the clocks of the nodes: longer than a check of a password."""
_WAIT = "Too many wrong passwords. Wait before you try again."
PER_ADDRESS = 10
"""Ratio of an address's guesses to those of one user there, because many people may share an address."""
_YEAR = 365 * 86400
_ATTEMPTS = 100
"""Maximum number of attempts to count, because simultaneous logins make and delete the counter in between."""


class RateLimiter:
    """At most `attempts` failures of one client for one user within `window` seconds; no limit where it is 0.

    `secrets_` sign the device cookies; the first signs, all verify. `secure` allows cookies with Secure over TLS.
    """

    def __init__(self, store: Store, secrets_: Sequence[str], attempts: int, window: float, secure: bool) -> None:
        self.store = store
        self._serializer = URLSafeSerializer(list(reversed(secrets_)), salt="nodes.device")
        self._attempts = attempts
        self._lifetime = Lifetime(idle=window, absolute=window)
        self._secure = secure

    def count(self, request: Request, user: str) -> Guess:
        """Count a guess at this user's password, whether the user exists or not.

        Raises 429 with Retry-After where there were too many failures, and StoreUnavailable; nothing is counted then,
        as far as the store can be reached.
        """
        limits = self._limits(request, user) if self._attempts else {}
        guess = Guess(self.store, self._lifetime, tuple(limits), secrets.token_hex(_NAME_CHARACTERS // 2))
        counted: list[str] = []
        try:
            for key, limit in limits.items():
                guess.count(key, limit)
                counted.append(key)
        except (TooManyRequests, StoreUnavailable):
            for key in counted:
                with suppress(StoreUnavailable):
                    guess.forget(key)
            raise
        return guess

    def _limits(self, request: Request, user: str) -> dict[str, int]:
        """Return the limit of each counter that a guess counts against, by key; the client's own counter first."""
        device = self._device(request, user)
        if device is not None:  # not by its address: strangers there would lock the user out
            return {_key("device", user, device): self._attempts}
        address = client_network(request.remote_addr or "")
        return {_key("user", user, address): self._attempts, _key("address", address): PER_ADDRESS * self._attempts}

    def _device(self, request: Request, user: str) -> str | None:
        """Return the id of a browser that has logged in as this user before."""
        for name in ("__Host-device", "device"):
            try:
                device = self._serializer.loads(request.cookies.get(name, ""))
            except BadSignature:
                continue
            if isinstance(device, list) and len(device) == 2 and device[0] == user:
                return str(device[1])
        return None

    def remember_device(self, request: Request, response: Response, user: str) -> None:
        """Give a browser that logged in its device cookie, unless it has one."""
        if not self._attempts or self._device(request, user) is not None:
            return
        is_secure = request.is_secure and self._secure
        response.set_cookie(
            "__Host-device" if is_secure else "device",
            str(self._serializer.dumps([user, secrets.token_urlsafe(16)])),
            max_age=_YEAR,
            secure=is_secure,
            httponly=True,
            samesite="Lax",
        )


@dataclass(frozen=True)
class Guess:
    """A guess that is open until `failure` or `success` is called. `keys` are its counters, the client's own first."""

    store: Store
    lifetime: Lifetime
    keys: tuple[str, ...]
    name: str

    def count(self, key: str, limit: int) -> None:
        """Count this guess; raise 429 where there are `limit` guesses already."""
        now = int(time.time())
        guess = {self.name: b"%08x" % now}
        void: frozenset[str] = frozenset()
        for _ in range(_ATTEMPTS):
            outcome = self.store.update(key, Changes(guess, void, max_bytes=limit * _BYTES), self.lifetime)
            if outcome is Outcome.APPLIED:
                return
            if outcome is Outcome.TOO_LARGE:
                record = self.store.load(key)
                if not isinstance(record, Record):
                    continue
                values = record.fields.items()
                # Version 0.2 wrote each guess as "0".
                open_since = {name: int(value, 16) for name, value in values if value not in {_WRONG, b"0"}}
                void = frozenset(name for name, since in open_since.items() if abs(now - since) >= OPEN_SECONDS)
                if not void:
                    waits = [round(record.ttl), *(since + OPEN_SECONDS - now for since in open_since.values())]
                    raise TooManyRequests(_WAIT, retry_after=max(1, min(waits)))
            elif self.store.create(key, guess, None, self.lifetime) is not None:
                return
            # A concurrent guess was the first, and its success may delete the counter at once.
        raise StoreUnavailable("a counter of wrong passwords is made and deleted again and again")

    def failure(self) -> None:
        """Count it for the window. Raises StoreUnavailable; the client must not learn then that it was wrong."""
        for key in self.keys:
            self.store.update(key, Changes({self.name: _WRONG}), self.lifetime)

    def success(self) -> None:
        """Forget the client's failures for this user, and this guess at its address. Raises StoreUnavailable."""
        own, others = self.keys[:1], self.keys[1:]
        try:
            for key in own:
                self.store.delete(key)
        finally:  # it may be on another server, and all users there share it
            for key in others:
                self.forget(key)

    def forget(self, key: str) -> None:
        """Take this guess out of a counter."""
        self.store.update(key, Changes(delete=frozenset({self.name})), self.lifetime)


def _key(*parts: str) -> str:
    """Return the key of the counter that these texts name: 64 hexadecimal digits, as all stores take."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
