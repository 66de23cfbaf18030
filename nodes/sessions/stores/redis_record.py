"""What a session looks like in Redis: a hash with each field under its name, and the metadata under `@`.

The metadata is `1:<created, ms since the epoch>:<f where final>:<owner>`; 1 is the format. A session's own field that
begins with `@` gets a second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..store import LATEST, Record, RecordTooNew

FORMAT = 1
"""The format of the records that the scripts write and change. Others they leave alone."""
META = b"@"


class DamagedRecordError(ValueError):
    """Not what this store writes."""


def flatten(fields: Mapping[str, bytes]) -> list[str | bytes]:
    """Name, value, name, value, ... as they are stored."""
    flat: list[str | bytes] = []
    for name, value in fields.items():
        flat += (escape(name), value)
    return flat


def escape(name: str) -> str:
    return f"@{name}" if name[:1] == "@" else name


def meta_of(key: str, meta: bytes | None) -> tuple[float, bool, str | None]:
    """When the session was created (seconds since the epoch), whether it is final, and its owner.

    Raises `RecordTooNew` for a later format and `DamagedRecordError` for anything else that is none.
    """
    try:
        version, created, final, owner = (meta or b"").split(b":", 3)
        if version == b"1":
            return _seconds(created), final == b"f", owner.decode() or None
    except ValueError as error:
        _refuse_later(key, meta)
        raise DamagedRecordError(f"its metadata can't be read: {error}") from error
    _refuse_later(key, meta)
    raise DamagedRecordError("its metadata is of no format")


def _seconds(created: bytes) -> float:
    """ValueError where that is no time."""
    milliseconds = int(created)
    if not 0 <= milliseconds < LATEST * 1000:
        raise ValueError("it was created at no time")
    return milliseconds / 1000


def _refuse_later(key: str, meta: bytes | None) -> None:
    version = (meta or b"").partition(b":")[0].lstrip(b"0")
    # Python refuses to read thousands of digits as a number; a longer number is a larger one.
    if version.isdigit() and (len(version) > 9 or int(version) > FORMAT):
        raise RecordTooNew(f"session {key} is of format {version[:10].decode()}; this version reads {FORMAT}")


def record_of(key: str, stored: dict[bytes, bytes], ttl: int) -> Record:
    """The record in a hash that is left to live for `ttl` ms. Raises as `meta_of` does."""
    created, final, owner = meta_of(key, stored.get(META))
    if ttl < 0:
        raise DamagedRecordError("it has no expiry")
    fields: dict[str, bytes] = {}
    try:
        for raw, value in stored.items():
            name = raw.decode()
            if name[:1] != "@":
                fields[name] = value
            elif name != "@":
                fields[name[1:]] = value
    except ValueError as error:
        raise DamagedRecordError(f"a name of it is no text: {error}") from error
    return Record(fields, owner, created, ttl / 1000, final)


def hash_of(answer: Any) -> dict[bytes, bytes]:
    """HGETALL's answer, which is a map in RESP3 and a flat list in RESP2 and from a script."""
    if isinstance(answer, dict):
        return answer
    return dict(zip(answer[::2], answer[1::2], strict=True))
