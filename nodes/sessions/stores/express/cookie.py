"""The cookie of Node's express-session: `s:<id>.<signature>`, percent-encoded.

The signature is base64 of HMAC-SHA256 (key: the secret, message: the id) without padding, encoded as JavaScript's
encodeURIComponent does. As in Express, `verify` also reads cookies that are not encoded, and splits at the last dot.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from ...cookie import hash_id

_PREFIX = "s:"
_SAFE = "!'()*-._~"
_MAX_ID = 128
_MAX_COOKIE = 1024
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class ExpressCookie:
    """A `CookieFormat`. The store's key is the id itself, because the other application looks there."""

    is_shared = True

    def is_canonical(self, session_id: str) -> bool:
        """Return whether this can be an id: 16 to 128 printable characters. Express makes ids of 32 characters."""
        return 16 <= len(session_id) <= _MAX_ID and session_id.isprintable()

    def to_key(self, session_id: str) -> str:
        """Return the id: anyone who reads the store can log in as any user, unlike with `RedisStore`."""
        return session_id

    def to_hash(self, key: str) -> str:
        return hash_id(key)

    def sign(self, session_id: str, secret: bytes) -> str:
        """Return the cookie's value for this id."""
        return quote(f"{_PREFIX}{session_id}.{_signature(session_id, secret)}", safe=_SAFE)

    def verify(self, value: str, secrets: Iterable[bytes]) -> str | None:
        """Return the id in the cookie's value, or None where no secret signed it."""
        if len(value) > _MAX_COOKIE:
            return None
        text = _decode(value)
        if text is None or not text.startswith(_PREFIX):
            return None
        session_id, dot, signature = text[len(_PREFIX) :].rpartition(".")
        if not dot or not self.is_canonical(session_id):
            return None
        for secret in secrets:
            if hmac.compare_digest(_signature(session_id, secret).encode(), signature.encode()):
                return session_id
        return None


def _decode(value: str) -> str | None:
    """Return the value decoded as by decodeURIComponent, unchanged where Express leaves it encoded, or None."""
    if "%" not in value:
        return value if value.isascii() else None
    if _BAD_ESCAPE.search(value):
        return value if value.isascii() else None
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeError:
        return None


def _signature(session_id: str, secret: bytes) -> str:
    digest = hmac.digest(secret, session_id.encode("utf-8"), "sha256")
    return base64.b64encode(digest).decode("ascii").rstrip("=")
