"""What is in the file of a session: `SC`, the version, a digest of the rest, then MessagePack."""

from __future__ import annotations

import hashlib

import msgspec

from ..store import LATEST, Lifetime, RecordTooNew

_MAGIC = b"SC"
FORMAT = 1
_DIGEST_BYTES = 16
_HEADER = len(_MAGIC) + 1 + _DIGEST_BYTES


class DamagedFile(ValueError):
    """The file is not what was written: truncated, changed, or somebody else's."""


class Saved(msgspec.Struct, array_like=True, frozen=True):
    """A session in its file. Times are in seconds since the epoch."""

    fields: dict[str, bytes]
    owner: str | None
    created: float
    expires: float
    final: bool


def lasting(fields: dict[str, bytes], owner: str | None, created: float, now: float, lifetime: Lifetime) -> Saved:
    """A session that was used `now`, with what is left of its lifetime."""
    idle, absolute = now + lifetime.idle, created + lifetime.absolute
    return Saved(fields, owner, created, min(idle, absolute), absolute <= idle)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Saved)


def pack(saved: Saved) -> bytes:
    """The bytes of the file."""
    data = _encoder.encode(saved)
    return b"".join((_MAGIC, bytes([FORMAT]), _digest(data), data))


def unpack(data: bytes) -> Saved:
    """The session in these bytes. `DamagedFile` where there is none, `RecordTooNew` where a later version wrote it."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER:
        raise DamagedFile("it does not begin as the file of a session does")
    version = data[len(_MAGIC)]
    if version > FORMAT:
        raise RecordTooNew(f"the file of a session is of format {version}; this version reads {FORMAT}")
    if version != FORMAT or _digest(data[_HEADER:]) != data[_HEADER - _DIGEST_BYTES : _HEADER]:
        raise DamagedFile("its digest is not that of what it holds")
    try:
        saved = _decoder.decode(data[_HEADER:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedFile(str(error)) from error
    if not 0 <= saved.created < LATEST:
        raise DamagedFile("it was created at no time")
    return saved


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
