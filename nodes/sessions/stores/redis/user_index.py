"""The sessions of a user: a sorted set for each user, written with each session.

The set lists candidates; a read checks the sessions themselves. A logout leaves its member behind, because it has one
round trip and does not know the session's owner. Members are removed by readers that find them dead, by each
insertion when they have expired, and by every 64th insertion among 256 members. So the index of a user that logs in and
out all day has a third more members than sessions, or 256. The set expires with its last member.

The index is written before the session, so that it never lacks a session. A member without a session is removed
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
"""Maximum number of passes over an index that has dead members each time: more than sessions that move meanwhile."""
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
        """Remove the dead among a sample after every 64th insertion into a large index. Best effort."""
        if members < PRUNE_SAMPLE or members % PRUNE_EVERY:
            return
        command: Command = ("ZRANDMEMBER", self._name(owner), PRUNE_SAMPLE)
        with contextlib.suppress(StoreUnavailable):
            sample: list[bytes] = self._client.run([command], idempotent=True)[0]
            alive, strange = self._find_alive(owner, sample)
            dead = [member for member in sample if _to_key(member) not in alive]
            self._prune(owner, [member for member in dead if member not in strange])

    def keys_of(self, owner: str) -> list[str]:
        """Return the keys of the user's live sessions, oldest first.

        Two round trips; four where members are dead, six where such a member is young. A dead member may have moved to
        a new key, so the index is read again. A young one may have been about to be created when it was asked for: the
        servers of a cluster are asked one after another, and the session that moved to it may have ended meanwhile. So
        it counts as dead only when it is found so twice. So does one whose metadata is not that of a session of this
        user, because a network may have altered it; `StoreUnavailable` where it is another one the second time.
        """
        alive: dict[str, float] = {}
        dead: set[bytes] = set()
        doubtful: set[bytes] = set()
        strange: dict[bytes, object] = {}
        command: Command = ("ZRANGE", self._name(owner), 0, -1)
        for _ in range(_PASSES):
            listed: list[bytes] = self._client.run([command], idempotent=True)[0]
            members = [member for member in listed if member not in dead and _to_key(member) not in alive]
            found, unlike = self._find_alive(owner, members)
            alive |= found
            missing = {member for member in members if _to_key(member) not in alive}
            if not missing:
                return sorted(alive, key=lambda key: alive[key])
            if any(strange.get(member, meta) != meta for member, meta in unlike.items()):
                raise StoreUnavailable("Redis: two reads of the metadata of a session differ")
            if new := unlike.keys() - strange.keys():
                self._client.reconnect()
                strange |= unlike
            # A member that was removed and is listed again is asked for again: a network may have altered both lists.
            young = self._prune(owner, missing - doubtful - new)
            dead |= missing & doubtful - new
            doubtful |= young
        raise StoreUnavailable(f"Redis: the index of a user has dead members in each of {_PASSES} passes")

    def page_of(self, owner: str, first: int, count: int) -> list[str]:
        """Return keys from the index, dead or alive, by the end of their lifetime: the latest first. One round trip."""
        command: Command = ("ZRANGE", self._name(owner), first, first + count - 1, "REV")
        return [_to_key(member) for member in self._client.run([command], idempotent=True)[0]]

    def _find_alive(self, owner: str, members: Sequence[bytes]) -> tuple[dict[str, float], dict[bytes, object]]:
        """Return when each live session among `members` was created, by key; and the metadata of those that exist and
        are not a session of `owner`, by member."""
        alive: dict[str, float] = {}
        strange: dict[bytes, object] = {}
        for batch in _batches(members):
            keys = [_to_key(member) for member in batch]
            commands: list[Command] = [("HGET", f"{self._prefix}{{{key}}}", "@") for key in keys]
            replies = self._client.send(commands, idempotent=True)
            for member, key, meta in zip(batch, keys, replies, strict=True):
                if (created := _created(key, meta, owner)) is not None:
                    alive[key] = created
                elif meta is not None:
                    strange[member] = str(meta) if isinstance(meta, redis.ResponseError) else meta
        return alive, strange

    def _prune(self, owner: str, dead: Iterable[bytes]) -> set[bytes]:
        """Remove members without a session, and return the young ones, which stay. Best effort: perhaps all stay."""
        young: set[bytes] = set()
        for batch in _batches(list(dead)):
            try:
                young.update(self._client.run([scripts.PRUNE.call((self._name(owner),), YOUNG_SECONDS, *batch)])[0])
            except StoreUnavailable:
                young.update(batch)
        return young

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
