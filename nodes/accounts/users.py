"""The users of a cluster, in a store of their own beside the sessions: a change holds on every node at once.

A user is a record that never expires, under the SHA-256 of the name, with one field: the `Account`. Each change is one
compare-and-set of that field. A user of the users file is as the file says until the store has a record of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from ..sessions import Changes, Lifetime, Outcome, Record, Store, StoreUnavailable, find_capability
from ..sessions import Iterable as IterableStore
from ..sessions.store import LONGEST
from . import passwords
from .file import Account
from .passwords import UsersError

_FIELD = "account"
_FOREVER = Lifetime(idle=LONGEST, absolute=LONGEST)
_ATTEMPTS = 100


class UserChanged(UsersError):
    """Another change replaced the password first, or the user was disabled meanwhile."""


class Users:
    """The users in `store`, which holds nothing else. Every method can raise `StoreUnavailable`.

    `initial` are the users of the users file. `run` calls the hashing, so that a server can do it where it blocks no
    other request.
    """

    def __init__(
        self,
        store: Store,
        initial: Mapping[str, Account] | None = None,
        run: Callable[[Callable[[], Any]], Any] | None = None,
    ) -> None:
        self._store = store
        self._initial = initial or {}
        self._run = run or (lambda hashing: hashing())
        passwords.decoy()  # made here, so that the first unknown user costs no more time than the others

    # ---- one read each

    def get(self, name: str) -> Account | None:
        """Return the user, or None where there is none."""
        return self._read(name)[0]

    def require_unchanged(self, account: Account) -> None:
        """Raise `UserChanged` where the user has another password by now, or is disabled.

        Call it after a session is created. It notices an earlier change, and a later one finds the session and ends it.
        """
        _require_same(self.get(account.name), account)

    # ---- passwords: no round trip

    def is_password(self, account: Account | None, password: str) -> bool:
        """Return whether the user may log in with this password. Equally slow for an unknown user."""
        hash_ = account.hash if account is not None else passwords.decoy()
        is_right = bool(self._run(lambda: passwords.matches(hash_, password)))
        return is_right and account is not None and account.enabled

    def is_repeated(self, account: Account | None, current: str, new: str) -> bool:
        """Return whether the last change was from the password `current` to `new`: a client sends its request again."""
        if account is None or account.replaced is None or not self.is_password(account, new):
            return False
        replaced = account.replaced
        return bool(self._run(lambda: passwords.matches(replaced, current)))

    # ---- changes: a read and a write, both again where another change came in between

    def set_password(self, account: Account, password: str, first: Callable[[], object]) -> Account:
        """Replace the password of `account`, and return the user as stored.

        `first` is called before the write, once it is certain that the password is accepted. Afterwards end the user's
        sessions, and call `finish`. Raises `PasswordRefused`, and `UserChanged` where `account` does not hold any more.
        """
        passwords.check_password(password)
        new = self._run(lambda: passwords.hash_password(password))

        def edit(now: Account) -> Account:
            _require_same(now, account)
            first()
            return structs.replace(now, hash=new, replaced=now.hash, unfinished=True)

        return self._change(account.name, edit)

    def reset_password(self, name: str, password: str) -> Account:
        """Give the user a new password, whatever the present one is, and return the user as stored.

        Afterwards end the user's sessions, and call `finish`. Raises `UsersError` where the user is unknown.
        """
        passwords.check_password(password)
        new = self._run(lambda: passwords.hash_password(password))
        return self._change(name, lambda now: structs.replace(now, hash=new, replaced=None, unfinished=True))

    def finish(self, account: Account) -> None:
        """Note that the sessions from before the last change of the password are ended.

        Where a request is cut off before, the next login does that. Raises `UserChanged` where anything about `account`
        was changed since, also where another request has finished the change, and may have ended the caller's session.
        """

        def edit(now: Account) -> Account:
            if now != account:
                raise UserChanged(f"user {account.name!r} was changed meanwhile")
            return structs.replace(now, unfinished=False)

        self._change(account.name, edit)

    def set_enabled(self, name: str, enabled: bool) -> None:
        """Allow or refuse a user's logins. Raises `UsersError` where the user is unknown.

        End the sessions of a disabled user afterwards.
        """
        self._change(name, lambda now: structs.replace(now, enabled=enabled))

    def add(self, account: Account) -> bool:
        """Store a new user; return False, with nothing changed, where the store has one of this name."""
        fields = {_FIELD: msgspec.msgpack.encode(account)}
        return self._store.create(_to_key(account.name), fields, None, _FOREVER) is not None

    # ---- all of them

    def all(self) -> list[Account]:
        """Return all users by name. Goes through all keys of the store: for people, not for requests."""
        stored = [account for key in self._keys() if (account := self._load(key)[0]) is not None]
        users = {**self._initial, **{account.name: account for account in stored}}
        return [users[name] for name in sorted(users)]

    def rewrite(self) -> int:
        """Write every stored user again as it is, in the form that an `EncryptedStore` writes; return how many."""
        written = 0
        for key in self._keys():
            account, stored = self._load(key)
            if account is not None and stored is not None:
                written += self._update(key, stored, stored)
        return written

    # ---- the store

    def _change(self, name: str, edit: Callable[[Account], Account]) -> Account:
        for _ in range(_ATTEMPTS):
            account, stored = self._read(name)
            if account is None:
                raise UsersError(f"no such user: {name!r}")
            after = edit(account)
            if after == account:
                return account
            if stored is None:
                if self.add(after):
                    return after
            elif self._update(_to_key(name), stored, msgspec.msgpack.encode(after)):
                return after
        raise StoreUnavailable(f"gave up after {_ATTEMPTS} concurrent changes of one user")

    def _read(self, name: str) -> tuple[Account | None, bytes | None]:
        """Return the user, and the bytes of their record, None where the store has none."""
        account, stored = self._load(_to_key(name))
        return (self._initial.get(name) if account is None else account), stored

    def _load(self, key: str) -> tuple[Account | None, bytes | None]:
        record = self._store.load(key)
        if not isinstance(record, Record):
            return None, None
        stored = record.fields.get(_FIELD, b"")
        try:
            return msgspec.msgpack.decode(stored, type=Account), stored
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # A later version wrote it, or it is corrupt: unknown, so that no login succeeds.
            raise StoreUnavailable(f"the record {key} of a user can't be read: {error}") from error

    def _update(self, key: str, before: bytes, after: bytes) -> bool:
        changes = Changes({_FIELD: after}, expect={_FIELD: before})
        return self._store.update(key, changes, _FOREVER) is Outcome.APPLIED

    def _keys(self) -> Iterable[str]:
        iterable = find_capability(self._store, IterableStore)
        if iterable is None:
            raise TypeError("this store can't iterate over its records")
        return iterable.keys()


def _require_same(now: Account | None, account: Account) -> None:
    """Raise `UserChanged` where `now` is disabled, or has another password than `account`."""
    if now is None or now.hash != account.hash or not now.enabled:
        raise UserChanged(f"the password of {account.name!r} was changed meanwhile, or they were disabled")


def _to_key(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
