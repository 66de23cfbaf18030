"""The session's id in a signed cookie: `<id>.<signature>`, and the format of cookies as stores may choose it.

The signature (HMAC-SHA256 over the exact text of the id, base64url without padding) lets a node refuse a forged cookie
without asking the store. It is read from the raw Cookie header and compared as text: a value that is quoted, padded,
decorated or sent twice is not the one that was set, and is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol

_ID = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")
_CONTEXT = b"session-cluster cookie v1\0"
_SIGNATURE_LENGTH = 43
_MAX_LENGTH = 128 + 1 + _SIGNATURE_LENGTH


class CookieFormat(Protocol):
    """How an id travels in the cookie's value, and what it is to the store."""

    is_shared: bool
    """Whether an application of another kind reads the cookie and its session too. It looks for the cookie by the name
    that it was given, so no prefix is put before it, and it sends the cookie again as the session says."""

    def is_canonical(self, session_id: str) -> bool:
        """Whether this can be an id."""
        ...

    def key_of(self, session_id: str) -> str:
        """The store's key of this id."""
        ...

    def hash_of(self, key: str) -> str:
        """What logs and signals call the session under this key of the store: the SHA-256 of its id."""
        ...

    def sign(self, session_id: str, secret: bytes) -> str:
        """The cookie's value for this id."""
        ...

    def verify(self, value: str, secrets: Iterable[bytes]) -> str | None:
        """The id in the cookie's value, or None where no secret signed exactly this text. Never raises."""
        ...


def is_canonical(session_id: str) -> bool:
    """Whether this can be an id: 16 to 128 characters of the base64url alphabet."""
    return _ID.match(session_id) is not None


def key_of(session_id: str) -> str:
    """The store's key of this id: its SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(session_id.encode()).hexdigest()


@lru_cache(maxsize=64)
def _begun(secret: bytes) -> hmac.HMAC:
    """The beginning of every signature with this secret: half of the work."""
    return hmac.new(secret, _CONTEXT, "sha256")


def _signature(session_id: str, secret: bytes) -> str:
    begun = _begun(secret).copy()
    begun.update(session_id.encode("ascii"))
    digest = begun.digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def sign(session_id: str, secret: bytes) -> str:
    """The cookie's value for this id."""
    return f"{session_id}.{_signature(session_id, secret)}"


def verify(value: str, secrets: Iterable[bytes]) -> str | None:
    """The id in the cookie's value, or None where no secret signed exactly this text."""
    if len(value) > _MAX_LENGTH:
        return None
    session_id, dot, signature = value.rpartition(".")
    if not dot or not signature.isascii() or not is_canonical(session_id):
        return None
    for secret in secrets:
        if hmac.compare_digest(_signature(session_id, secret), signature):
            return session_id
    return None


class SignedCookie:
    """This project's own format: the functions above."""

    is_shared = False
    is_canonical = staticmethod(is_canonical)
    key_of = staticmethod(key_of)
    sign = staticmethod(sign)
    verify = staticmethod(verify)

    def hash_of(self, key: str) -> str:
        return key


def values_of(header: str, name: str) -> Sequence[str]:
    """Every value that a Cookie header carries under exactly this name, as sent.

    Only space and tab are stripped (RFC 6265, 5.4): no other white space before `__Host-` passes for the prefix.
    """
    if name not in header:
        return ()
    pairs = (pair.strip(" \t").partition("=") for pair in header.split(";"))
    return [value for key, _, value in pairs if key == name]
