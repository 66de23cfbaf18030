"""The values of a session and their types: those of MessagePack, and extension types for others.

    1 tuple      2 Markup      3 UUID      4 datetime without a time zone      5 date      6 time      7 timedelta
    8 Decimal    9 set        10 frozenset    11 int beyond 64 bits    12 str with lone surrogates

A `datetime` with a time zone is MessagePack's own timestamp and comes back in UTC, as the equal point in time. A
subclass of one of the types is stored as that type. Lazy strings, such as those of Flask-Babel, are stored as str, and
other objects that have `__html__` as Markup, as Flask does.

A node of a version before these types reads such a value as `msgspec.msgpack.Ext` and keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from markupsafe import Markup
from msgspec import msgpack

from .checks import is_unicode, plain_text
from .store import UnsupportedRecordVersion

ATOMS = frozenset({str, int, float, bool, bytes, type(None)})
"""Types of MessagePack that hold no other values."""
MAX_DEPTH = 128
"""Maximum nesting, so that whatever was encoded can be decoded, however deep the caller's stack is."""
RESERVED_CODES = range(1, 32)
"""Extension types of this version and of later ones."""

_MOST_AT_ONCE = 100_000
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"
_encode = msgpack.Encoder().encode


def is_plain(value: Any) -> bool:
    """Return whether MessagePack keeps the value and its types, except for large ints and lone surrogates.

    False also for a value that is not worth looking through.
    """
    if type(value) is list and ATOMS.issuperset(map(type, value)):
        return True
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            kind = type(each)
            if kind is list:
                inner += each
            elif kind is dict and ATOMS.issuperset(map(type, each)):
                inner += each.values()
            elif kind not in ATOMS:
                return False
        if ATOMS.issuperset(map(type, inner)):
            return True
        if len(inner) > _MOST_AT_ONCE:  # perhaps a list that contains itself
            return False
        level = inner
    return False


def to_plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return the value with `Ext` objects for what MessagePack does not have. Raises TypeError for other types."""
    if value is None or isinstance(value, bool):
        return value
    if depth < 0:
        raise TypeError(_TOO_DEEP)
    if isinstance(value, dict):
        return {_to_key(key): to_plain(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [to_plain(each, depth - 1) for each in value]
    if isinstance(value, int):
        return int(value) if _MIN_INT <= value <= _MAX_INT else msgpack.Ext(11, _int_bytes(int(value)))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, tuple):
        return msgpack.Ext(1, _encode([to_plain(each, depth - 1) for each in value]))
    if isinstance(value, set | frozenset):
        return msgpack.Ext(9 if isinstance(value, set) else 10, _encode_set(value, depth - 1))
    if (text := to_text(value)) is not None:
        if isinstance(text, Markup):
            return msgpack.Ext(2, _utf8(text))
        return text if is_unicode(text) else msgpack.Ext(12, _utf8(text))
    return _scalar(value)


def from_ext(code: int, data: memoryview) -> Any:
    """Return the value of an extension type. Raises ValueError, or `UnsupportedRecordVersion` for a later one."""
    read = _READERS.get(code)
    if read is not None:
        return read(bytes(data))
    if code in RESERVED_CODES:
        raise UnsupportedRecordVersion(f"a value of the session has type {code}, which only later versions know")
    raise ValueError(f"{code} is not an extension type of a session's values")


def to_text(value: Any) -> str | None:
    """Return a string, or what stands for one, as str or Markup; None for anything else."""
    if isinstance(value, str):
        text = plain_text(value)
        return Markup(text) if isinstance(value, Markup) else text  # noqa: S704 - markup already
    if isinstance(value, type):
        return None
    if callable(getattr(value, "casefold", None)):  # a lazy string, which has the methods of the string it stands for
        return str(value)
    html = getattr(value, "__html__", None)
    return Markup(html()) if callable(html) else None  # noqa: S704 - its own markup


def _to_key(key: Any) -> Any:
    """Return a key of a dict, which has no extension types: Markup is stored as str. Raises TypeError."""
    if isinstance(key, tuple):
        return tuple(map(_to_key, key))
    if isinstance(key, str) or not hasattr(key, "__html__"):
        if (text := to_text(key)) is not None:
            if not is_unicode(text):
                raise TypeError(f"a key of a dict must be without lone surrogates, unlike {str(text)!r}")
            return str(text)
        if isinstance(key, int) and not _MIN_INT <= key <= _MAX_INT:
            raise TypeError("an int that is a key of a dict must have at most 64 bits")
        if key is None or isinstance(key, bool | int | float | bytes):
            return to_plain(key)
    raise TypeError(f"{type(key).__name__} is not a type of the keys of a dict, unlike str, int and bytes")


def _scalar(value: Any) -> Any:
    """Return the form of a value that holds no other values."""
    if isinstance(value, UUID):
        return msgpack.Ext(3, value.bytes)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            if value.tzinfo is not None:
                raise TypeError("a datetime must be without a time zone that has no offset")
            return msgpack.Ext(4, value.isoformat().encode())
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise TypeError("a datetime must be in the years 1 to 9999 in UTC") from None
        return datetime.fromisoformat(value.isoformat())
    if isinstance(value, date):
        return msgpack.Ext(5, value.isoformat().encode())
    if isinstance(value, time):
        if value.tzinfo is not None and value.utcoffset() is None:
            raise TypeError("a time must be without a time zone whose offset depends on the date")
        return msgpack.Ext(6, value.isoformat().encode())
    if isinstance(value, timedelta):
        return msgpack.Ext(7, _encode([value.days, value.seconds, value.microseconds]))
    if isinstance(value, Decimal):
        return msgpack.Ext(8, str(value).encode())
    raise TypeError(f"{type(value).__name__} is not a type that it can hold")


def _encode_set(value: Iterable[Any], depth: int) -> bytes:
    """Return the elements in the order of their bytes, so that equal sets have equal bytes."""
    elements = [to_plain(each, depth) for each in value]
    return _encode(sorted(elements, key=_encode))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, signed=True)


def _items(data: bytes) -> list[Any]:
    items = _decode(data)
    if not isinstance(items, list):
        raise ValueError(f"a list was expected, not {type(items).__name__}")  # noqa: TRY004 - corrupt, not misused
    return items


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_READERS: dict[int, Callable[[bytes], Any]] = {
    1: lambda data: tuple(_items(data)),
    2: lambda data: Markup(_text(data)),  # noqa: S704 - stored as markup
    3: lambda data: UUID(bytes=data),
    4: lambda data: datetime.fromisoformat(_text(data)),
    5: lambda data: date.fromisoformat(_text(data)),
    6: lambda data: time.fromisoformat(_text(data)),
    7: lambda data: timedelta(*_items(data)),
    8: lambda data: Decimal(_text(data)),
    9: lambda data: set(_items(data)),
    10: lambda data: frozenset(_items(data)),
    11: lambda data: int.from_bytes(data, signed=True),
    12: _text,
}
_decode = msgpack.Decoder(ext_hook=from_ext).decode
