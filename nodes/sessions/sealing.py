"""One value sealed: encrypted with AES-256-GCM for the one place that it is for, which is a field of a record.

What is stored of a value is

    0xE1, id of the encryption key (4 bytes), nonce (12 bytes), ciphertext and tag (16 bytes more than the value)

The nonce is computed (HMAC-SHA-256 over record, field and value, with a key of its own) instead of drawn, so that equal
values have equal bytes and compare-and-set works unseen by the store. It repeats no sooner than a drawn one would; all
that it tells is that a field has a value that it had before.

No value of `MsgpackCodec` can be taken for a sealed one: there 0xE1 is the number -31, whole in one byte, and nothing
may follow it. Nor can one of JSON, none of whose values begins with that byte.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .store import CorruptRecord

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
