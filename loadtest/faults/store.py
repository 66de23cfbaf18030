"""Faults of the store: its memory or its disk is full, or it loses its primary or its replicas."""

import http.client
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from deploy import Cluster, ClusterError, Role
from loadtest.faults.fault import Ability, Fault, Need, restore
from loadtest.history import Action
from loadtest.operations import Operation
from loadtest.target import ClusterTarget, send

_SERVERS, _CONTENTS = (Need(Ability.STORE_SERVERS),), (Need(Ability.STORE_CONTENTS),)
_KEYS = "session:filler-"
_SIZES = (64 * 1024, 1024, 64)
"""In bytes, from large to small, so that little memory is left in the end."""
_STEP = 8 * 1024
"""In bytes."""
_SECONDS_OF_VISITORS = 3.0
_POLL = 0.02
_MOST = 256 * 1024 * 1024
_SECONDS_TO_LIVE = 600


def _fill(cluster: Cluster) -> None:
    written = number = 0
    for size in _SIZES:
        # A connection's buffers grow with its values and are freed when it closes, so each size has its own.
        with _connect(cluster) as store:
            while _put(store, number, size):
                number, written = number + 1, written + size
                if written > _MOST:
                    raise ClusterError(f"the store is not full after {written:,} bytes; give it a maxmemory")
    # Memory becomes free when the last connection closes, and when buffers of the nodes' connections shrink after 2 s
    # without a request. New sessions fill it.
    target, deadline = ClusterTarget(cluster), time.monotonic() + _SECONDS_OF_VISITORS
    while time.monotonic() < deadline:
        try:
            reply = send(target, Operation(Action.VISIT))
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"the cluster does not answer while its store is being filled: {error!r}") from error
        if reply.status == http.client.SERVICE_UNAVAILABLE:
            time.sleep(_POLL)


def _empty(cluster: Cluster) -> None:
    with _connect(cluster) as store:
        names = list(store.scan_iter(match=f"{_KEYS}*", count=1000))
        for start in range(0, len(names), 500):
            store.delete(*names[start : start + 500])


def _put(store: "redis.Redis", number: int, size: int) -> bool:
    """Write one value. Return False if the store is full."""
    key = f"{_KEYS}{number}"
    try:
        store.hset(key, "filler", "x" * size)
        store.pexpire(key, _SECONDS_TO_LIVE * 1000)
    except redis.OutOfMemoryError:
        return False
    return True


@contextmanager
def _connect(cluster: Cluster) -> Iterator["redis.Redis"]:
    """Connect as the nodes' user, which may use the keys of sessions only."""
    client = redis.Redis.from_url(cluster.store.url, socket_timeout=5, socket_connect_timeout=5)
    try:
        yield client
    except redis.RedisError as error:
        raise ClusterError(f"the store refuses a command: {error}") from error
    finally:
        client.close()


def _restart_stores(cluster: Cluster) -> None:
    restore(cluster, *(member.name for member in cluster.members() if member.role is Role.STORE))


def fill_store_to(share: float) -> Fault:
    """Fill the store, which has one server, until this share (0 to 1) of its memory is used; undone by deleting the
    filling."""

    def apply(cluster: Cluster) -> None:
        with _connect(cluster) as store:
            for number in itertools.count():
                memory = store.info("memory")
                if int(memory["used_memory"]) >= share * int(memory["maxmemory"]) or not _put(store, number, _STEP):
                    return

    return Fault(what=f"fill {share:.0%} of the store", seconds=1.0, apply=apply, undo=_empty, needs=_CONTENTS)


FILL_STORE = Fault(what="fill the store", seconds=4.0, apply=_fill, undo=_empty, needs=_CONTENTS)
"""Fill the store's memory until it refuses writes; undone by deleting the filling.

The cluster's spec should ask for a small `maxmemory`: all of it gets written, at most 256 MB. New visitors write the
last of it, so its nodes should not limit their sessions.
"""

FILL_DISK = Fault(
    what="fill the disk of the sessions",
    seconds=0.5,
    apply=lambda cluster: cluster.store.fill_disk(),
    undo=lambda cluster: cluster.store.free_disk(),
    needs=_CONTENTS,
)
"""Leave no room on the disk of sessions in files or SQLite. The cluster's spec has to ask for a `store_disk`."""

KILL_PRIMARY = Fault(
    what="kill the primary",
    apply=lambda cluster: cluster.kill(cluster.store.primary()),
    undo=_restart_stores,
    needs=_SERVERS,
)
"""Kill the primary; undone by a restart, as a replica if there is another primary."""


def pause_primary(seconds: float) -> Fault:
    """Pause the primary (SIGSTOP) and let it go on after `seconds`."""

    def apply(cluster: Cluster) -> None:
        primary = cluster.store.primary()
        cluster.pause(primary)
        time.sleep(seconds)
        cluster.resume(primary)

    what = f"pause the primary for {seconds:g} s"
    return Fault(what=what, seconds=seconds, apply=apply, undo=_restart_stores, needs=_SERVERS)


FAILOVER = Fault(
    what="fail over, as planned", seconds=1.0, apply=lambda cluster: cluster.store.failover(), needs=_SERVERS
)
"""Promote a replica, as an operator does."""

DISCONNECT_REPLICAS = Fault(
    what="cut the replicas off",
    apply=lambda cluster: cluster.store.disconnect_replicas(),
    undo=lambda cluster: cluster.store.reconnect_replicas(),
    needs=_SERVERS,
)
"""Disconnect the replicas from the primary, which continues alone; undone by reconnecting them."""
