"""The JSON in which express-session keeps a session: `cookie`, and beside it the keys of the application.

    {"cookie": {"originalMaxAge": 3600000, "expires": "2026-11-23T07:13:56.386Z", "httpOnly": true, "path": "/"},
     "user": "alice", "visits": 3, "_created": 1795850000000}

The library's own keys are: the owner, a string under `user` (or another key); `_created`, the time at which this side
created the session (milliseconds); `_final`, true if the absolute timeout ends it; `_cookie`, the date of its end. A
field of the application with one of these names, or one that begins with `~`, gets a `~` before it, so that assigning
`session["user"]` is not a login. The field `_cookie` of a new session also holds the attributes of the cookie
(`SharedStore`); they go into `cookie`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...codec import DecodeError
from ...fields import COOKIE_KEY
from ...store import LATEST, LONGEST, Changes, CorruptRecord, Lifetime, Record
from ...values import MAX_DEPTH, to_text

MAX_SAFE_INTEGER = 2**53 - 1
"""Number.MAX_SAFE_INTEGER: JavaScript rounds larger integers, and would write them back rounded."""
UNKNOWN_AGE = 3600.0
"""The age of a session that Express made, in seconds, until our side first writes it: too old for a fresh login, and
young enough for the absolute timeout."""
_RESERVED = ("_created", "_final", COOKIE_KEY)


class JsonCodec:
    """Values as JSON that both sides read: None, bool, numbers, str, list, and dict with keys of text.

    JSON has one kind of sequence and one of text: tuples come back as lists, Markup and other strings as str.
    """

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def encode(self, value: Any) -> bytes:
        """Return JSON. Raises TypeError for bytes, NaN, integers above 2^53: JavaScript would read another value."""
        try:
            return self._encoder.encode(_to_json(value, MAX_DEPTH))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"a session that Express shares can't hold this value: {error}") from error

    def decode(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            raise DecodeError(str(error)) from error


def _to_json(value: Any, depth: int) -> Any:
    """Return the value with types of JSON alone. Raises TypeError and ValueError for what JavaScript would not read."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number in JSON")
        return float(value)
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise ValueError(f"{value} is larger than JavaScript's integers")
        return int(value)
    if depth < 0:
        raise TypeError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return [_to_json(each, depth - 1) for each in value]
    if isinstance(value, dict):
        return {_to_json_key(key): _to_json(each, depth - 1) for key, each in value.items()}
    if (text := to_text(value)) is not None:
        return str(text)
    raise TypeError(f"{type(value).__name__} is not a type of JSON")


def _to_json_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{key!r}: keys must be text")
    return str.__str__(key)


_CODEC = JsonCodec()


