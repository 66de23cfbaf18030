"""The fields of a session that are the layer's own: typed, and apart from the application's.

They lie among the others at the store, where whoever can write there may have left anything under their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from .codec import Codec, DecodeError
from .options import SessionOptions
from .store import LATEST, LONGEST, Lifetime

CLIENT_KEY = "_client"
"""Where a login keeps the client's address and browser; see `SessionOptions.remember_client`."""
COOKIE_KEY = "_cookie"
"""Where a session keeps a `max_age` and `expires` of its own."""
OWNER_PROOF = "~owner"
"""Where an encrypted record holds its owner once more, encrypted: only `EncryptedStore` reads and writes it."""
OWN_KEYS = frozenset({CLIENT_KEY, COOKIE_KEY, OWNER_PROOF})
_BARE = {key.lstrip("~"): key for key in OWN_KEYS}

T = TypeVar("T")


class Life(msgspec.Struct, frozen=True):
    """A life of this session's own. None: as the options say."""

    max_age: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    """Seconds without use until it ends."""
    expires: Annotated[float, Meta(gt=0, lt=LATEST)] | None = None
    """When it ends at the latest, in seconds since the epoch."""

    def lifetime(self, options: SessionOptions, created: float | None) -> Lifetime:
        """Both timeouts of a session that was created then; the absolute one of the options bounds them."""
        absolute = options.absolute_timeout
        if self.expires is not None and created is not None:
            absolute = min(absolute, max(self.expires - created, 0.001))
        return Lifetime(options.idle_timeout if self.max_age is None else self.max_age, absolute)


class Client(msgspec.Struct, frozen=True):
    """Who logged in."""

    address: str | None = None
    browser: str | None = None


NO_LIFE = Life()


def typed(value: Any, kind: type[T]) -> T:
    """What a codec decoded, as a `kind`; `DecodeError` where it is none."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DecodeError(str(error)) from error


def check(fields: Mapping[str, bytes], codec: Codec) -> None:
    """`DecodeError` where a session can't be used with what is found in these fields."""
    if COOKIE_KEY in fields:
        typed(codec.decode(fields[COOKIE_KEY]), Life)


def field_of(key: str) -> str:
    """The name of the field that keeps the application's `key`: one that is called as one of ours has a `~` before it,
    and so has one that would then be called as that."""
    return f"~{key}" if _is_called_as_ours(key) else key


def application_key(field: str) -> str | None:
    """The application's key of a field; None for one of ours."""
    if field in OWN_KEYS:
        return None
    return field[1:] if field[:1] == "~" and _is_called_as_ours(field) else field


def _is_called_as_ours(name: str) -> bool:
    """Whether it is the name of one of our fields, after any number of `~`."""
    ours = _BARE.get(name.lstrip("~"))
    return ours is not None and name.endswith(ours)
