"""The sessions of a user: list them, end one, end the others, end all. For stores that have the power `ListsByUser`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from . import signals
from .codec import DecodeError
from .encryption import is_sealed
from .fields import CLIENT_KEY, COOKIE_KEY, Client, Life, typed
from .options import SessionOptions
from .persistence import Notify
from .store import ListsByUser, Record, Store, UnknownKey

HANDLE_DIGITS = 16
ROUNDS = 10
T = TypeVar("T")


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

    def __init__(self, store: Store, by_user: ListsByUser, options: SessionOptions, notify: Notify) -> None:
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
        return self._told([key for key in keys if self._store.delete(key) is not None]) > 0

    def end_all(self, owner: str, keep: str | None = None) -> int:
        """Ends the sessions of `owner`, all but the one whose key is `keep`; returns how many ended."""
        return self._told(end_listed(self._store, lambda: (k for k in self._by_user.keys_of(owner) if k != keep)))

    def _told(self, ended: list[str]) -> int:
        for key in ended:
            self._notify(signals.session_ended, key)
        return len(ended)

    def _described(self, key: str, record: Record, now: float) -> UserSession:
        client = self._field(record, CLIENT_KEY, Client)
        idle = self._field(record, COOKIE_KEY, Life).lifetime(self._options, record.created).idle
        last_seen = None if record.final else now - (idle - record.ttl)
        return UserSession(key[:HANDLE_DIGITS], key, record.created, last_seen, client.address, client.browser)

    def _field(self, record: Record, name: str, kind: type[T]) -> T:
        """What is no `kind` counts as one that says nothing: whoever uses the session finds out."""
        if (data := record.fields.get(name)) is None:
            return kind()
        try:
            return typed(self._store.codec.decode(data), kind)
        except DecodeError as error:
            if is_sealed(data):
                raise UnknownKey(f"a session of {record.owner} is encrypted, and this node has no key") from error
            return kind()


def end_listed(store: Store, listed: Callable[[], Iterable[str]]) -> list[str]:
    """Ends what `listed` lists; returns what it ended.

    A session that just moves to a new id is listed under the new one before the old one is gone. So it lists again
    until nothing is left; not for ever, where somebody goes on logging in.
    """
    ended: list[str] = []
    for _ in range(ROUNDS):
        if not (keys := list(listed())):
            break
        ended += [key for key in keys if store.delete(key) is not None]
    return ended