@dataclass(slots=True)
class Document:
    """One session. `values` are the bytes of each top-level key as they were read, so that keys that are not changed
    keep their bytes. Times are seconds since the epoch, by the clock of Redis."""

    values: dict[str, bytes]
    cookie: dict[str, Any]
    owner_field: str

    @classmethod
    def parse(cls, data: bytes, owner_field: str) -> Document:
        """Parse the JSON of a session. Raises `CorruptRecord` where express-session itself would fail."""
        try:
            raws = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            cookie = msgspec.json.decode(raws.pop("cookie"), type=dict[str, Any])
        except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
            raise CorruptRecord(f"it is not the JSON of a session: {error}", data) from error
        return cls({name: bytes(raw) for name, raw in raws.items()}, cookie, owner_field)

    @classmethod
    def make(cls, fields: Mapping[str, bytes], owner: str | None, owner_field: str) -> Document:
        """Return the document of a new session; `expire` completes it."""
        document = cls({}, make_cookie({}), owner_field)
        if owner is not None:
            document.values[owner_field] = _CODEC.encode(owner)
        document._set(fields)
        return document

    def dump(self) -> bytes:
        """Return the JSON, `cookie` first."""
        values = {name: msgspec.Raw(value) for name, value in self.values.items()}
        return msgspec.json.encode({"cookie": self.cookie} | values)

    @property
    def owner(self) -> str | None:
        """The user that is logged in, if the owner's key holds a text."""
        owner = _value(self.values.get(self.owner_field))
        return owner if isinstance(owner, str) else None

    def created_or(self, default: float) -> float:
        """Return when this side created the session; `default` for Express's sessions and times out of range."""
        milliseconds = _positive(_value(self.values.get("_created")), below=LATEST * 1000)
        return default if milliseconds is None else milliseconds / 1000

    @property
    def final(self) -> bool:
        return "_final" in self.values

    def to_record(self, ttl: float, now: float) -> Record:
        """Return the record of a session that expires in `ttl` seconds."""
        return Record(self.fields(), self.owner, self.created_or(now - UNKNOWN_AGE), ttl, self.final)

    def fields(self) -> dict[str, bytes]:
        """Return the application's fields. A value that can't be read stays in the document, and is not among them."""
        fields = {}
        for name, raw in self.values.items():
            if name in _RESERVED or (name == self.owner_field and self.owner is not None):
                continue
            try:
                fields[name.removeprefix("~")] = _CODEC.encode(_CODEC.decode(raw))
            except (DecodeError, TypeError):
                continue
        if own := self._own_cookie():
            fields[COOKIE_KEY] = _CODEC.encode(own)
        return fields

    def _own_cookie(self) -> dict[str, float | None] | None:
        own = _value(self.values.get(COOKIE_KEY))
        if isinstance(own, dict):
            return _own_lifetime(own)
        milliseconds = _positive(self.cookie.get("originalMaxAge"))
        return None if milliseconds is None else {"max_age": _clamp_age(milliseconds / 1000), "expires": None}

    def apply(self, changes: Changes) -> None:
        """Delete and set fields of the application."""
        for name in changes.delete:
            if name == COOKIE_KEY:
                self.cookie["originalMaxAge"] = None
            self.values.pop(self._escape(name), None)
        self._set(changes.set)

    def _set(self, fields: Mapping[str, bytes]) -> None:
        """Set fields of the application, and with `_cookie` the cookie that Express sends; see `SharedStore`."""
        for name, value in fields.items():
            if name == COOKIE_KEY:
                attributes = _value(value)
                self._set_cookie(attributes if isinstance(attributes, dict) else {})
            else:
                self.values[self._escape(name)] = value

    def _set_cookie(self, attributes: dict[str, Any]) -> None:
        if "path" in attributes:
            self.cookie = make_cookie(attributes)
        own = _own_lifetime(attributes)
        self.cookie["originalMaxAge"] = None if own["max_age"] is None else round(own["max_age"] * 1000)
        self.values.pop(COOKIE_KEY, None)
        if own["expires"] is not None:
            self.values[COOKIE_KEY] = msgspec.json.encode(own)

    def _escape(self, name: str) -> str:
        """Return the key of a field of the application."""
        if name == COOKIE_KEY:
            return name
        return f"~{name}" if name in {"cookie", self.owner_field, *_RESERVED} or name.startswith("~") else name

    def expire(self, lifetime: Lifetime, created: float, now: float) -> int:
        """Set the times of the session's creation and end. Return how many milliseconds are left.

        A cookie's maxAge is the only idle timeout that Express knows, so it replaces the idle timeout here too. The
        cookie's `expires` is set only if the cookie has a maxAge or the session has an end of its own.
        """
        self.values["_created"] = b"%d" % round(created * 1000)
        age = _positive(self.cookie.get("originalMaxAge"))
        idle, absolute = (lifetime.idle if age is None else age / 1000), created + lifetime.absolute - now
        ttl = min(idle, absolute)
        date = datetime.fromtimestamp(now + ttl, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        has_end = self.cookie.get("originalMaxAge") or COOKIE_KEY in self.values
        self.cookie["expires"] = date if has_end else None
        self.values.pop("_final", None)
        if absolute <= idle:
            self.values["_final"] = b"true"
        return int(ttl * 1000)


def make_cookie(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record's `cookie` with these attributes (see `SharedStore`), without an end.

    The order is that of express-session, which omits attributes that are not set.
    """
    cookie = {
        "originalMaxAge": None,
        "partitioned": attributes.get("partitioned") or None,
        "priority": attributes.get("priority"),
        "expires": None,
        "secure": attributes.get("secure"),
        "httpOnly": attributes.get("http_only", True),
        "domain": attributes.get("domain"),
        "path": attributes.get("path", "/"),
        "sameSite": attributes.get("same_site"),
    }
    return {name: value for name, value in cookie.items() if value is not None or name in {"originalMaxAge", "expires"}}


def _own_lifetime(own: Mapping[str, Any]) -> dict[str, float | None]:
    """Return `max_age` (seconds without use) and `expires` (seconds since the epoch), each None if not valid."""
    expires = _positive(own.get("expires"), below=LATEST)
    return {"max_age": _clamp_age(own.get("max_age")), "expires": expires}


def _positive(value: Any, below: float = MAX_SAFE_INTEGER + 1) -> float | None:
    """Return the number if it is above 0 and below `below`, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 < value < below else None


def _clamp_age(seconds: Any) -> float | None:
    """Return the age, at most `LONGEST`, since Express has no limit; None for what is not an age."""
    positive = _positive(seconds)
    return None if positive is None else min(positive, LONGEST)


def _value(raw: bytes | None) -> Any:
    try:
        return msgspec.json.decode(raw) if raw is not None else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
