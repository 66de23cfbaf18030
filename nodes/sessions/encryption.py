"""Sessions encrypted at rest: any store, whose fields' values only the nodes can read.

Each value is sealed for its record and its field (`sealing.py`), so that none can be moved elsewhere. Names of fields,
owners and times stay readable: the store needs them. A record with an owner has one more field, `~owner`, which holds
the owner sealed, so whoever has the store can't make a session somebody else's.

What this does not notice: a value put back that the same field had before, a field taken away, other times. Each write
sends only the fields that it changes and has not read the others, so nothing can vouch for all of them.

Keys rotate as secrets do: the first encrypts, all decrypt. Add a new one at the end on every node; then put it first on
every node; drop the old one when the absolute timeout has passed since. `Encryption` turns it on or off in such steps.
While it does, plain values and sealed ones lie beside each other in one record: a field has the same name either way,
so that no field is ever there twice.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .cookie import CookieFormat, SignedCookie
from .fields import OWNER_PROOF
from .store import Changes, CorruptRecord, Lifetime, Outcome, Record, Store, UnknownKey

KEY_BYTES = 32
OVERHEAD = 33
"""How many bytes longer a sealed value is; bounds on the size of a session count them."""
ID_BYTES = 4
_MARK = b"\xe1"
_NONCE_BYTES = 12
_NONCE = len(_MARK) + ID_BYTES


class SealingKey:
    """Seals and opens values; `secret` has 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"an encryption key has {len(secret)} bytes: it must be {KEY_BYTES}")
        derived = HKDF(SHA256(), 2 * KEY_BYTES + ID_BYTES, salt=None, info=b"session-cluster encryption v1").derive(
            secret
        )
        self._cipher = AESGCM(derived[:KEY_BYTES])
        self._nonce_key = derived[KEY_BYTES : 2 * KEY_BYTES]
        self.id = derived[2 * KEY_BYTES :]

    def seal(self, value: bytes, place: bytes) -> bytes:
        nonce = hmac.digest(self._nonce_key, len(place).to_bytes(4, "big") + place + value, "sha256")[:_NONCE_BYTES]
        return _MARK + self.id + nonce + self._cipher.encrypt(nonce, value, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """What `seal` was given for this place. `CorruptRecord` for anything else."""
        try:
            return self._cipher.decrypt(sealed[_NONCE : _NONCE + _NONCE_BYTES], sealed[_NONCE + _NONCE_BYTES :], place)
        except (InvalidTag, ValueError) as error:
            raise CorruptRecord("it is not what was encrypted for this place") from error


def is_sealed(value: bytes) -> bool:
    """Whether it looks like a sealed value, which no plain one does."""
    return value.startswith(_MARK) and len(value) >= OVERHEAD


def any_sealed(fields: Mapping[str, bytes]) -> bool:
    """Whether a node without keys would have to know more to read these fields."""
    return any(map(is_sealed, fields.values()))


def key_id(sealed: bytes) -> bytes:
    """Which key it was sealed with: `SealingKey.id`."""
    return sealed[len(_MARK) : _NONCE]


log = logging.getLogger("nodes.sessions")


class Encryption(Enum):
    """What an `EncryptedStore` makes of values that are not encrypted."""

    REQUIRE = "require"
    """Believes none: whoever writes to the store can plant nothing. Sessions from before are not believed either."""
    WRITE = "write"
    """Reads both and writes encrypted: while it is turned on or off. Whoever writes to the store can plant values."""
    READ = "read"
    """Reads both and writes plain: beside nodes that have no keys yet, or no longer."""


class EncryptedStore:
    """`store`, with every value encrypted by the first of `keys` (32 bytes each).

    A record that was changed, moved, given to another owner or never encrypted is damaged: set aside and absent. One
    encrypted with a key that is not here is *unknown* (`UnknownKey`), since another node has that key. With an
    `encryption` that reads both, what was never encrypted is believed, and only that.

    One round trip more than the store's for an update, and two for one that applies, where a value that is compared is
    found encrypted with an older key, or encrypted at all or not, other than this node writes it.
    """

    def __init__(self, store: Store, keys: Sequence[bytes], encryption: Encryption = Encryption.REQUIRE) -> None:
        if not keys:
            raise ValueError("give at least one encryption key")
        if type(store.cookie) is not SignedCookie:
            raise ValueError("sessions that are shared with another application can't be encrypted: it can't read them")
        self.codec = store.codec
        self.cookie: CookieFormat = store.cookie
        self.wraps = store
        self._encryption = encryption
        self._keys = [SealingKey(key) for key in keys]
        self._by_id = {key.id: key for key in self._keys}
        self._one_form = len(self._keys) == 1 and encryption is Encryption.REQUIRE

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
        written = self._written(key, fields)
        if owner is not None and self._encryption is not Encryption.READ:
            written[OWNER_PROOF] = self._write(key, OWNER_PROOF, _bytes(owner))
        return self.wraps.create(key, written, owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        expect = {
            name: None if value is None else self._write(key, name, value)
            for name, value in changes.expect.items()
            if name != OWNER_PROOF  # whether there is one concerns who can't read it
        }
        written = replace(changes, set=self._written(key, changes.set), expect=expect)
        outcome = self.wraps.update(key, written, lifetime)
        if outcome is Outcome.CONFLICT and not self._one_form:
            return self._update_of_another_form(key, changes, written, lifetime)
        return outcome

    def delete(self, key: str) -> Record | None:
        record = self.wraps.delete(key)
        try:
            return self._opened(key, record, gone=True) if record is not None else None
        except UnknownKey as error:  # it has ended all the same
            log.error("it has ended unread, and what others wrote there since is lost: %s", error)  # noqa: TRY400 - a line
            return replace(record, fields={}, unread=True) if record is not None else None

    def quarantine(self, key: str) -> None:
        self.wraps.quarantine(key)

    def ping(self) -> float:
        return self.wraps.ping()

    def close(self) -> None:
        self.wraps.close()

    def _update_of_another_form(self, key: str, changes: Changes, written: Changes, lifetime: Lifetime) -> Outcome:
        """Tells a value that an older key or another `Encryption` has left from one that somebody changed."""
        record = self.wraps.load(key)
        opened = self._opened(key, record) if record is not None else None
        if record is None or opened is None:
            return Outcome.ABSENT
        if any(opened.fields.get(name) != changes.expect[name] for name in written.expect):
            return Outcome.CONFLICT
        expect = {name: record.fields.get(name) for name in written.expect}
        return self.wraps.update(key, replace(written, expect=expect), lifetime)

    def _written(self, key: str, fields: Mapping[str, bytes]) -> dict[str, bytes]:
        if OWNER_PROOF in fields:
            raise ValueError(f"{OWNER_PROOF} is the name of no field that can be written")
        return {name: self._write(key, name, value) for name, value in fields.items()}

    def _write(self, key: str, name: str, value: bytes) -> bytes:
        return value if self._encryption is Encryption.READ else self._keys[0].seal(value, _place(key, name))

    def _opened(self, key: str, record: Record, gone: bool = False) -> Record | None:
        try:
            opened = {name: self._open(key, name, value) for name, value in record.fields.items()}
            self._check_owner(record.owner, opened.pop(OWNER_PROOF, None))
            return replace(record, fields=opened)
        except CorruptRecord as error:
            if not gone:
                log.error("session %s is corrupt and was quarantined: %s", key, error)  # noqa: TRY400 - a line
                self.wraps.quarantine(key)
            return None

    def _open(self, key: str, name: str, value: bytes) -> bytes:
        if not is_sealed(value):
            if self._encryption is Encryption.REQUIRE:
                raise CorruptRecord("it is not encrypted")
            return value
        known = self._by_id.get(key_id(value))
        if known is None:
            raise UnknownKey(f"session {key} is encrypted with a key that this node does not have")
        return known.open(value, _place(key, name))

    def _check_owner(self, owner: str | None, proven: bytes | None) -> None:
        """A record without a proof is believed where values that are not encrypted are."""
        if proven is None and self._encryption is not Encryption.REQUIRE:
            return
        if proven != (None if owner is None else _bytes(owner)):
            raise CorruptRecord("it was made for another owner")


def _bytes(owner: str) -> bytes:
    return owner.encode("utf-8", "surrogatepass")


def _place(key: str, name: str) -> bytes:
    return f"{key}\0{name}".encode()
