"""The sessions of a user: a sorted set for each, which is written with a session and heals itself.

The set is a list of candidates, never the truth: each reading asks the sessions themselves. A logout leaves its member
behind (it does not know whose session it was, and has one round trip), so members die in three ways: whoever reads
the set removes the dead, every insertion removes the expired, and every 64th insertion has a look at 256 members. So a
user who logs in and out all day has a third more members than sessions, or 256. The set expires with its last member.

The order is index first, session second, so that no session is ever missing; a member that has no session yet is not
dead before a minute is over.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from ...store import CorruptRecord, Lifetime, StoreUnavailable, UnsupportedRecordVersion
from . import scripts
from .client import Calls
from .connection import Command
from .scripts import meta_of

LOOK_EVERY = 64
"""After so many insertions somebody looks for the dead among `LOOK_AT` members."""
LOOK_AT = 256
YOUNG_SECONDS = 60
MARGIN_MS = 60_000
"""A session outlives its member by no means: clocks of two servers of a cluster may differ by so much."""
_BATCH = 500
_KEY_BYTES = 32


class UserIndex:
    """The index of the sessions whose keys begin with `prefix`."""

    def __init__(self, calls: Calls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix

    def insertion(self, owner: str, key: str, lifetime: Lifetime, created_ms: int | str) -> Command:
        """What enters the session `key`; its answer is for `look_after`."""
        absolute = int(lifetime.absolute * 1000)
        return scripts.INDEX.call((self._name(owner),), bytes.fromhex(key), absolute, created_ms, MARGIN_MS)

    def look_after(self, owner: str, members: int) -> None:
        """After an insertion that left so many members: removes what it finds dead, if it is time to look.

        What fails here fails nobody: the next one looks again.
        """
        if members < LOOK_AT or members % LOOK_EVERY:
            return
        with contextlib.suppress(StoreUnavailable):
            sample: Command = ("ZRANDMEMBER", self._name(owner), LOOK_AT)
            self._alive(owner, self._calls.run([sample], idempotent=True)[0])

    def keys_of(self, owner: str) -> list[str]:
        """The keys of the user's live sessions, the oldest first. Two round trips; four where some had died: a session
        that is gone may have moved to a key that entered the set since."""
        found: dict[str, float] = {}
        seen: set[bytes] = set()
        while members := [member for member in self._members(owner) if member not in seen]:
            alive = self._alive(owner, members)
            found |= alive
            if len(alive) == len(members):
                break
            seen.update(members)
        return sorted(found, key=lambda key: found[key])

    def _members(self, owner: str) -> Sequence[bytes]:
        members: Sequence[bytes] = self._calls.run([("ZRANGE", self._name(owner), 0, -1)], idempotent=True)[0]
        return members

    def _alive(self, owner: str, members: Sequence[bytes]) -> dict[str, float]:
        """When those of them that are live sessions were created; the others are removed."""
        found: dict[str, float] = {}
        dead: list[bytes] = []
        for batch in _batches(members):
            asked: list[Command] = [("HGET", f"{self._prefix}{{{_key_of(member)}}}", "@") for member in batch]
            for member, meta in zip(batch, self._calls.send(asked, idempotent=True), strict=True):
                created = _created(_key_of(member), meta, owner)
                if created is None:
                    dead.append(member)
                else:
                    found[_key_of(member)] = created
        self._prune(owner, dead)
        return found

    def _prune(self, owner: str, dead: list[bytes]) -> None:
        for batch in _batches(dead):
            with contextlib.suppress(StoreUnavailable):  # what was asked is known; the dead can wait
                self._calls.run([scripts.PRUNE.call((self._name(owner),), YOUNG_SECONDS, *batch)])

    def _name(self, owner: str) -> str:
        """Any text can be an owner, and none can reach another key by its name."""
        return f"{self._prefix}of:{{{hashlib.sha256(owner.encode(errors='surrogatepass')).hexdigest()}}}"


def _key_of(member: bytes) -> str:
    return member[:_KEY_BYTES].hex()


def _created(key: str, meta: Any, owner: str) -> float | None:
    """When the session with this metadata was created, if it is one and the owner's; None otherwise."""
    if isinstance(meta, redis.ResponseError):
        if str(meta).startswith("WRONGTYPE"):
            return None
        raise StoreUnavailable(f"Redis: {meta}") from meta
    if meta is None:
        return None
    try:
        created, _, of = meta_of(key, meta)
    except UnsupportedRecordVersion:
        return 0.0  # whose it is can't be read, but it is where the user's sessions are, and can be ended
    except CorruptRecord:
        return None
    return created if of == owner else None


def _batches(members: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (members[start : start + _BATCH] for start in range(0, len(members), _BATCH))
