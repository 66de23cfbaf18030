"""The record of one session, read with the nodes' own library and settings. Changes nothing, not even a timeout."""

import threading
from contextlib import suppress
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from deploy import Cluster, ClusterError, NodeKind, StoreKind
from nodes.environment import SettingsError
from nodes.sessions import CorruptRecord, Record, StoreUnavailable
from nodes.sessions.codec import Codec, DecodeError
from nodes.sessions.store import SessionMark
from nodes.settings import Settings
from nodes.store_kinds import Stores
from nodes.stores import make_stores


class Found(StrEnum):
    """The record of a cookie's session in the store."""

    NO_COOKIE = "no_cookie"
    FORGED = "forged"
    """No secret of these nodes signed the cookie, so they ask no store."""
    IN_MEMORY = "in_memory"
    """In the memory of a worker, where nothing outside of it can look."""
    PRESENT = "present"
    ENDED = "ended"
    """A mark that the session ended a moment ago."""
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """The store did not answer, as it does not answer the nodes."""
    FOREIGN = "foreign"
    """These nodes, or their store, can't be looked into from this process."""


class StoredField(msgspec.Struct, frozen=True):
    """One field of a record; `value` is what its codec decodes, in Python's notation. `size` is in bytes."""

    name: str
    value: str
    size: int


class StoredRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the store has it. Times are seconds: `created` since the epoch, `ttl` from now.

    `key_hash` is the SHA-256 of the id, as logs and signals name the session. `key_is_id`: the store's key is the id.
    """

    found: Found
    key_hash: str = ""
    key_is_id: bool = False
    fields: tuple[StoredField, ...] = ()
    owner: str | None = None
    created: float = 0.0
    ttl: float = 0.0
    idle: float = 0.0
    absolute: float = 0.0


class RecordReader:
    """Reads one record at a time, from any thread, on connections that it keeps for one cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._settings: Settings | None = None
        self._stores: Stores | None = None

    def read(self, cluster: Cluster, cookie: str) -> StoredRecord:
        """Return the record of the session whose cookie has this value ("": there is none)."""
        if not cookie:
            return StoredRecord(found=Found.NO_COOKIE)
        with self._lock:
            if cluster is not self._cluster:
                self._open(cluster)
            if self._stores is None or self._settings is None:
                return StoredRecord(found=Found.FOREIGN)
            return _read(cluster, self._settings, self._stores, cookie)

    def _open(self, cluster: Cluster) -> None:
        if self._stores is not None:
            with suppress(StoreUnavailable, OSError):
                self._stores.sessions.close()
        self._cluster, self._settings, self._stores = cluster, None, None
        if cluster.spec.node is not NodeKind.FLASK or cluster.spec.application:
            return
        with suppress(ClusterError, SettingsError):
            self._settings = Settings.from_environ(cluster.node_environment)
            self._stores = make_stores(self._settings)


def _read(cluster: Cluster, settings: Settings, stores: Stores, cookie: str) -> StoredRecord:
    store = stores.sessions
    session_id = store.cookie.verify(cookie, [secret.encode() for secret in settings.secrets])
    if session_id is None:
        return StoredRecord(found=Found.FORGED)
    key = store.cookie.to_key(session_id)
    lifetime = cluster.spec.session_lifetime
    known = StoredRecord(
        found=Found.UNKNOWN,
        key_hash=store.cookie.to_hash(key),
        key_is_id=key == session_id,
        idle=lifetime.idle,
        absolute=lifetime.absolute,
    )
    if cluster.spec.store is StoreKind.MEMORY:
        return replace(known, found=Found.IN_MEMORY)
    try:
        record = store.load(key)
        if isinstance(record, Record):
            return _describe(record, store.codec, known)
    except (StoreUnavailable, CorruptRecord):
        return known
    return replace(known, found=Found.ENDED if isinstance(record, SessionMark) else Found.ABSENT)


def _describe(record: Record, codec: Codec, known: StoredRecord) -> StoredRecord:
    fields = [StoredField(name, _decode(codec, value), len(value)) for name, value in record.fields.items()]
    return replace(
        known, found=Found.PRESENT, fields=tuple(fields), owner=record.owner, created=record.created, ttl=record.ttl
    )


def _decode(codec: Codec, value: bytes) -> str:
    try:
        return repr(codec.decode(value))
    except (DecodeError, StoreUnavailable):
        return repr(value)
