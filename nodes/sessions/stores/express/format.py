"""The JSON in which express-session keeps a session: `cookie`, and beside it whatever the application put there.

    {"cookie": {"originalMaxAge": 3600000, "expires": "2026-11-23T07:13:56.386Z", "httpOnly": true, "path": "/"},
     "user": "alice", "visits": 3, "_created": 1795850000000}

What is the session layer's here: the owner is the text under `user` (or another key), `_created` when our side made the
session (milliseconds), `_final` that its absolute timeout decides, `_cookie` an end at a date. A field of the
application's with one of these names, or one that begins with `~`, gets a `~` before it, so nobody logs in by assigning
`session["user"]`. The field `_cookie` of a new session holds the
attributes of the cookie as well (`SharedStore`); they go into `cookie`.


----

What the stores that share sessions with Express have in common: how one is made, read and changed, wherever it lies.

A store reads the JSON, asks `Documents` what a change makes of it, and swaps that in where the other side wrote nothing
meanwhile; else it begins again (`until_swapped`). So a change is merged key by key, and no writer is overwritten.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...codec import DecodeError
from ...cookie import hash_id
from ...fields import COOKIE_KEY
from ...store import LONGEST, Changes, CorruptRecord, Lifetime, Outcome, Record, StoreUnavailable, encoded_size

MAX_SAFE_INTEGER = 2**53 - 1
"""Number.MAX_SAFE_INTEGER: JavaScript would round what is larger, and write it back so."""
_LATEST = 253_402_300_800_000
"""The end of the year 9999, in ms: no date is later."""
_OURS = ("_created", "_final", COOKIE_KEY)


class _Cookie(msgspec.Struct, rename="camel"):
    """What express-session writes of a cookie, in its order. It leaves out what nobody chose."""

    original_max_age: int | None = None
    partitioned: bool | msgspec.UnsetType = msgspec.UNSET
    priority: str | msgspec.UnsetType = msgspec.UNSET
    expires: str | None = None
    secure: bool | msgspec.UnsetType = msgspec.UNSET
    http_only: bool = True
    domain: str | msgspec.UnsetType = msgspec.UNSET
    path: str = "/"
    same_site: str | msgspec.UnsetType = msgspec.UNSET


class JsonCodec:
    """Values as JSON, for both sides to read: None, bool, numbers, str, list, and dict with keys of text."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def encode(self, value: Any) -> bytes:
        """TypeError for what JavaScript would read as something else, such as bytes, NaN and integers beyond 2^53."""
        try:
            _check(value)
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"a session that Express shares can't hold this value: {error}") from error

    def decode(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            raise DecodeError(str(error)) from error


def _check(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number in JSON")
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        raise ValueError(f"{value} is larger than JavaScript's integers")
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            _check(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{key!r}: keys must be text")
            _check(each)
    elif value is not None and not isinstance(value, bool | int | float | str):
        raise TypeError(f"{type(value).__name__} is not a type of JSON's")


@dataclass(slots=True)
class Document:
    """One session. `values` are the bytes of each top-level key as they were found, so that what is not changed stays
    byte for byte."""

    values: dict[str, bytes]
    cookie: dict[str, Any]
    owner_field: str

    @classmethod
    def parse(cls, data: bytes, owner_field: str) -> Document:
        """`CorruptRecord` where express-session itself would fail on it."""
        try:
            raws = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            cookie = msgspec.json.decode(raws.pop("cookie"), type=dict[str, Any])
        except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
            raise CorruptRecord(f"it is not the JSON of a session: {error}") from error
        return cls({name: bytes(raw) for name, raw in raws.items()}, cookie, owner_field)

    def dump(self) -> bytes:
        """The JSON, `cookie` first."""
        values = {name: msgspec.Raw(value) for name, value in self.values.items()}
        return msgspec.json.encode({"cookie": self.cookie} | values)

    @property
    def owner(self) -> str | None:
        """Who is logged in, if the owner's key holds a text."""
        owner = _value(self.values.get(self.owner_field))
        return owner if isinstance(owner, str) else None

    @property
    def created(self) -> float | None:
        """When our side made it, in seconds since the epoch; None: Express did, or it says nothing that can be."""
        milliseconds = _positive(_value(self.values.get("_created")), below=_LATEST)
        return None if milliseconds is None else milliseconds / 1000

    @property
    def final(self) -> bool:
        return "_final" in self.values

    @property
    def max_age(self) -> float | None:
        """Express's `originalMaxAge`, in ms: below 0 it is over; None, as 0 there: it has none of its own."""
        return _number(self.cookie.get("originalMaxAge")) or None

    def fields(self, codec: JsonCodec) -> dict[str, bytes]:
        """The application's, as `codec` writes them. A value that it can't read stays where it is, unseen."""
        found = {}
        for name, raw in self.values.items():
            if name in _OURS or (name == self.owner_field and self.owner is not None):
                continue
            try:
                found[name.removeprefix("~")] = codec.encode(codec.decode(raw))
            except (DecodeError, TypeError):
                continue
        if own := self._own_cookie():
            found[COOKIE_KEY] = codec.encode(own)
        return found

    def _own_cookie(self) -> dict[str, float | None] | None:
        own = _value(self.values.get(COOKIE_KEY))
        if isinstance(own, dict):
            return _life_in(own)
        milliseconds = _positive(self.cookie.get("originalMaxAge"))
        return None if milliseconds is None else {"max_age": _age(milliseconds / 1000), "expires": None}

    def set(self, fields: Mapping[str, bytes]) -> None:
        """Sets fields of the application's, and with `_cookie` what Express goes by; see `SharedStore`."""
        for name, value in fields.items():
            if name == COOKIE_KEY:
                told = _value(value)
                self._set_cookie(told if isinstance(told, dict) else {})
            else:
                self.values[self.escape(name)] = value

    def _set_cookie(self, told: dict[str, Any]) -> None:
        if "path" in told:
            self.cookie = cookie_of(told)
        own = _life_in(told)
        self.cookie["originalMaxAge"] = None if own["max_age"] is None else round(own["max_age"] * 1000)
        self.values.pop(COOKIE_KEY, None)
        if own["expires"] is not None:
            self.values[COOKIE_KEY] = msgspec.json.encode(own)

    def delete(self, name: str) -> None:
        if name == COOKIE_KEY:
            self.cookie["originalMaxAge"] = None
        self.values.pop(self.escape(name), None)

    def escape(self, name: str) -> str:
        """The key of a field of the application's."""
        if name == COOKIE_KEY:
            return name
        return f"~{name}" if name in {"cookie", self.owner_field, *_OURS} or name.startswith("~") else name

    def expire(self, now: float, ttl: float, final: bool) -> None:
        """Writes down that it expires in `ttl` seconds: in the cookie only where the cookie has an end."""
        date = datetime.fromtimestamp(now + ttl, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        has_end = self.cookie.get("originalMaxAge") or COOKIE_KEY in self.values
        self.cookie["expires"] = date if has_end else None
        self.values.pop("_final", None)
        if final:
            self.values["_final"] = b"true"


def cookie_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The record's `cookie`, with the attributes that `SharedStore` tells of, and without an end."""
    names = {"partitioned", "priority", "secure", "http_only", "domain", "path", "same_site"}
    chosen = {name: told[name] for name in names & told.keys() if told[name] is not None}
    if not chosen.get("partitioned"):
        chosen.pop("partitioned", None)
    cookie: dict[str, Any] = msgspec.to_builtins(_Cookie(**chosen))
    return cookie


def _life_in(own: Mapping[str, Any]) -> dict[str, float | None]:
    """Seconds without use, and a date; None for what is none."""
    expires = _positive(own.get("expires"), below=_LATEST / 1000)
    return {"max_age": _age(own.get("max_age")), "expires": expires}


def _positive(value: Any, below: float = MAX_SAFE_INTEGER) -> float | None:
    """The number, where it is one that a time can be."""
    number = _number(value)
    return number if number is not None and 0 < number < below else None


def _age(seconds: Any) -> float | None:
    """Express takes any; to our side a longer one is the longest."""
    positive = _positive(seconds)
    return None if positive is None else min(positive, LONGEST)


def _number(value: Any) -> float | None:
    """The number, where it is one that JavaScript can count with."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) <= MAX_SAFE_INTEGER else None


def _value(raw: bytes | None) -> Any:
    try:
        return msgspec.json.decode(raw) if raw is not None else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


log = logging.getLogger("nodes.sessions")

UNKNOWN_AGE = 3600.0
"""How old a session of Express's counts as, in seconds, until our side first writes it: too old for a fresh login, and
young enough for the absolute timeout."""
MAX_SWAPS = 100


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be stored: the document, and in `milliseconds` what is left to the session; none: it is over.

    `is_touch` says that the document says nothing new but when it ends.
    """

    document: Document
    milliseconds: int
    is_touch: bool = False


class Documents:
    """The sessions of one store; `owner_field` is the key in which Express keeps who is logged in.

    Times are seconds since the epoch by the clock of whatever keeps them.
    """

    def __init__(self, owner_field: str) -> None:
        self.codec = JsonCodec()
        self._owner_field = owner_field

    def parse(self, data: bytes) -> Document:
        """`CorruptRecord` where there is no session in it."""
        return Document.parse(data, self._owner_field)

    def made(
        self, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None, now: float
    ) -> tuple[Merged, float]:
        """A new session, and when it was created; `created` None: now."""
        created = int((now if created is None else created) * 1000 + 0.001) / 1000
        document = Document({}, cookie_of({}), self._owner_field)
        if owner is not None:
            document.values[self._owner_field] = self.codec.encode(owner)
        document.set(fields)
        return Merged(document, _expire(document, lifetime, created, now)), created

    def merged(self, document: Document, changes: Changes, lifetime: Lifetime, now: float) -> Merged | Outcome:
        """`document` with `changes` in it, or why there is nothing to store."""
        created = document.created
        if created is None:
            created = now - min(UNKNOWN_AGE, lifetime.absolute / 2)
        fields = document.fields(self.codec)
        if any(fields.get(name) != expected for name, expected in changes.expect.items()):
            return Outcome.CONFLICT
        if changes.set and changes.max_bytes is not None and encoded_size(changes.apply_to(fields)) > changes.max_bytes:
            return Outcome.TOO_LARGE
        was_final = document.final
        for name in changes.delete:
            document.delete(name)
        document.set(changes.set)
        milliseconds = _expire(document, lifetime, created, now)
        is_touch = not (changes.set or changes.delete) and document.final == was_final
        return Merged(document, milliseconds, is_touch)

    def record(self, document: Document, ttl: float, now: float) -> Record:
        """What the session layer sees of it, with `ttl` seconds left."""
        created = document.created
        if created is None:
            created = now - UNKNOWN_AGE
        return Record(document.fields(self.codec), document.owner, created, ttl, document.final)


def until_swapped(attempt: Callable[[], Outcome | None]) -> Outcome:
    """The first outcome of `attempt`, which answers None where somebody wrote in between. `StoreUnavailable` where that
    goes on and on."""
    for _ in range(MAX_SWAPS):
        outcome = attempt()
        if outcome is not None:
            return outcome
    raise StoreUnavailable(f"gave up after {MAX_SWAPS} writers in between")


def log_damaged(key: str, why: CorruptRecord) -> None:
    """Names the hash: the key is an id."""
    log.error("session %s is corrupt and was quarantined: %s", hash_id(key), why)


def _expire(document: Document, lifetime: Lifetime, created: float, now: float) -> int:
    """The milliseconds that are left, which the document then says as well. Express knows no other idle timeout than a
    cookie's maxAge, so where the document has one, it is ours too."""
    document.values["_created"] = b"%d" % round(created * 1000)
    age = document.max_age or 0
    idle, absolute = (age / 1000 if age > 0 else lifetime.idle), created + lifetime.absolute - now
    ttl = min(idle, absolute)
    document.expire(now, ttl, final=absolute <= idle)
    return int(ttl * 1000)
