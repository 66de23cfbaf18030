"""The sessions of a user: a sorted set for each user, written with each session.

The set lists candidates; a read checks the sessions themselves. A logout leaves its member behind, because it has one
round trip and does not know the session's owner. Members are removed by readers that find them dead, by each
insertion when they have expired, and by every 64th insertion among 256 members. So the index of a user that logs in and
out all day has a third more members than sessions, or 256. The set expires with its last member.

The index is written before the session, so that it never lacks a session. A member without a session counts as dead
only after a minute.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from ...store import CorruptRecord, Lifetime, StoreUnavailable, UnsupportedRecordVersion
from . import scripts
from .client import RedisClient
from .connection import Command
from .scripts import parse_metadata

PRUNE_EVERY = 64
"""Number of insertions between two that look for dead members."""
PRUNE_SAMPLE = 256
"""Number of members in the sample."""
YOUNG_SECONDS = 60
MARGIN_MS = 60_000
"""Time by which a member outlives its session: the clocks of two servers of a cluster may differ by as much."""
_PASSES = 100
"""Maximum number of passes over an index that has other members each time: more than sessions that move meanwhile."""
_BATCH = 500
_KEY_BYTES = 32


class UserIndex:
    """The index of the sessions whose keys begin with `prefix`."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def insert_command(self, owner: str, key: str, lifetime: Lifetime, created_ms: int | str) -> Command:
        """Return the command that adds the session `key`. Its reply is for `prune_sample`."""
        absolute = int(lifetime.absolute * 1000)
        return scripts.INDEX.call((self._name(owner),), bytes.fromhex(key), absolute, created_ms, MARGIN_MS)

    def prune_sample(self, owner: str, members: int) -> None:
        """After every 64th insertion into a large index, remove the dead among a sample. Best effort."""
        if members < PRUNE_SAMPLE or members % PRUNE_EVERY:
            return
        with contextlib.suppress(StoreUnavailable):
            sample: Command = ("ZRANDMEMBER", self._name(owner), PRUNE_SAMPLE)
            self._alive(owner, self._client.run([sample], idempotent=True)[0])

    def keys_of(self, owner: str) -> list[str]:
        """Return the keys of the user's live sessions, oldest first.

        Two round trips; four where some members are dead: such a session may have moved to a new key meanwhile.
        """
        alive: dict[str, float] = {}
        seen: set[bytes] = set()
        command: Command = ("ZRANGE", self._name(owner), 0, -1)
        for _ in range(_PASSES):
            members = [each for each in self._client.run([command], idempotent=True)[0] if each not in seen]
            found = self._alive(owner, members)
            alive |= found
            if len(found) == len(members):
                return sorted(alive, key=lambda key: alive[key])
            seen.update(members)
        raise StoreUnavailable(f"Redis: the index of a user has dead members, and others in each of {_PASSES} passes")

    def page_of(self, owner: str, first: int, count: int) -> list[str]:
        """Return keys from the index, dead or alive, by the end of their lifetime: the latest first. One round trip."""
        command: Command = ("ZRANGE", self._name(owner), first, first + count - 1, "REV")
        return [_to_key(member) for member in self._client.run([command], idempotent=True)[0]]

    def _alive(self, owner: str, members: Sequence[bytes]) -> dict[str, float]:
        """Return when each live session among `members` was created, by key. Remove the dead members."""
        alive: dict[str, float] = {}
        dead: list[bytes] = []
        for batch in _batches(members):
            commands: list[Command] = [("HGET", f"{self._prefix}{{{_to_key(member)}}}", "@") for member in batch]
            for member, meta in zip(batch, self._client.send(commands, idempotent=True), strict=True):
                created = _created(_to_key(member), meta, owner)
                if created is None:
                    dead.append(member)
                else:
                    alive[_to_key(member)] = created
        for batch in _batches(dead):
            with contextlib.suppress(StoreUnavailable):  # best effort
                self._client.run([scripts.PRUNE.call((self._name(owner),), YOUNG_SECONDS, *batch)])
        return alive

    def _name(self, owner: str) -> str:
        """Return the name of the owner's set: a hash, so that no owner's name leads to another key."""
        return f"{self._prefix}of:{{{hashlib.sha256(owner.encode(errors='surrogatepass')).hexdigest()}}}"


def _to_key(member: bytes) -> str:
    return member[:_KEY_BYTES].hex()


def _created(key: str, meta: Any, owner: str) -> float | None:
    """Return when the session with this metadata was created; None where it is not a session of `owner`."""
    if isinstance(meta, redis.ResponseError):
        if str(meta).startswith("WRONGTYPE"):
            return None
        raise StoreUnavailable(f"Redis: {meta}") from meta
    if meta is None:
        return None
    try:
        created, _, session_owner = parse_metadata(key, meta)
    except UnsupportedRecordVersion:
        return 0.0  # its owner can't be read, but it is in the user's index, and can be ended
    except CorruptRecord:
        return None
    return created if session_owner == owner else None


def _batches(members: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (members[start : start + _BATCH] for start in range(0, len(members), _BATCH))
