"""The fields of a session: the application's, of which changes are tracked, and those reserved for the library.

A session is stored as fields, one for each top-level key, each encoded on its own. Anyone with write access to the
store can put any value into a reserved field, so its type is checked when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from .checks import is_unicode, plain_text
from .codec import Codec, DecodeError
from .options import SessionOptions
from .store import LATEST, LONGEST, Changes, Lifetime, SessionTooLarge, encoded_size
from .values import ATOMS

CLIENT_KEY = "_client"
"""The address and browser of a login; see `SessionOptions.remember_client`."""
COOKIE_KEY = "_cookie"
"""The `SessionLifetime` of a session that has one."""
OWNER_PROOF = "~owner"
"""The owner of an encrypted record, encrypted. Only `EncryptedStore` reads and writes it. It is reserved on nodes
without keys, too, which otherwise would show it to the application and write plain values beside it."""
RESERVED = frozenset({CLIENT_KEY, COOKIE_KEY, OWNER_PROOF})
BLIND_EXPECT: dict[str, bytes | None] = {COOKIE_KEY: None, OWNER_PROOF: None}
"""`Changes.expect` of an update without a read: these fields are missing. A session that has one of them must be read
before it is written, because it has a lifetime of its own or is encrypted."""

_FIRST = {"~", *(key[0] for key in RESERVED)}
_BARE = {key.lstrip("~"): key for key in RESERVED}
_IMMUTABLE = (str, int, float, bytes, type(None))
_NO_CHANGES = Changes()

T = TypeVar("T")


class SessionLifetime(msgspec.Struct, frozen=True):
    """The lifetime of one session where it differs from the options. None: as the options say."""

    max_age: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    """Idle timeout in seconds."""
    expires: Annotated[float, Meta(gt=0, lt=LATEST)] | None = None
    """Latest end, in seconds since the epoch."""
    permanent: bool = False
    """Whether `SessionOptions.permanent_lifetime` takes the place of both timeouts."""
    since: Annotated[float, Meta(gt=0, lt=LATEST)] | None = None
    """When the absolute timeout began, in seconds since the epoch: when the session ceased to be permanent."""

    def timeouts(self, options: SessionOptions, created: float | None) -> Lifetime:
        """Return both timeouts of a session created at `created`.

        The options' absolute timeout bounds them, unless the session is permanent.
        """
        idle, absolute = options.idle_timeout, options.absolute_timeout
        if self.permanent:
            idle, absolute = options.permanent_lifetime, LONGEST
        elif self.since is not None and created is not None:
            absolute += max(self.since - created, 0)
        if self.expires is not None and created is not None:
            absolute = min(absolute, max(self.expires - created, 0.001))
        return Lifetime(idle if self.max_age is None else self.max_age, absolute)


class Client(msgspec.Struct, frozen=True):
    """The client of a login."""

    address: str | None = None
    browser: str | None = None


DEFAULT_LIFETIME = SessionLifetime()


def convert(value: Any, kind: type[T]) -> T:
    """Return a decoded value as a `kind`. Raises `DecodeError` where it is not one."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DecodeError(str(error)) from error


def check_reserved(fields: Mapping[str, bytes], codec: Codec) -> None:
    """Raise `DecodeError` if the session's lifetime has a wrong type, since no request could use the session."""
    if COOKIE_KEY in fields:
        convert(codec.decode(fields[COOKIE_KEY]), SessionLifetime)


def check_key(key: object) -> None:
    """Raise TypeError for what can't be a key of a session."""
    if not isinstance(key, str):
        raise TypeError(f"a session's keys are strings, not {type(key).__name__}: {key!r}")
    if not is_unicode(key):
        raise TypeError(f"a session's keys are strings without lone surrogates, unlike {key!r}")


def to_field(key: str) -> str:
    """Return the name of the field for the application's `key`, whose text counts where it is of a subclass of str.

    A key that is the name of a reserved field gets a `~` before it, and so does a key that would then collide.
    """
    text = key if type(key) is str else plain_text(key)
    return f"~{text}" if _is_reserved(text) else text


def to_application_key(field: str) -> str | None:
    """Return the application's key for a field; None for a reserved one."""
    if field in RESERVED:
        return None
    return field[1:] if field[:1] == "~" and _is_reserved(field) else field


def _is_reserved(name: str) -> bool:
    """Return whether `name` is a reserved field, after any number of `~`."""
    if name[:1] not in _FIRST:
        return False
    reserved = _BARE.get(name.lstrip("~"))
    return reserved is not None and name.endswith(reserved)


