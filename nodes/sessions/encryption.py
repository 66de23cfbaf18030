"""Encryption at rest: a wrapper around any store, so that only the nodes can read the values.

Each value is encrypted for its record and its field, so that none can be moved elsewhere. Names of fields, owners and
times stay readable: the store needs them. A record with an owner has one more field, `~owner`, with the owner
encrypted, so that write access to the store is not enough to give a session to another user.

Not detected: an old value that is written back to its field, a removed field, changed times. Each write sends only the
fields that it changes and has not read the others, so nothing can authenticate all fields together.

Keys rotate as secrets do: the first encrypts, all decrypt. Add a new one at the end on every node; then put it first on
every node; remove the old one when the absolute timeout has passed since. `Encryption` turns encryption on or off in
such steps. Meanwhile one record may hold plain and encrypted values: a field has the same name in both forms, so no
field exists twice.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec.structs import replace

from .checks import check_store, to_choice
from .codec import ENCRYPTED, OVERHEAD, is_encrypted
from .cookie import SignedCookie
from .corrupt import read_record
from .fields import OWNER_PROOF
from .store import (
    Changes,
    CorruptRecord,
    Lifetime,
    Outcome,
    Record,
    SessionMark,
    Store,
    StoreWrapper,
    UnknownKey,
    encoded_size,
)

KEY_BYTES = 32
_ID_BYTES = 4
_NONCE_BYTES = 12
_NONCE = len(ENCRYPTED) + _ID_BYTES

_Found: TypeAlias = Record | SessionMark | None


class FieldCipher:
    """Encrypts and decrypts values of fields with AES-256-GCM; `secret` has 32 bytes.

    An encrypted value is

        0xE1, id of the encryption key (4 bytes), nonce (12 bytes), ciphertext and tag (16 bytes more than the value)

    The nonce is not random but computed (HMAC-SHA-256 over record, field and value, with a separate key), so that equal
    values have equal bytes and compare-and-set works in the store. Different values are as unlikely to get the same
    nonce as with random ones. The store learns only that a field returns to an earlier value.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"an encryption key must have {KEY_BYTES} bytes, not {len(secret)}")
        derived = HKDF(SHA256(), 2 * KEY_BYTES + _ID_BYTES, salt=None, info=b"session-cluster encryption v1").derive(
            secret
        )
        self._cipher = AESGCM(derived[:KEY_BYTES])
        self._nonce_key = derived[KEY_BYTES : 2 * KEY_BYTES]
        self.id = derived[2 * KEY_BYTES :]

    def encrypt(self, value: bytes, place: bytes) -> bytes:
        """Return `value` encrypted for `place`, which is the name of one field of one record."""
        nonce = hmac.digest(self._nonce_key, len(place).to_bytes(4, "big") + place + value, "sha256")[:_NONCE_BYTES]
        return ENCRYPTED + self.id + nonce + self._cipher.encrypt(nonce, value, place)

    def decrypt(self, data: bytes, place: bytes) -> bytes:
        """Return the plain value of `data`. Raises `CorruptRecord` unless it was encrypted for this place."""
        try:
            return self._cipher.decrypt(data[_NONCE : _NONCE + _NONCE_BYTES], data[_NONCE + _NONCE_BYTES :], place)
        except (InvalidTag, ValueError) as error:
            raise CorruptRecord("a value was not encrypted for its place") from error


class Encryption(Enum):
    """How an `EncryptedStore` treats values that are not encrypted."""

    REQUIRE = "require"
    """Rejects them, so that write access to the store is not enough to plant values. Older plain sessions are rejected
    too."""
    WRITE = "write"
    """Reads both and writes encrypted values: while encryption is turned on or off. Plain values can be planted."""
    READ = "read"
    """Reads both and writes plain values: beside nodes that have no keys yet, or no longer."""


