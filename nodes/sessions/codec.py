"""Codecs: the values of fields as bytes. Nothing in the session library unpickles.

The form of an encrypted value is here and not in `encryption.py`, because a node without keys meets such values, too:
it must not take them for corrupt ones, whose session is quarantined.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from .store import UnknownKey
from .values import ATOMS, from_ext, is_plain, to_plain

ENCRYPTED = b"\xe1"
"""First byte of an encrypted value (`encryption.py`), and of no value that a codec writes.

In MessagePack it is the number -31, whole in one byte, and nothing may follow it. No JSON value begins with it.
"""
OVERHEAD = 33
"""Bytes by which an encrypted value is longer than the plain one; bounds on the size of a session count them."""


class DecodeError(ValueError):
    """The bytes are not what the codec writes: corrupt, truncated or from another program."""


class Codec(Protocol):
    """Encodes and decodes the value of one field."""

    def encode(self, value: Any) -> bytes:
        """Return the bytes of `value`, equal for equal values of the same types. Raises TypeError where it has none."""
        ...

    def decode(self, data: bytes) -> Any:
        """Return the value of `data`. Raises `DecodeError` where it has none, `UnknownKey` where it is encrypted."""
        ...


class MsgpackCodec:
    """MessagePack by msgspec, with the extension types of `values.py`."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ext_hook=from_ext).decode

    def encode(self, value: Any) -> bytes:
        try:
            if type(value) in ATOMS or is_plain(value):
                return self._encode(value)
        except (OverflowError, UnicodeEncodeError):
            pass
        try:
            return self._encode(to_plain(value))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"a session can't hold this value: {error}") from error

    def decode(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            if is_encrypted(data):
                raise UnknownKey("the session is encrypted, and this node has no key") from error
            raise DecodeError(str(error)) from error


def is_encrypted(data: bytes) -> bool:
    """Return whether `data` has the form of an encrypted value, which no codec writes."""
    return data.startswith(ENCRYPTED) and len(data) >= OVERHEAD
