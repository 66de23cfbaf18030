"""Values <-> bytes. Nothing here, or anywhere else in the session layer, ever unpickles."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class DecodeError(ValueError):
    """The bytes are not what the codec writes: damaged, truncated or somebody else's."""


class Codec(Protocol):
    """Turns one field's value into bytes and back."""

    def encode(self, value: Any) -> bytes:
        """The bytes of `value`, equal for equal values of the same types; TypeError where it can't be represented."""
        ...

    def decode(self, data: bytes) -> Any:
        """The value behind `data`; `DecodeError` where there is none."""
        ...


class MsgpackCodec:
    """MessagePack by msgspec: None, bool, int of 64 bits, float, str, bytes, list, dict, datetime and UUID as text.

    Tuples and sets come back as lists.
    """

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder()

    def encode(self, value: Any) -> bytes:
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"a session can't hold this value: {error}") from error

    def decode(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise DecodeError(str(error)) from error
