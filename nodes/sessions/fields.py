"""The fields of one session during one request: their values, the bytes behind them, and which of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from .codec import Codec, DecodeError
from .options import SessionOptions
from .store import LATEST, LONGEST, Changes, Lifetime, SessionTooLarge, size_of

CLIENT_KEY = "_client"
"""Where a login keeps the client's address and browser; see `SessionOptions.remember_client`."""
COOKIE_KEY = "_cookie"
"""Where a session keeps a `max_age` and `expires` of its own."""
OWNER_PROOF = "~owner"
"""Where an encrypted record holds its owner once more, encrypted: only `EncryptedStore` reads and writes it."""
OWN_KEYS = frozenset({CLIENT_KEY, COOKIE_KEY, OWNER_PROOF})
_BARE = {key.lstrip("~"): key for key in OWN_KEYS}

T = TypeVar("T")


class Life(msgspec.Struct, frozen=True):
    """A life of this session's own. None: as the options say."""

    max_age: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    """Seconds without use until it ends."""
    expires: Annotated[float, Meta(gt=0, lt=LATEST)] | None = None
    """When it ends at the latest, in seconds since the epoch."""

    def lifetime(self, options: SessionOptions, created: float | None) -> Lifetime:
        """Both timeouts of a session that was created then; the absolute one of the options bounds them."""
        absolute = options.absolute_timeout
        if self.expires is not None and created is not None:
            absolute = min(absolute, max(self.expires - created, 0.001))
        return Lifetime(options.idle_timeout if self.max_age is None else self.max_age, absolute)


class Client(msgspec.Struct, frozen=True):
    """Who logged in."""

    address: str | None = None
    browser: str | None = None


NO_LIFE = Life()


def typed(value: Any, kind: type[T]) -> T:
    """What a codec decoded, as a `kind`; `DecodeError` where it is none."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DecodeError(str(error)) from error


def check(fields: Mapping[str, bytes], codec: Codec) -> None:
    """`DecodeError` where a session can't be used with what is found in these fields."""
    if COOKIE_KEY in fields:
        typed(codec.decode(fields[COOKIE_KEY]), Life)


def field_of(key: str) -> str:
    """The name of the field that keeps the application's `key`: one that is called as one of ours has a `~` before it,
    and so has one that would then be called as that."""
    return f"~{key}" if _is_called_as_ours(key) else key


def application_key(field: str) -> str | None:
    """The application's key of a field; None for one of ours."""
    if field in OWN_KEYS:
        return None
    return field[1:] if field[:1] == "~" and _is_called_as_ours(field) else field


def _is_called_as_ours(name: str) -> bool:
    """Whether it is the name of one of our fields, after any number of `~`."""
    ours = _BARE.get(name.lstrip("~"))
    return ours is not None and name.endswith(ours)


_UNCHANGEABLE = (str, int, float, bytes, type(None))
_NOTHING = Changes()


class Fields:
    """Values by key. What is handed out is remembered as the bytes it came from, so that a change inside it shows."""

    def __init__(self, codec: Codec, max_bytes: int) -> None:
        self.codec = codec
        self.max_bytes = max_bytes
        self.stored: dict[str, bytes] = {}
        """What the store is known to hold."""
        self.values: dict[str, Any] = {}
        self._handed_out: dict[str, bytes] = {}
        self._assigned: dict[str, bytes] = {}
        self._deleted: set[str] = set()

    def read(self, stored: Mapping[str, bytes]) -> None:
        """Takes in what the store holds, keeping what this request did. `DecodeError` where a value is damaged."""
        values = {key: self.codec.decode(data) for key, data in stored.items() if key not in self._deleted}
        kept = {key: value for key, value in self.values.items() if key in self._handed_out or key in self._assigned}
        self.stored = dict(stored)
        self.values = values | kept

    def assigned(self, key: str) -> bool:
        """Whether this request assigned the key, so that its value is known without a read."""
        return key in self._assigned

    def get(self, key: str) -> Any:
        """The value to hand out; KeyError where there is none."""
        value = self.values[key]
        if key in self.stored and not isinstance(value, _UNCHANGEABLE):
            self._handed_out.setdefault(key, self.stored[key])
        return value

    def assign(self, key: str, value: Any) -> None:
        """TypeError for what can't be stored, `SessionTooLarge` for what would not fit."""
        data = self.encode(key, value)
        self.check_size({**self.stored, **self._assigned, key: data}, without=self._deleted - {key})
        self.values[key] = value
        self._assigned[key] = data
        self._deleted.discard(key)

    def delete(self, key: str) -> None:
        """KeyError where there is none."""
        del self.values[key]
        self._assigned.pop(key, None)
        self._handed_out.pop(key, None)
        if key in self.stored:
            self._deleted.add(key)

    def pending(self) -> Changes:
        """What this request changed and has not saved."""
        if not (self._assigned or self._handed_out or self._deleted):
            return _NOTHING
        now = {key: self.encode(key, self.values[key]) for key in self._assigned.keys() | self._handed_out.keys()}
        changed = {key: data for key, data in now.items() if data != self._base(key)}
        return Changes(set=changed, delete=frozenset(self._deleted), max_bytes=self.max_bytes)

    def _base(self, key: str) -> bytes | None:
        return self.stored.get(key) if key in self._assigned else self._handed_out[key]

    def saved(self, changes: Changes) -> None:
        """These changes are in the store now."""
        self.stored = changes.applied_to(self.stored)
        self._handed_out.update(changes.set)
        for key in changes.set:
            self._assigned.pop(key, None)
        self._deleted -= changes.delete

    def replaced(self, stored: Mapping[str, bytes]) -> None:
        """The store holds exactly this now; objects that were handed out and still match it stay the same objects."""
        kept = {k: v for k, v in self.values.items() if k in stored and self.encode(k, v) == stored[k]}
        self.values = {key: self.codec.decode(data) for key, data in stored.items()} | kept
        self.stored = dict(stored)
        self._handed_out = dict(stored)
        self._assigned.clear()
        self._deleted.clear()

    def moved(self, stored: Mapping[str, bytes]) -> Fields:
        """The same values in another session, of which the store holds exactly this; these here stay as they are."""
        other = Fields(self.codec, self.max_bytes)
        other.values = self.values
        other.replaced(stored)
        return other

    def encode(self, key: str, value: Any) -> bytes:
        """The bytes of a value; TypeError naming the key where it has none."""
        try:
            return self.codec.encode(value)
        except TypeError as error:
            raise TypeError(f"session[{key!r}]: {error}") from error

    def check_size(self, fields: Mapping[str, bytes], without: set[str] | frozenset[str] = frozenset()) -> None:
        """`SessionTooLarge` where these fields exceed the bound."""
        size = size_of({key: data for key, data in fields.items() if key not in without})
        if size > self.max_bytes:
            raise SessionTooLarge(f"the session would have {size} bytes; it may have {self.max_bytes}")


def others_changes(before: Mapping[str, bytes], after: Mapping[str, bytes], mine: Changes) -> Changes | None:
    """What others changed between `before` and `after`, less what `mine` decides; None where that is nothing."""
    decided = mine.set.keys() | mine.delete
    changed = {key: data for key, data in after.items() if key not in decided and before.get(key) != data}
    deleted = frozenset(key for key in before if key not in decided and key not in after)
    return Changes(changed, deleted) if changed or deleted else None
