"""A Redis store that is filled with sessions and measured: RESTORE, INFO, and how long a replica copies it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.crc import key_slot

from deploy import ClusterError, LocalCluster, Role
from deploy.waiting import holds_within
from loadtest.capacity.population import Population, SessionDump, owner
from nodes.sessions import Lifetime
from nodes.sessions.store import Budgets
from nodes.sessions.stores.redis import scripts
from nodes.sessions.stores.redis.client import RedisClient, connect
from nodes.sessions.stores.redis.user_index import UserIndex

PREFIX = "session:"
_BATCH = 500
_TIMEOUT = 60.0
_SLOTS = 16384


class RedisContents:
    """The servers of a cluster's Redis, through connections of its own.

    `key` is that of a session which a node has written for the user `owner(0)`. The sessions are copies of it, and each
    user has an index, which the library's own script writes.
    """

    def __init__(self, cluster: LocalCluster, population: Population, key: str, lifetime: Lifetime) -> None:
        self._cluster, self._population, self._lifetime = cluster, population, lifetime
        self._template = f"{PREFIX}{{{key}}}"
        self.url = Path(cluster.node_environment["REDIS_URL_FILE"]).read_text()
        parts = urlsplit(self.url)
        self._user, self._password = parts.username or "", parts.password or ""
        self._clients: dict[str, Any] = {}
        self._index = UserIndex(RedisClient(connect(self.url, Budgets())), PREFIX)
        self._key = key
        self.count = 0
        self._primaries = sorted(cluster.store.primaries())
        self.replicas = [name for name in self._stores() if name not in self._primaries]
        self._dump = self._read_dump()
        self._by_slot = self._read_slots()

    @property
    def primaries(self) -> Sequence[str]:
        """The names of the primaries."""
        return self._primaries

    @property
    def data_bytes(self) -> int:
        """Bytes of the fields of a session, with their names."""
        fields = self._client(self._primary_of(self._template)).hgetall(self._template)
        return sum(len(name) + len(value) for name, value in fields.items() if name != scripts.META)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def fill(self, count: int) -> None:
        """Add sessions until there are `count`."""
        ttl = int(self._lifetime.idle * 1000)
        for first in range(self.count, count, _BATCH):
            packets: dict[str, Any] = {}
            for number in range(first, min(first + _BATCH, count)):
                key, user = self._population.key(number), owner(number)
                name = self._template.replace(self._key, key)
                index = self._index.insert_command(user, key, self._lifetime, "")
                self._packet(packets, name).execute_command("RESTORE", name, ttl, self._dump.of(number))
                self._packet(packets, str(index[3])).execute_command(*index)
            for packet in packets.values():
                packet.execute()
        self.count = max(self.count, count)

    def memory(self) -> tuple[float, float]:
        """Return the memory of all primaries: allocated, without connections and replication, and resident."""
        used = resident = 0.0
        for name in self._primaries:
            info = self._info(name, "memory")
            buffers = info.get("mem_total_replication_buffers", info.get("mem_replication_backlog", 0))
            used += info["used_memory"] - buffers - info["mem_clients_normal"]
            resident += info["used_memory_rss"]
        return used, resident

    def index_bytes(self) -> float:
        """Return MEMORY USAGE of the index of a user with one session."""
        name = str(self._index.insert_command(owner(1), self._population.key(1), self._lifetime, "")[3])
        return float(self._client(self._primary_of(name)).memory_usage(name, samples=0))

    def bytes_sent(self) -> tuple[float, float]:
        """Return the bytes so far between clients and all primaries, and from them to each replica."""
        clients = replication = 0.0
        for name in self._primaries:
            statistics = self._info(name, "stats")
            internal = sum(statistics.get(f"total_net_repl_{way}_bytes", 0) for way in ("input", "output"))
            clients += statistics["total_net_input_bytes"] + statistics["total_net_output_bytes"] - internal
            replication += self._info(name, "replication")["master_repl_offset"]
        return clients, replication

    def end_replicas(self) -> None:
        """Kill all replicas, so that the primaries are filled alone."""
        for name in self.replicas:
            self.end_replica(name)

    def end_replica(self, name: str) -> None:
        """Kill a replica, so that it can copy its primary again."""
        self._cluster.kill(name)

    def resync(self, replica: str, timeout: float = _TIMEOUT) -> float:
        """Start a replica that does not run. Return the seconds from its SYNC until it has all data, for each GB.

        Raises ClusterError if it has not all of them `timeout` seconds after its start.
        """
        deadline = time.monotonic() + timeout
        self._clients.pop(replica, None)  # it gets an empty server at the same port
        before = {name: self._info(name, "stats")["sync_full"] for name in self._primaries}
        with ThreadPoolExecutor(1) as pool:
            start = pool.submit(self._cluster.restart, replica)
            holds = holds_within(lambda: start.done() or self._find_sync(before) is not None, timeout)
            primary = self._find_sync(before)
            began = time.monotonic()
            holds = holds and holds_within(lambda: self._is_online(replica), deadline - began)
            took = time.monotonic() - began
            start.result()
        if primary is None or not holds:
            raise ClusterError(f"{replica} has not copied its primary within {timeout:.0f} s")
        return took / (float(self._info(primary, "memory")["used_memory"]) / 1e9)

    def _stores(self) -> dict[str, str]:
        return {member.name: member.address for member in self._cluster.members() if member.role is Role.STORE}

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            host, _, port = self._stores()[name].partition(":")
            self._clients[name] = redis.Redis(
                host=host,
                port=int(port),
                username=self._user,
                password=self._password,
                socket_timeout=_TIMEOUT,
                protocol=2,
            )
        return self._clients[name]

    def _info(self, name: str, section: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._client(name).info(section)
        return found

    def _read_dump(self) -> SessionDump:
        client = self._client(self._primary_with(self._template))
        with _uncompressed(client):
            dump = client.dump(self._template)
        if dump is None:
            raise ClusterError("the store does not have the session that was to be copied")
        return SessionDump(dump)

    def _primary_with(self, name: str) -> str:
        """Return the primary that answers for a key."""
        if len(self._primaries) == 1:
            return self._primaries[0]
        return self._primary_at(key_slot(name.encode()), self._read_slots())

    def _read_slots(self) -> Sequence[tuple[int, int, str]]:
        """Return first slot, last slot and primary of each range, of a Redis Cluster."""
        if len(self._primaries) == 1:
            return [(0, _SLOTS - 1, self._primaries[0])]
        names = {address: name for name, address in self._stores().items()}
        reply = self._client(self._primaries[0]).execute_command("CLUSTER SLOTS")
        if isinstance(reply, dict):  # redis-py's form
            return [(first, last, names[_address(one["primary"])]) for (first, last), one in reply.items()]
        return [(first, last, names[_address(primary)]) for first, last, primary, *_ in reply]

    def _primary_at(self, slot: int, slots: Sequence[tuple[int, int, str]]) -> str:
        return next(name for first, last, name in slots if first <= slot <= last)

    def _primary_of(self, name: str) -> str:
        return self._primary_at(key_slot(name.encode()), self._by_slot)

    def _packet(self, packets: dict[str, Any], name: str) -> Any:
        """Return the packet for the primary of a key. Its server has the script of the index."""
        primary = self._primary_of(name)
        if primary not in packets:
            packets[primary] = self._client(primary).pipeline(transaction=False)
            packets[primary].execute_command(*scripts.INDEX.load)
        return packets[primary]

    def _find_sync(self, before: Mapping[str, int]) -> str | None:
        for name, count in before.items():
            if self._info(name, "stats")["sync_full"] > count:
                return name
        return None

    def _is_online(self, replica: str) -> bool:
        try:
            info = self._info(replica, "replication")
        except redis.RedisError:
            return False  # it loads, or is about to listen
        return info.get("master_link_status") == "up" and not info.get("master_sync_in_progress")


@contextmanager
def _uncompressed(client: Any) -> Iterator[None]:
    """Let DUMP write texts as they are."""
    client.config_set("rdbcompression", "no")
    try:
        yield
    finally:
        client.config_set("rdbcompression", "yes")


def _address(server: Sequence[Any]) -> str:
    host, port = (part.decode() if isinstance(part, bytes) else part for part in server[:2])
    return f"{host}:{port}"
