"""Faults of the store: its memory is full, or it loses its primary or its replicas."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis

from deploy import Cluster, ClusterError, Role
from loadtest.faults.fault import restore

_KEYS = "session:filler-"
_SIZES = (64 * 1024, 1024, 64)
"""In bytes. Ever smaller ones, so that little is left in the end."""
_SECONDS_OF_VISITORS = 3.0
_POLL = 0.02
_MOST = 256 * 1024 * 1024
_SECONDS_TO_LIVE = 600


@dataclass(frozen=True)
class FillStore:
    """Fills the store's memory until it refuses to take more; undone by taking that out again.

    The cluster's spec should ask for a small `maxmemory`: all of it gets written, at most 256 MB.
    """

    what: str = "fill the store"
    seconds: float = 4.0

    def apply(self, cluster: Cluster) -> None:
        written = number = 0
        for size in _SIZES:
            # A new connection for each, because the buffers of one that carried large values are large as well, and
            # are memory that comes back when it is closed.
            with _asking(cluster) as store:
                while _put(store, number, size):
                    number, written = number + 1, written + size
                    if written > _MOST:
                        raise ClusterError(f"the store is not full after {written:,} bytes: give it a maxmemory")
        # The last one gives back some memory now, and so do the nodes' own, whose buffers are shrunk when they have
        # been idle for 2 s. Visitors take that.
        deadline = time.monotonic() + _SECONDS_OF_VISITORS
        while time.monotonic() < deadline:
            if _is_refused(cluster.url):
                time.sleep(_POLL)

    def undo(self, cluster: Cluster) -> None:
        with _asking(cluster) as store:
            names = list(store.scan_iter(match=f"{_KEYS}*", count=1000))
            for start in range(0, len(names), 500):
                store.delete(*names[start : start + 500])


def _is_refused(url: str) -> bool:
    """Whether a new visitor's session is."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", "/visits", "{}", {"Content-Type": "application/json", "Accept": "application/json"})
        return connection.getresponse().status == http.client.SERVICE_UNAVAILABLE
    except (OSError, http.client.HTTPException) as error:
        raise ClusterError(f"the cluster does not answer while its store is being filled: {error!r}") from error
    finally:
        connection.close()


def _put(store: "redis.Redis", number: int, size: int) -> bool:
    """Whether it was taken."""
    key = f"{_KEYS}{number}"
    try:
        store.hset(key, "filler", "x" * size)
        store.pexpire(key, _SECONDS_TO_LIVE * 1000)
    except redis.OutOfMemoryError:
        return False
    return True


@contextmanager
def _asking(cluster: Cluster) -> Iterator["redis.Redis"]:
    """As the nodes' user, which may name the keys of sessions alone."""
    client = redis.Redis.from_url(cluster.store.url, socket_timeout=5, socket_connect_timeout=5)
    try:
        yield client
    except redis.RedisError as error:
        raise ClusterError(f"the store does not do what is asked of it: {error}") from error
    finally:
        client.close()


@dataclass(frozen=True)
class KillPrimary:
    """SIGKILL to whoever takes the writes; undone by a restart of what has ended, as a replica if there is another."""

    what: str = "kill the primary"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        cluster.kill(cluster.store.primary())

    def undo(self, cluster: Cluster) -> None:
        restore(cluster, *(member.name for member in cluster.members() if member.role is Role.STORE))


@dataclass(frozen=True)
class Failover:
    """A replica takes over as planned. Nothing is left to undo."""

    what: str = "fail over, as planned"
    seconds: float = 1.0

    def apply(self, cluster: Cluster) -> None:
        cluster.store.failover()

    def undo(self, cluster: Cluster) -> None:
        """Nothing."""


@dataclass(frozen=True)
class DisconnectReplicas:
    """The replicas lose touch with the primary, which goes on alone; undone by letting them find it again."""

    what: str = "cut the replicas off"
    seconds: float = 0.1

    def apply(self, cluster: Cluster) -> None:
        cluster.store.disconnect_replicas()

    def undo(self, cluster: Cluster) -> None:
        cluster.store.reconnect_replicas()
