"""A store that is a Redis Cluster: three primaries that share the sessions, each with a replica, on 127.0.0.1."""

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial, reduce
from operator import add
from pathlib import Path

import redis

from deploy.cluster import Role, StoreStatistics
from deploy.errors import ClusterError
from deploy.local.redis_server import StoreServer, statistics
from deploy.local.servers import Server, environment
from deploy.local.state import StateDir
from deploy.local_store import LocalStore, url_file
from deploy.ports import free_ports
from deploy.redis import acl
from deploy.replication import operator, role_at
from deploy.spec import ClusterSpec

SHARDS = 3
SERVERS = 2 * SHARDS
_SLOTS = 16384
_POLL = 0.02
_SINCE = (7, 0)
"""Of Redis: a port of its choice for the bus between the servers."""


class ShardedStore(LocalStore):
    """At first `store-1` to `store-3` are the primaries, and `store-4` to `store-6` the replicas, in this order.

    The first primary, who `primary` and `failover` speak of, is the one of slot 0. A server keeps nothing on disk
    (unless `append_only`) but who the others are, so a primary is only restarted when its replica has taken over.
    """

    def __init__(self, binary: StoreServer, spec: ClusterSpec, state: StateDir, rights: acl.Rights) -> None:
        if binary.version < _SINCE:
            raise ClusterError(f"{binary.binary} is too old for a cluster here: 7.0 or later is needed")
        super().__init__(spec.store)
        self._binary = binary
        self._spec = spec
        self._state = state
        self._passwords = acl.Passwords()
        self._acl = state.secret(
            "users.acl", binary.acl_file(self._passwords.node, rights | acl.SHARDS, self._passwords)
        )
        self._ids = [secrets.token_hex(20) for _ in range(SERVERS)]
        ports = free_ports(2 * SERVERS)
        self._bus = ports[SERVERS:]
        self._stores = [self._store(number, ports[number]) for number in range(SERVERS)]
        self.stages = [self._stores]

    def bootstrap(self) -> None:
        self._wait("the servers do not agree", self.is_settled)

    def node_environment(self) -> Mapping[str, str]:
        places = ",".join(f"127.0.0.1:{server.port}" for server in self._stores)
        url = f"redis+cluster://{acl.NODE}:{self._passwords.node}@{places}"
        return {"REDIS_URL_FILE": str(url_file(self._state, url))}

    def primary(self) -> str:
        return self._owner(0)

    def failover(self) -> None:
        self._hand_over(self.primary())

    def is_settled(self) -> bool:
        """Whether all who run agree on the primaries, and the replicas follow."""
        views = []
        for server in self._stores:
            if server.running():
                view = self._view(server)
                if view is None or not self._is_in_touch(server.port):
                    return False
                views.append(view)
        return bool(views) and all(view == views[0] for view in views) and len(views[0]) == SHARDS

    def before_restart(self, server: Server) -> None:
        heirs = [self._stores[(number + SHARDS) % SERVERS] for number in range(SERVERS)]
        heir = heirs[self._stores.index(server)]
        if server.name not in self._primaries() or not heir.running():
            return
        if server.running():
            self._hand_over(server.name)
            return
        if server.process is not None:
            server.process.kill()  # paused, it must not come to itself between being stopped and being replaced
        self._wait(f"{heir.name} has not taken over", lambda: server.name not in self._primaries())

    def statistics(self) -> StoreStatistics:
        primaries = self._primaries()
        each = [statistics(self._operator(server.port)) for server in self._stores if server.name in primaries]
        return reduce(add, each)

    def _hand_over(self, name: str) -> None:
        """To the replica of the same shard, which first gets all that the primary has."""
        number = next(at for at, server in enumerate(self._stores) if server.name == name)
        heir = self._stores[(number + SHARDS) % SERVERS]
        if not heir.running():
            raise ClusterError(f"the store does not fail over: {heir.name} is {heir.state()}")

        def is_done() -> bool:
            if heir.name in self._primaries():
                return self.is_settled()
            try:
                with self._operator(heir.port) as client:
                    client.execute_command("CLUSTER", "FAILOVER")
            except redis.RedisError:
                return False  # not in touch with its primary yet
            time.sleep(10 * _POLL)
            return False

        self._wait(f"{heir.name} has not taken over from {name}", is_done)

    def _wait(self, otherwise: str, condition: Callable[[], bool]) -> None:

        deadline = time.monotonic() + self._spec.start_timeout
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise} within {self._spec.start_timeout:g} s")
            time.sleep(_POLL)

    def _owner(self, slot: int) -> str:
        for first, last, name in self._best_view():
            if first <= slot <= last:
                return name
        raise ClusterError(f"no server of the store has slot {slot}")

    def _primaries(self) -> set[str]:
        return {name for *_, name in self._best_view()}

    def _best_view(self) -> list[tuple[int, int, str]]:
        """What those who run say most."""
        views = [view for server in self._stores if server.running() and (view := self._view(server)) is not None]
        if not views:
            raise ClusterError("no server of the store answers")
        return max(views, key=views.count)

    def _view(self, server: Server) -> list[tuple[int, int, str]] | None:
        """First slot, last slot and primary, as this server knows them; None where it does not answer."""
        names = {each.port: each.name for each in self._stores}
        try:
            with self._operator(server.port) as client:
                slots = client.execute_command("CLUSTER", "SLOTS")
        except redis.RedisError:
            return None
        return sorted((first, last, names[primary[1]]) for first, last, primary, *_ in slots)

    def _store(self, number: int, port: int) -> Server:
        name = f"store-{number + 1}"
        log = self._state.logs / f"{name}.log"
        folder = self._state.server_folder(name)
        command = partial(self._command, number, folder)
        return Server(name, Role.STORE, port, log, command, lambda _: environment({}), self._is_ready)

    def _command(self, number: int, folder: Path, port: int) -> list[str]:
        nodes = folder / "nodes.conf"
        if not nodes.exists():
            nodes.write_text("\n".join(self._nodes(number)) + "\n", encoding="utf-8")
        settings = self._spec.store_settings
        options = self._binary.options(settings) | {
            "masteruser": acl.REPLICA,
            "masterauth": self._passwords.replica,
            "min-replicas-to-write": str(settings.guard(1)),
            "min-replicas-max-lag": str(settings.max_lag),
            # Told to end, a primary would wait for its replicas, which end as well.
            "shutdown-timeout": "0",
            # Without a disk, a replica that is "online" is sent nothing new for up to a second more.
            "repl-diskless-sync": "no",
            "repl-diskless-load": "on-empty-db",
            "cluster-enabled": "yes",
            "cluster-config-file": nodes.name,
            "cluster-port": str(self._bus[number]),
            "cluster-node-timeout": str(round(settings.down_after * 1000)),
            # The sessions of the other shards go on while one has no primary.
            "cluster-require-full-coverage": "no",
            "cluster-allow-replica-migration": "no",
        }
        conf = self._state.secrets / f"store-{number + 1}.conf"
        return self._binary.configured(conf, port, self._acl, folder, options)

    def _nodes(self, myself: int) -> list[str]:
        """What a server is told of all at first, so that they need not meet, which would take them seconds."""
        lines = []
        for number, server in enumerate(self._stores):
            shard = number % SHARDS
            is_primary = number < SHARDS
            first, last = shard * _SLOTS // SHARDS, (shard + 1) * _SLOTS // SHARDS - 1
            flags = ("myself," if number == myself else "") + ("master" if is_primary else "slave")
            of = "-" if is_primary else self._ids[shard]
            slots = f" {first}-{last}" if is_primary else ""
            place = f"127.0.0.1:{server.port}@{self._bus[number]}"
            lines.append(f"{self._ids[number]} {place} {flags} {of} 0 0 {shard + 1} connected{slots}")
        return [*lines, f"vars currentEpoch {SHARDS} lastVoteEpoch 0"]

    def _is_ready(self, port: int) -> bool:
        """Whether it knows what the others know, and follows its primary where it is a replica. One that was replaced
        thinks for a moment after its restart that it is the primary still, and has nothing."""
        server = next(each for each in self._stores if each.port == port)
        try:
            with self._operator(port) as client:
                if client.cluster("info")["cluster_state"] != "ok":
                    return False
        except redis.RedisError:
            return False
        return self._view(server) == self._best_view() and self._is_in_touch(port)

    def _is_in_touch(self, port: int) -> bool:
        return role_at(port, self._passwords.operator) is not None

    def _operator(self, port: int) -> redis.Redis:
        return operator(port, self._passwords.operator)
