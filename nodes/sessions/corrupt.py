"""Records that can't be read: read once more, and quarantined only where the store has the same bytes again.

A network, a proxy or a server may alter bytes on the way. The record is sound then, and a quarantine would end its
session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .capabilities import Reconnects, find_capability
from .outage_log import log, outage_log
from .store import CorruptRecord, Store, StoreUnavailable

T = TypeVar("T")


def read_record(store: Store, key: str, read: Callable[[], T]) -> T | None:
    """Return what `read` returns, which reads the record of `key`. None where the record was quarantined.

    A read that raises `CorruptRecord` is repeated, over another connection where the store has any. Where both find a
    corrupt record of the same bytes, it is quarantined. Raises `StoreUnavailable` where they find different ones.
    """
    try:
        return read()
    except CorruptRecord as error:
        first = error
    if (reconnects := find_capability(store, Reconnects)) is not None:
        reconnects.reconnect()
    try:
        found = read()
    except CorruptRecord as error:
        second = error
    else:
        outage_log.warn(f"two reads of a record differ, and only the second can be decoded: {first}")
        return found
    if second.found != first.found:
        raise StoreUnavailable(f"two reads of a record differ, and neither can be decoded: {second}") from second
    log.error("session %s is corrupt and was quarantined: %s", store.cookie.to_hash(key), second)
    store.quarantine(key)
    return None
