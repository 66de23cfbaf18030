"""Marks: what the key of a session keeps after a renewal or an end, so that nothing brings the session back.

The mark is for requests with the old id that are in flight, such as those of other tabs. A read finds nobody logged in.
A write is refused (`SessionEnded`), since a new session and its cookie would take the place of the renewed one in the
browser. A login goes on with the renewed session where that is the same user's; where nobody is logged in to it, the
login renews it. Its id is in the mark, sealed with the old id and a secret of the application: neither an old id alone
nor a dump of the store leads to it.

A session that was ended elsewhere leaves a mark that says so. Its browser has no newer cookie, so a request that finds
nobody logged in and then writes begins an anonymous session, which takes the mark: others find it renewed from then on.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from .persistence import SessionRecord

MAX_RENEWALS = 20
"""Maximum number of marks that are followed to the session that goes on."""
_CONTEXT = b"session-cluster successor v2\0"
_NONCE_BYTES, _TAG_BYTES, _MAX_ID_BYTES = 16, 16, 128


def find_successor(ended: SessionRecord) -> SessionRecord | None:
    """Return the session that a mark names, not loaded; None without one."""
    if ended.mark is None or ended.id is None:
        return None
    ids = (unseal(ended.mark.successor, ended.id, secret) for secret in ended.options.secret_bytes)
    session_id = next((each for each in ids if each is not None), None)
    if session_id is None:
        return None
    return SessionRecord(ended.store, ended.options, ended.request, session_id)


def seal(successor: str, old_id: str, secret: bytes) -> bytes:
    """Return the id of the session that goes on, encrypted with a key that `old_id` and `secret` make.

    A one-time pad and a MAC, of a key that no other seal has. The standard library is enough, so that sessions in plain
    text don't need `cryptography`.
    """
    nonce = os.urandom(_NONCE_BYTES)
    pad, tag_key = _keys(nonce, old_id, secret)
    sealed = nonce + _xor(successor.encode(), pad)
    return sealed + hmac.digest(tag_key, sealed, "sha256")[:_TAG_BYTES]


def unseal(sealed: bytes, old_id: str, secret: bytes) -> str | None:
    """Return the id in a mark; None where it was not sealed with these."""
    content, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
    pad, tag_key = _keys(content[:_NONCE_BYTES], old_id, secret)
    if not hmac.compare_digest(tag, hmac.digest(tag_key, content, "sha256")[:_TAG_BYTES]):
        return None
    return _xor(content[_NONCE_BYTES:], pad).decode()


def _keys(nonce: bytes, old_id: str, secret: bytes) -> tuple[bytes, bytes]:
    """Return the pad, as long as an id may be, and the key of the MAC."""
    key = hmac.digest(secret, _CONTEXT + nonce + old_id.encode(), "sha512")
    stream = hashlib.shake_256(key).digest(_MAX_ID_BYTES + 32)
    return stream[:_MAX_ID_BYTES], stream[_MAX_ID_BYTES:]


def _xor(text: bytes, pad: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(text, pad, strict=False))
