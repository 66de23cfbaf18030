"""The sessions of a user: list them, end one, end the others, end all. For stores with the capability `ListsByUser`."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterable as Keys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from . import signals
from .capabilities import ENDED_AT_ONCE, EndsMany, ListsByUser, PagesByUser, find_capability
from .checks import to_owner
from .codec import DecodeError
from .fields import CLIENT_KEY, COOKIE_KEY, Client, SessionLifetime, convert
from .options import SessionOptions
from .signals import Notify
from .store import ELSEWHERE, NotAllEnded, Outcome, Record, SessionMark, Store
from .stores.background import let_others_work

if TYPE_CHECKING:
    from .migration import Migration

HANDLE_DIGITS = 16
ROUNDS = 10
PAGE = 50
"""Sessions on one page of a list."""
T = TypeVar("T")
OnEnded = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class UserSession:
    """One session of a user, as shown to that user. Times are in seconds since the epoch, by the store's clock."""

    handle: str
    """Its public name: the beginning of the store's key. It cannot be used to log in."""
    key: str
    created: float
    """When the user logged in."""
    last_seen: float | None
    """When the session was last used, to a tenth of its idle timeout. None in its last idle timeout, when only the
    absolute timeout counts."""
    address: str | None
    """The client's address at the login; None unless `SessionOptions.remember_client`."""
    browser: str | None
    """The User-Agent at the login; None unless `SessionOptions.remember_client`."""


class UserSessions:
    """Lists and ends the sessions of users. Every method can raise `StoreUnavailable`.

    An owner is what `Session.renew` takes: a str, or an int, which counts as its str.
    """

    def __init__(self, store: Store, by_user: ListsByUser, options: SessionOptions, notify: Notify) -> None:
        self._store = store
        self._by_user = by_user
        self.options = options
        self._notify = notify
        self.migration: Migration | None = None

    def of(self, owner: str | int) -> list[UserSession]:
        """Return the live sessions of `owner`, the newest login first. One round trip each, and those of `keys_of`."""
        owner = to_owner(owner)
        now = self._store.ping()
        found = [(key, self._store.load(key)) for key in reversed(self._by_user.keys_of(owner))]
        return [self._describe(key, record, now) for key, record in found if isinstance(record, Record)]

    def page(self, owner: str | int, number: int) -> tuple[list[UserSession], bool]:
        """Return a page of live sessions of `owner`, the newest login first, and whether there may be older ones.

        Pages are numbered from 1. A page costs at most `PAGE` round trips, however many sessions the user has; sessions
        that ended make it shorter.
        """
        owner = to_owner(owner)
        now = self._store.ping()
        first = (number - 1) * PAGE
        if (pages := find_capability(self._store, PagesByUser)) is not None:
            keys = pages.page_of(owner, first, PAGE + 1)
        else:
            keys = self._by_user.keys_of(owner)[::-1][first : first + PAGE + 1]
        found = [(key, self._store.load(key)) for key in keys[:PAGE]]
        owned = [(key, record) for key, record in found if isinstance(record, Record) and record.owner == owner]
        return [self._describe(key, record, now) for key, record in owned], len(keys) > PAGE

    def end(self, owner: str | int, handle: str) -> bool:
        """End the session of `owner` with this handle; False where there is none."""
        keys = [key for key in self._by_user.keys_of(to_owner(owner)) if key[:HANDLE_DIGITS] == handle]
        return end_each(self._store, keys, self._signal) > 0

    def end_all(self, owner: str | int, keep: str | None = None, within: float | None = None) -> int:
        """End the sessions of `owner`, except the one with the key `keep`; return how many ended.

        Raises `NotAllEnded` where it takes longer than `within` seconds. During a migration, old sessions of `owner`
        are not taken over from then on.
        """
        name = to_owner(owner)
        if self.migration is not None:
            self.migration.end(name, self.options)

        def list_keys() -> list[str]:
            return [key for key in self._by_user.keys_of(name) if key != keep]

        return end_all(self._store, list_keys, self._signal, within)

    def _signal(self, key: str) -> None:
        self._notify(signals.session_ended, key)

    def _describe(self, key: str, record: Record, now: float) -> UserSession:
        client = self._reserved(record, CLIENT_KEY, Client)
        idle = self._reserved(record, COOKIE_KEY, SessionLifetime).timeouts(self.options, record.created).idle
        last_seen = None if record.final else now - (idle - record.ttl)
        return UserSession(key[:HANDLE_DIGITS], key, record.created, last_seen, client.address, client.browser)

    def _reserved(self, record: Record, name: str, kind: type[T]) -> T:
        """Return a reserved field. A corrupt one counts as missing: the session's next request reports it."""
        if (data := record.fields.get(name)) is None:
            return kind()
        try:
            return convert(self._store.codec.decode(data), kind)
        except DecodeError:
            return kind()


def end_all(store: Store, list_keys: Callable[[], Keys[str]], on_ended: OnEnded, within: float | None = None) -> int:
    """End the listed sessions, and return how many ended. Raises `NotAllEnded` after `within` seconds.

    A session that moves to a new id is listed under the new one before the old one is deleted. So the sessions are
    listed again until none is left, but at most `ROUNDS` times, since new logins may follow each other without end.
    """
    until = float("inf") if within is None else time.monotonic() + within
    ended = 0
    for _ in range(ROUNDS):
        if not (keys := list(list_keys())):
            break
        ended += end_each(store, keys, on_ended, until)
    return ended


def end_each(store: Store, keys: Keys[str], on_ended: OnEnded, until: float = float("inf")) -> int:
    """End these sessions and return how many ended; `on_ended` is called with the key of each.

    Raises `NotAllEnded` once the time, as `time.monotonic` has it, is past `until`, and sessions are left.
    """
    many = find_capability(store, EndsMany)
    left, size = sorted(keys), ENDED_AT_ONCE if many is not None else 1  # sorted: stores keep neighbours together
    ended = 0
    while left:
        batch, left = left[:size], left[size:]
        gone = many.end_many(batch) if many is not None else [key for key in batch if end_one(store, key)]
        for key in gone:
            on_ended(key)
        ended += len(gone)
        if left and time.monotonic() > until:  # after a batch, so that repeated requests come to an end
            raise NotAllEnded(f"{ended} sessions were ended, and {len(left)} are left; send the request again")
        if left:
            let_others_work()
    return ended


def end_one(store: Store, key: str) -> bool:
    """End a session of another browser, as far as is known; return False where there was none."""
    return store.retire(key, SessionMark(ELSEWHERE)) is Outcome.APPLIED