class EncryptedStore(StoreWrapper):
    """`store`, with every value encrypted by the first of `keys` (32 bytes each).

    A record that was changed, moved, given to another owner or never encrypted is corrupt: quarantined and absent. A
    record encrypted with a key that this node lacks is *unknown* (`UnknownKey`), since another node has the key. Where
    `encryption` reads both forms, a plain value is accepted too, but not a changed one.

    An update takes one round trip more, and two where it applies, if a compared value is stored in another form than
    this node writes: encrypted with an older key, or plain instead of encrypted or the reverse. So does `retire`. Marks
    are sealed already, and pass unchanged.
    """

    def __init__(
        self,
        store: Store,
        keys: Sequence[bytes],
        encryption: Encryption | Literal["require", "write", "read"] = Encryption.REQUIRE,
    ) -> None:
        check_store(store)
        if not isinstance(keys, list | tuple) or not all(isinstance(key, bytes) for key in keys):
            raise TypeError("keys must be a tuple of bytes, such as (bytes.fromhex(key),)")  # without the secret value
        encryption = to_choice("encryption", encryption, Encryption, {})
        if not keys:
            raise ValueError("keys must have at least one encryption key")
        if type(store.cookie) is not SignedCookie:
            raise ValueError("sessions shared with another application can't be encrypted: it can't decrypt them")
        super().__init__(store)
        self._encryption = encryption
        self._ciphers = {cipher.id: cipher for cipher in map(FieldCipher, keys)}
        self._first = next(iter(self._ciphers.values()))
        self._one_form = len(keys) == 1 and encryption is Encryption.REQUIRE

    def load(self, key: str) -> Record | SessionMark | None:
        return self._load(key)[1]

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        return self.wraps.create(key, self._encrypt_session(key, fields, owner), owner, lifetime, created)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        expect = {
            name: None if value is None else self._encrypt(key, name, value)
            for name, value in changes.expect.items()
            if name != OWNER_PROOF  # expected to be missing by nodes that can't read it; this one can
        }
        encrypted = replace(changes, set=self._encrypt_fields(key, changes.set), expect=expect)
        outcome = self.wraps.update(key, encrypted, lifetime)
        if outcome is Outcome.CONFLICT and not self._one_form:
            return self._update_other_form(key, changes, encrypted, lifetime)
        return outcome

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        if expect is None:
            return self.wraps.retire(key, mark)
        encrypted = replace(expect, fields=self._encrypt_session(key, expect.fields, expect.owner))
        outcome = self.wraps.retire(key, mark, encrypted)
        if outcome is Outcome.CONFLICT and not self._one_form:
            stored, plain = self._load(key)
            if isinstance(stored, Record) and isinstance(plain, Record) and plain.fields == expect.fields:
                return self.wraps.retire(key, mark, stored)  # the conflict was only one of form
        return outcome

    def stored_size(self, fields: Mapping[str, bytes], owner: str | None) -> int:
        size = encoded_size(fields)
        if self._encryption is Encryption.READ:
            return size
        proof = 0 if owner is None else len(OWNER_PROOF) + OVERHEAD + len(_to_bytes(owner))
        return size + OVERHEAD * len(fields) + proof

    def _update_other_form(self, key: str, changes: Changes, encrypted: Changes, lifetime: Lifetime) -> Outcome:
        """Apply the update where the conflict is only one of form: an older key, or another `Encryption`."""
        record, plain = self._load(key)
        if not (isinstance(record, Record) and isinstance(plain, Record)):
            return Outcome.ABSENT if record is None else Outcome.ENDED
        if any(plain.fields.get(name) != changes.expect[name] for name in encrypted.expect):
            return Outcome.CONFLICT
        expect = {name: record.fields.get(name) for name in encrypted.expect}
        return self.wraps.update(key, replace(encrypted, expect=expect), lifetime)

    def _encrypt_session(self, key: str, fields: Mapping[str, bytes], owner: str | None) -> dict[str, bytes]:
        """Return all fields of a session of this owner, encrypted, with the proof of its owner."""
        encrypted = self._encrypt_fields(key, fields)
        if owner is not None and self._encryption is not Encryption.READ:
            encrypted[OWNER_PROOF] = self._encrypt(key, OWNER_PROOF, _to_bytes(owner))
        return encrypted

    def _encrypt_fields(self, key: str, fields: Mapping[str, bytes]) -> dict[str, bytes]:
        if OWNER_PROOF in fields:
            raise ValueError(f"{OWNER_PROOF} is a reserved field and can't be written")
        return {name: self._encrypt(key, name, value) for name, value in fields.items()}

    def _encrypt(self, key: str, name: str, value: bytes) -> bytes:
        return value if self._encryption is Encryption.READ else self._first.encrypt(value, _to_place(key, name))

    def _load(self, key: str) -> tuple[_Found, _Found]:
        """Return what the store has, as it is and decrypted."""
        return read_record(self.wraps, key, lambda: self._read(key)) or (None, None)

    def _read(self, key: str) -> tuple[_Found, _Found]:
        """Ask the store once. Raises `CorruptRecord`."""
        found = self.wraps.load(key)
        if not isinstance(found, Record):
            return found, found
        try:
            fields = {name: self._decrypt(key, name, value) for name, value in found.fields.items()}
            self._check_owner(found.owner, fields.pop(OWNER_PROOF, None))
        except CorruptRecord as error:
            raise CorruptRecord(str(error), (found.fields, found.owner)) from error
        return found, replace(found, fields=fields)

    def _decrypt(self, key: str, name: str, value: bytes) -> bytes:
        if not is_encrypted(value):
            if self._encryption is Encryption.REQUIRE:
                raise CorruptRecord("a value is not encrypted")
            return value
        cipher = self._ciphers.get(value[len(ENCRYPTED) : _NONCE])
        if cipher is None:
            raise UnknownKey(f"session {self.cookie.to_hash(key)} is encrypted with a key that this node does not have")
        return cipher.decrypt(value, _to_place(key, name))

    def _check_owner(self, owner: str | None, proof: bytes | None) -> None:
        """Raise `CorruptRecord` for another owner. A record without proof is accepted where plain values are."""
        if proof is None and self._encryption is not Encryption.REQUIRE:
            return
        if proof != (None if owner is None else _to_bytes(owner)):
            raise CorruptRecord("it was created for another owner")


def _to_bytes(owner: str) -> bytes:
    return owner.encode("utf-8", "surrogatepass")


def _to_place(key: str, name: str) -> bytes:
    return f"{key}\0{name}".encode()
