"""The sessions of a user: list them, end one, end the others, end all. For stores that have the power `ByUser`."""

from __future__ import annotations

from dataclasses import dataclass

from . import events
from .codec import DecodeError
from .options import SessionOptions
from .powers import ByUser
from .store import Record, Store
from .stored import CLIENT_KEY, COOKIE_KEY, Notify, lifetime_of

HANDLE_DIGITS = 16


@dataclass(frozen=True, slots=True)
class UserSession:
    """One session of a user, as they may see it. Times are in seconds since the epoch, by the store's clock."""

    handle: str
    """What it is called where a user can see it: the beginning of the store's key. It logs nobody in."""
    key: str
    created: float
    """When the user logged in."""
    last_seen: float | None
    """When the session was last used, to a tenth of its idle timeout; None: within its last idle timeout, during which
    the absolute one decides."""
    address: str | None
    """Where the login came from; None unless `SessionOptions.remember_client`."""
    browser: str | None
    """The User-Agent of the login; None unless `SessionOptions.remember_client`."""


class UserSessions:
    """Over a store and its power to find the sessions of a user. Every method can raise `StoreUnavailable`."""

    def __init__(self, store: Store, by_user: ByUser, options: SessionOptions, notify: Notify) -> None:
        self._store = store
        self._by_user = by_user
        self._options = options
        self._notify = notify

    def of(self, owner: str) -> list[UserSession]:
        """The live sessions of `owner`, the newest login first. One round trip for each, and those of `keys_of`."""
        now = self._store.ping()
        found = [(key, self._store.load(key)) for key in reversed(self._by_user.keys_of(owner))]
        return [self._described(key, record, now) for key, record in found if record is not None]

    def end(self, owner: str, handle: str) -> bool:
        """Ends the session of `owner` that is called `handle`; False where there is none."""
        keys = [key for key in self._by_user.keys_of(owner) if key[:HANDLE_DIGITS] == handle]
        return self._end(keys) > 0

    def end_all(self, owner: str, keep: str | None = None) -> int:
        """Ends the sessions of `owner`, all but the one whose key is `keep`; returns how many ended."""
        return self._end([key for key in self._by_user.keys_of(owner) if key != keep])

    def _end(self, keys: list[str]) -> int:
        ended = [key for key in keys if self._store.delete(key) is not None]
        for key in ended:
            self._notify(events.session_ended, key)
        return len(ended)

    def _described(self, key: str, record: Record, now: float) -> UserSession:
        client = self._field(record, CLIENT_KEY)
        idle = lifetime_of(self._field(record, COOKIE_KEY), self._options, record.created).idle
        last_seen = None if record.final else now - (idle - record.ttl)
        return UserSession(
            key[:HANDLE_DIGITS], key, record.created, last_seen, client.get("address"), client.get("browser")
        )

    def _field(self, record: Record, name: str) -> dict[str, str]:
        try:
            value = self._store.codec.decode(record.fields[name]) if name in record.fields else {}
        except DecodeError:
            value = {}
        return value if isinstance(value, dict) else {}
