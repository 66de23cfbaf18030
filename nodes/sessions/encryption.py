"""Sessions encrypted at rest: any store, whose fields' values only the nodes can read.

AES-256-GCM from `cryptography`, each value bound to the key of its record and the name of its field, so that none can
be moved elsewhere. Names of fields, owners and times stay readable: the store needs them. A record with an owner has
one more field, `~owner`, which holds the owner encrypted, so whoever has the store can't make a session somebody
else's. A field of the application's that begins with `~` gets a second one.

What this does not notice: a value put back that the same field had before, a field taken away, other times. Each write
sends only the fields that it changes and has not read the others, so nothing can vouch for all of them. What is stored
of a value is

    0xE1, id of the encryption key (4 bytes), nonce (12 bytes), ciphertext and tag (16 bytes more than the value)

The nonce is computed (HMAC-SHA-256 over record, field and value, with a key of its own) instead of drawn, so that equal
values have equal bytes and compare-and-set works unseen by the store. It repeats no sooner than a drawn one would; all
that it tells is that a field has a value that it had before.

Keys rotate as secrets do: the first encrypts, all decrypt. Add a new one at the end on every node; then put it first on
every node; drop the old one when the absolute timeout has passed since.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .cookie import CookieFormat, SignedCookie
from .store import Changes, Lifetime, Outcome, Record, RecordTooNew, Store

log = logging.getLogger("nodes.sessions")

KEY_BYTES = 32
OVERHEAD = 33
"""How many bytes longer an encrypted value is; bounds on the size of a session count them."""
_MARK = b"\xe1"
_ID_BYTES, _NONCE_BYTES = 4, 12
_OWNER = "~owner"


class _Damaged(ValueError):
    pass


class _Key:
    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"an encryption key has {len(secret)} bytes: it must be {KEY_BYTES}")
        derived = HKDF(SHA256(), 2 * KEY_BYTES + _ID_BYTES, salt=None, info=b"session-cluster encryption v1").derive(
            secret
        )
        self._cipher = AESGCM(derived[:KEY_BYTES])
        self._nonce_key = derived[KEY_BYTES : 2 * KEY_BYTES]
        self.id = derived[2 * KEY_BYTES :]

    def encrypt(self, value: bytes, place: bytes) -> bytes:
        nonce = hmac.digest(self._nonce_key, len(place).to_bytes(4, "big") + place + value, "sha256")[:_NONCE_BYTES]
        return _MARK + self.id + nonce + self._cipher.encrypt(nonce, value, place)

    def decrypt(self, sealed: bytes, place: bytes) -> bytes:
        start = len(_MARK) + _ID_BYTES
        try:
            return self._cipher.decrypt(sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :], place)
        except (InvalidTag, ValueError) as error:
            raise _Damaged("it is not what was encrypted for this place") from error


class EncryptedStore:
    """`store`, with every value encrypted by the first of `keys` (32 bytes each).

    A record that was changed, moved, given to another owner or never encrypted is damaged: set aside and absent. One
    encrypted with a key that is not here is *unknown* (`RecordTooNew`), since another node has that key.
    """

    def __init__(self, store: Store, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("give at least one encryption key")
        if type(store.cookie) is not SignedCookie:
            raise ValueError("sessions that are shared with another application can't be encrypted: it can't read them")
        self.codec = store.codec
        self.cookie: CookieFormat = store.cookie
        self.wraps = store
        self._keys = [_Key(key) for key in keys]
        self._by_id = {key.id: key for key in self._keys}

    def load(self, key: str) -> Record | None:
        record = self.wraps.load(key)
        return self._opened(key, record) if record is not None else None

    def create(
        self,
        key: str,
        fields: Mapping[str, bytes],
        owner: str | None,
        lifetime: Lifetime,
        created: float | None = None,
    ) -> float | None:
        sealed = self._sealed(key, fields)
        if owner is not None:
            sealed[_OWNER] = self._seal(key, _OWNER, _bytes(owner))
        return self.wraps.create(key, sealed, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        expect = {
            _escaped(name): None if value is None else self._seal(key, _escaped(name), value)
            for name, value in changes.expect.items()
        }
        gone = frozenset(_escaped(name) for name in changes.delete)
        sealed = replace(changes, set=self._sealed(key, changes.set), delete=gone, expect=expect)
        outcome = self.wraps.update(key, sealed, lifetime)
        if outcome is Outcome.CONFLICT and len(self._keys) > 1:
            return self._update_of_older_key(key, changes, sealed, lifetime)
        return outcome

    def delete(self, key: str) -> Record | None:
        record = self.wraps.delete(key)
        try:
            return self._opened(key, record, gone=True) if record is not None else None
        except RecordTooNew as error:  # it has ended all the same
            log.error("it has ended unread, and what others wrote there since is lost: %s", error)  # noqa: TRY400 - a line
            return replace(record, fields={}, unread=True) if record is not None else None

    def set_aside(self, key: str) -> None:
        self.wraps.set_aside(key)

    def ping(self) -> float:
        return self.wraps.ping()

    def close(self) -> None:
        self.wraps.close()

    def _update_of_older_key(self, key: str, changes: Changes, sealed: Changes, lifetime: Lifetime) -> Outcome:
        """Tells a value that is still encrypted with an older key from one that somebody changed."""
        record = self.wraps.load(key)
        opened = self._opened(key, record) if record is not None else None
        if record is None or opened is None:
            return Outcome.ABSENT
        if any(opened.fields.get(name) != value for name, value in changes.expect.items()):
            return Outcome.CONFLICT
        expect = {_escaped(name): record.fields.get(_escaped(name)) for name in changes.expect}
        return self.wraps.update(key, replace(sealed, expect=expect), lifetime)

    def _sealed(self, key: str, fields: Mapping[str, bytes]) -> dict[str, bytes]:
        return {_escaped(name): self._seal(key, _escaped(name), value) for name, value in fields.items()}

    def _seal(self, key: str, name: str, value: bytes) -> bytes:
        return self._keys[0].encrypt(value, _place(key, name))

    def _opened(self, key: str, record: Record, gone: bool = False) -> Record | None:
        try:
            opened = {name: self._open(key, name, value) for name, value in record.fields.items()}
            _check_owner(record.owner, opened.pop(_OWNER, None))
            return replace(record, fields={name.removeprefix("~"): value for name, value in opened.items()})
        except _Damaged as error:
            if not gone:
                log.error("session %s is damaged and was set aside: %s", key, error)  # noqa: TRY400 - a line
                self.wraps.set_aside(key)
            return None

    def _open(self, key: str, name: str, sealed: bytes) -> bytes:
        if not sealed.startswith(_MARK) or len(sealed) < OVERHEAD:
            raise _Damaged("it is not encrypted")
        known = self._by_id.get(sealed[len(_MARK) : len(_MARK) + _ID_BYTES])
        if known is None:
            raise RecordTooNew(f"session {key} is encrypted with a key that this node does not have")
        return known.decrypt(sealed, _place(key, name))


def _check_owner(owner: str | None, proven: bytes | None) -> None:
    if proven != (None if owner is None else _bytes(owner)):
        raise _Damaged("it was made for another owner")


def _bytes(owner: str) -> bytes:
    return owner.encode("utf-8", "surrogatepass")


def _escaped(name: str) -> str:
    """The name that a field of the application's has in the store."""
    return f"~{name}" if name.startswith("~") else name


def _place(key: str, name: str) -> bytes:
    return f"{key}\0{name}".encode()