class Fields:
    """Values by field during one request, and which of them changed.

    A value that is handed out is remembered as the bytes it was decoded from. It changed if it encodes to other bytes,
    so changes inside a list or a dict are noticed too.
    """

    def __init__(self, codec: Codec, max_bytes: int) -> None:
        self.codec = codec
        self.max_bytes = max_bytes
        self.stored: dict[str, bytes] = {}
        """The fields in the store, as far as is known."""
        self.values: dict[str, Any] = {}
        self._handed_out: dict[str, bytes] = {}
        self._assigned: dict[str, bytes] = {}
        self._deleted: set[str] = set()

    def read(self, stored: Mapping[str, bytes]) -> None:
        """Take over the store's fields and keep this request's changes. Raises `DecodeError` for a corrupt value."""
        values = {key: self.codec.decode(data) for key, data in stored.items() if key not in self._deleted}
        kept = {key: value for key, value in self.values.items() if key in self._handed_out or key in self._assigned}
        self.stored = dict(stored)
        self.values = values | kept

    def is_assigned(self, key: str) -> bool:
        """Return whether this request assigned the field, so that its value is known without a read."""
        return key in self._assigned

    def get(self, key: str) -> Any:
        """Return the value, and track changes inside it. Raises KeyError."""
        value = self.values[key]
        if key in self.stored and not isinstance(value, _IMMUTABLE):
            self._handed_out.setdefault(key, self.stored[key])
        return value

    def assign(self, key: str, value: Any) -> None:
        """Set the value. Raises TypeError where it can't be encoded, `SessionTooLarge` where it does not fit."""
        data = self.encode(key, value)
        after = {**self.stored, **self._assigned, key: data}
        self.check_size(encoded_size({name: after[name] for name in after.keys() - (self._deleted - {key})}))
        self.values[key] = value
        self._assigned[key] = data
        self._deleted.discard(key)

    def delete(self, key: str) -> None:
        """Remove the value. Raises KeyError."""
        del self.values[key]
        self._assigned.pop(key, None)
        self._handed_out.pop(key, None)
        if key in self.stored:
            self._deleted.add(key)

    def own(self) -> dict[str, Any]:
        """Return the values that this request assigned or changed inside, by field."""
        changed = self.pending().set.keys() | self._assigned.keys()
        return {key: self.values[key] for key in self.values if key in changed}

    def take_back(self, key: str) -> None:
        """Undo what this request did to the field and did not save."""
        self._assigned.pop(key, None)
        self._handed_out.pop(key, None)
        self._deleted.discard(key)
        self.values.pop(key, None)
        if key in self.stored:
            self.values[key] = self.codec.decode(self.stored[key])

    def is_changed(self) -> bool:
        """Return whether this request assigned or deleted a field, or changed a value inside."""
        changes = self.pending()
        return bool(self._assigned or changes.set or changes.delete)

    def pending(self) -> Changes:
        """Return the changes of this request that are not saved yet."""
        if not (self._assigned or self._handed_out or self._deleted):
            return _NO_CHANGES
        now = {key: self._encode_again(key) for key in self._assigned.keys() | self._handed_out.keys()}
        changed = {key: data for key, data in now.items() if data != self._base(key)}
        return Changes(set=changed, delete=frozenset(self._deleted), max_bytes=self.max_bytes)

    def _base(self, key: str) -> bytes | None:
        return self.stored.get(key) if key in self._assigned else self._handed_out[key]

    def _encode_again(self, key: str) -> bytes:
        """Return the bytes of a value that may have changed inside since it was assigned or handed out."""
        value = self.values[key]
        return self._assigned[key] if key in self._assigned and type(value) in ATOMS else self.encode(key, value)

    def mark_saved(self, changes: Changes) -> None:
        """Note that the store has applied `changes`."""
        self.stored = changes.apply_to(self.stored)
        self._handed_out.update(changes.set)
        for key in changes.set:
            self._assigned.pop(key, None)
        self._deleted -= changes.delete

    def reset(self, stored: Mapping[str, bytes]) -> None:
        """Note that the store holds exactly `stored`. Values that still match it stay the objects they are."""
        kept = {k: v for k, v in self.values.items() if k in stored and self.encode(k, v) == stored[k]}
        self.values = {key: self.codec.decode(data) for key, data in stored.items()} | kept
        self.stored = dict(stored)
        self._handed_out = dict(stored)
        self._assigned.clear()
        self._deleted.clear()

    def copy(self, stored: Mapping[str, bytes]) -> Fields:
        """Return fields with these values for another session, of which the store holds exactly `stored`."""
        other = Fields(self.codec, self.max_bytes)
        other.values = self.values
        other.reset(stored)
        return other

    def encode(self, key: str, value: Any) -> bytes:
        """Return the bytes of a value. Raises a TypeError that names the key where it has none."""
        try:
            return self.codec.encode(value)
        except TypeError as error:
            raise TypeError(f"session[{key!r}]: {error}") from error

    def check_size(self, size: int) -> None:
        """Raise `SessionTooLarge` where a session of `size` bytes exceeds the bound."""
        if size > self.max_bytes:
            raise SessionTooLarge(f"the session must have at most {self.max_bytes} bytes, not {size}")


def concurrent_changes(before: Mapping[str, bytes], after: Mapping[str, bytes], own: Changes) -> Changes | None:
    """Return the changes of other requests between `before` and `after`, without the fields that `own` changes.

    None if there are none.
    """
    decided = own.set.keys() | own.delete
    changed = {key: data for key, data in after.items() if key not in decided and before.get(key) != data}
    deleted = frozenset(key for key in before if key not in decided and key not in after)
    return Changes(changed, deleted) if changed or deleted else None
