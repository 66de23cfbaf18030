"""The signed cookie with the session's id, `<id>.<signature>`, and the protocol of cookie formats.

The signature (HMAC-SHA256 over the exact text of the id, base64url without padding) lets a node refuse a forged cookie
without a round trip to the store. It is read from the raw Cookie header and compared as text: a value that is quoted,
padded, decorated or sent twice is not the one that was set, and is refused.

Whether a response sets the cookie is decided in `state.py` (`commit`), and its header is written in `extension.py`
(`set_cookie`).
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
    """The cookie's value for an id, and the store's key for it."""

    is_shared: bool
    """Whether an application on another framework reads the cookie and its session too. It expects the cookie under
    exactly its name, so no prefix is added, and it sends the cookie again as the session says."""

    def is_canonical(self, session_id: str) -> bool:
        """Return whether `session_id` has the form of an id."""
        ...

    def to_key(self, session_id: str) -> str:
        """Return the store's key for an id."""
        ...

    def to_hash(self, key: str) -> str:
        """Return the SHA-256 of the id for a key of the store, as logs and signals name the session."""
        ...

    def sign(self, session_id: str, secret: bytes) -> str:
        """Return the cookie's value for an id."""
        ...

    def verify(self, value: str, secrets: Iterable[bytes]) -> str | None:
        """Return the id in the cookie's value, or None where no secret signed exactly this text. Never raises."""
        ...


def hash_id(session_id: str) -> str:
    """Return the SHA-256 of an id in 64 hexadecimal digits."""
    return hashlib.sha256(session_id.encode()).hexdigest()


class SignedCookie:
    """The library's own format. An id has 16 to 128 characters of the base64url alphabet; its SHA-256 is the key."""

    is_shared = False

    def is_canonical(self, session_id: str) -> bool:
        return _ID.match(session_id) is not None

    def to_key(self, session_id: str) -> str:
        return hash_id(session_id)

    def to_hash(self, key: str) -> str:
        return key

    def sign(self, session_id: str, secret: bytes) -> str:
        return f"{session_id}.{_signature(session_id, secret)}"

    def verify(self, value: str, secrets: Iterable[bytes]) -> str | None:
        if len(value) > _MAX_LENGTH:
            return None
        session_id, dot, signature = value.rpartition(".")
        if not dot or not signature.isascii() or not self.is_canonical(session_id):
            return None
        for secret in secrets:
            if hmac.compare_digest(_signature(session_id, secret), signature):
                return session_id
        return None


@lru_cache(maxsize=64)
def _hmac(secret: bytes) -> hmac.HMAC:
    """Return the HMAC of the constant prefix, which is half of the work of a signature. Callers copy it."""
    return hmac.new(secret, _CONTEXT, "sha256")


def _signature(session_id: str, secret: bytes) -> str:
    code = _hmac(secret).copy()
    code.update(session_id.encode("ascii"))
    return base64.urlsafe_b64encode(code.digest()).decode("ascii").rstrip("=")


def cookie_values(header: str, name: str) -> Sequence[str]:
    """Return every value that a Cookie header has under exactly this name, as sent.

    Only space and tab are stripped (RFC 6265, 5.4): no other white space before `__Host-` passes for the prefix.
    """
    if name not in header:
        return ()
    pairs = (pair.strip(" \t").partition("=") for pair in header.split(";"))
    return [value for key, _, value in pairs if key == name]
