"""Control of Redis servers, wherever they run: which is the primary, failover, replicas, statistics.

Every command goes through `RedisServers.ask`, as the ACL user `operator`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Protocol

from deploy.cluster import StoreStatistics
from deploy.redis import acl
from deploy.redis.config import FAST_RECONNECT, NAME, SERVERS, SHARDS
from deploy.spec import ClusterError, ClusterSpec, StoreKind
from deploy.store_control import BaseStoreControl
from deploy.waiting import wait_until

_PAUSE = 0.2
"""Seconds between two requests for the same failover."""
_NEVER = 100
"""More replicas than any primary has."""
# Commands that belong to a connection, ask about the server itself, or are sent between the servers of one store.
_OVERHEAD = frozenset(
    {"info", "auth", "hello", "client", "select", "ping", "role", "cluster", "asking"}
    | {"replconf", "psync", "publish", "subscribe", "config", "slaveof", "replicaof", "failover", "multi", "exec"}
)


class RedisServers(Protocol):
    """The servers of one store: processes or containers. Members are named as in `Cluster.members`."""

    @property
    def passwords(self) -> acl.Passwords:
        """The passwords of the servers' users."""

    @property
    def stores(self) -> Mapping[str, str]:
        """Name -> "host:port", as the servers know each other; the first is the primary at first."""

    @property
    def sentinels(self) -> Mapping[str, str]:
        """Name -> "host:port" of the Sentinels; empty where there are none."""

    def url(self) -> str:
        """Return the URL of the only server, with the nodes' user and password."""

    def running(self) -> frozenset[str]:
        """Return the members that run: neither paused nor ended."""

    def kill(self, member: str) -> None:
        """End a member at once, paused or not."""

    def ask(self, member: str, *command: str, secret: str = "") -> str:
        """Send a command, with `secret` as its last argument, and return the reply as `redis-cli --raw` prints it.
        Raises ClusterError for an error and where no reply comes within a second or so."""


class StandaloneControl(BaseStoreControl):
    """One server without replicas."""

    def __init__(self, servers: RedisServers, kind: StoreKind) -> None:
        super().__init__(kind)
        self._servers = servers

    @property
    def url(self) -> str:
        return self._servers.url()

    def primary(self) -> str:
        return next(iter(self._servers.stores))

    def is_ready(self, member: str) -> bool:
        """Return whether the server answers."""
        try:
            return "PONG" in self._servers.ask(member, "PING")
        except ClusterError:
            return False

    def statistics(self) -> StoreStatistics:
        return _statistics(self._servers, self.primary())


class _Replicated(BaseStoreControl, ABC):
    """Several servers: the common part of Sentinel and Redis Cluster."""

    def __init__(self, servers: RedisServers, spec: ClusterSpec) -> None:
        super().__init__(spec.store)
        self._servers = servers
        self._timeout = spec.start_timeout

    @property
    def _names(self) -> dict[str, str]:
        return {address: name for name, address in self._servers.stores.items()}

    def statistics(self) -> StoreStatistics:
        primaries = sorted(self.primaries())
        return reduce(add, (_statistics(self._servers, name) for name in primaries))

    @abstractmethod
    def is_settled(self) -> bool:
        """Return whether the running servers agree on the primaries, and every replica is up to date."""

    @abstractmethod
    def _failover(self, primary: str) -> None:
        """Promote a replica of this primary, which runs."""

    def _replace_primary(self, member: str) -> None:
        """Promote another server if `member` is a primary."""
        if member not in self.primaries():
            return
        if member in self._servers.running():
            self._failover(member)
        else:
            self._servers.kill(member)  # a paused one must not wake up while it is stopped and replaced
            self._wait(lambda: member not in self.primaries(), f"no replica has taken over from {member}")

    def failover(self) -> None:
        self._failover(self.primary())

    def _wait(self, condition: Callable[[], bool], message: str) -> None:
        wait_until(condition, self._timeout, message)

    def _try(self, member: str, *command: str) -> str | None:
        try:
            return self._servers.ask(member, *command)
        except ClusterError:
            return None

    def _ask_running(self, members: Mapping[str, str], *command: str) -> dict[str, str | None]:
        """Return the replies of the members that run, None for one that does not answer. In parallel: an engine takes
        a while to run a command in a container."""
        running = self._servers.running()
        names = [name for name in members if name in running]
        with ThreadPoolExecutor(len(names) or 1) as pool:
            return dict(zip(names, pool.map(lambda name: self._try(name, *command), names), strict=True))

    def _replication(self) -> dict[str, dict[str, str]]:
        """Return INFO replication of every running server, empty for one that does not answer."""
        replies = self._ask_running(self._servers.stores, "INFO", "replication")
        return {name: _parse_info(reply or "") for name, reply in replies.items()}

    def _follows(self, member: str, states: Mapping[str, Mapping[str, str]]) -> bool:
        """Return whether `member` is a primary, or a replica that gets everything its primary does."""
        state = states.get(member, {})
        if state.get("role") == "master":
            return True
        if state.get("master_link_status") != "up":
            return False
        # A replica reports "up" as soon as it has the earlier data. Its primary sends it new data only when it lists
        # the replica as online; if the primary died in between, acknowledged writes would be lost.
        primary = states.get(self._names.get(f"{state['master_host']}:{state['master_port']}", ""), {})
        replicas = [_parse_fields(value) for name, value in primary.items() if name.startswith("slave")]
        return any(
            f"{replica.get('ip')}:{replica.get('port')}" == self._servers.stores[member]
            and replica.get("state") == "online"
            for replica in replicas
        )

    def _all_follow(self, primaries: set[str]) -> bool:
        states = self._replication()
        masters = {name for name, state in states.items() if state.get("role") == "master"}
        return masters == primaries & states.keys() and all(self._follows(name, states) for name in states)


class SentinelControl(_Replicated):
    """A primary, its replicas and their Sentinels.

    `is_coordinated`: the servers know FAILOVER COORDINATED, which lets the replica catch up first (since Valkey 9.0).
    """

    def __init__(self, servers: RedisServers, spec: ClusterSpec, *, is_coordinated: bool) -> None:
        super().__init__(servers, spec)
        self._min_replicas = spec.store_settings.required_replicas(SERVERS - 1)
        self._is_coordinated = is_coordinated

    def primary(self) -> str:
        sentinels = self._servers.sentinels
        epochs = self._ask_running(sentinels, "SENTINEL", "MASTER", NAME)
        # Until a failover has ended, the state still names the previous primary.
        addresses = self._ask_running(sentinels, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        known: list[tuple[int, str]] = []
        for sentinel, address in addresses.items():
            if address and (state := _parse_pairs(epochs.get(sentinel) or "")):
                known.append((int(state["config-epoch"]), self._names[":".join(address.split())]))
        if not known:
            raise ClusterError("no Sentinel answers")
        return max(known)[1]

    def _failover(self, primary: str) -> None:
        self._require_running(primary)
        self._wait(self.is_settled, "the Sentinels do not agree")
        before = self.primary()
        self._require_running(before)
        with self._refuse_writes(before):
            self._wait(lambda: self._failover_finished(before), f"no replica has taken over from {before}")
            self._wait(self.is_settled, f"{before} does not follow the new primary")

    def disconnect_replicas(self) -> None:
        # The network of one machine cannot be cut between two ports, and the Sentinels must still reach a container. So
        # the replicas get a wrong password.
        self._set_password("wrong")
        self._servers.ask(self.primary(), "CLIENT", "KILL", "TYPE", "REPLICA")

    def reconnect_replicas(self) -> None:
        self._set_password(self._servers.passwords.replica)

    def prepare_restart(self, member: str) -> None:
        # A primary without a disk would come back empty, and its replicas would become empty too.
        running, sentinels = self._servers.running(), self._servers.sentinels
        has_majority = len(running & sentinels.keys()) > len(sentinels) // 2
        if has_majority and running & self._servers.stores.keys() - {member}:
            self._replace_primary(member)

    def is_settled(self) -> bool:
        states = self._sentinel_states()
        if not states or not all(states) or _in_progress(states):
            return False
        primaries = {self._name(state) for state in states}
        return len(primaries) == 1 and self._all_follow(primaries)

    def is_ready(self, member: str) -> bool:
        """Return whether a server replicates, or whether a Sentinel knows all others and enough of them to agree."""
        if member in self._servers.stores:
            return self._follows(member, self._replication())
        state = _parse_pairs(self._try(member, "SENTINEL", "MASTER", NAME) or "")
        replicas, others = int(state.get("num-slaves", 0)), int(state.get("num-other-sentinels", 0))
        if replicas < len(self._servers.stores) - 1 or others != len(self._servers.sentinels) - 1:
            return False
        commands = ("DEBUG", *FAST_RECONNECT, "tilt-period", state["failover-timeout"]), ("CKQUORUM", NAME)
        return all(self._try(member, "SENTINEL", *command) is not None for command in commands)

    def primaries(self) -> frozenset[str]:
        return frozenset({self.primary()})

    def _failover_finished(self, before: str) -> bool:
        """Return whether another server is the primary; asks for the failover if none is in progress."""
        states = self._sentinel_states()
        if not all(states):
            return False
        if self._name(max(states, key=lambda state: int(state["config-epoch"]))) != before:
            return True
        # A Sentinel that has just started is not elected, so a failed request is repeated. Both conditions use the same
        # replies, or a second failover would follow a successful one.
        if not _in_progress(states) and (self._is_coordinated or self._have_caught_up()):
            command = ["SENTINEL", "FAILOVER", NAME, *(["COORDINATED"] if self._is_coordinated else [])]
            sentinels = self._servers.running() & self._servers.sentinels.keys()
            any(self._try(sentinel, *command) is not None for sentinel in sorted(sentinels))
        return False

    def _have_caught_up(self) -> bool:
        """Return whether all running replicas have as much as the primary."""
        states = self._replication().values()
        wanted = {state.get("master_repl_offset") for state in states if state.get("role") == "master"}
        return {state.get("slave_repl_offset", state.get("master_repl_offset")) for state in states} == wanted

    @contextmanager
    def _refuse_writes(self, primary: str) -> Iterator[None]:
        """Make the primary refuse writes during a failover that is not coordinated. Redis promotes a replica that may
        lack writes, and the old primary accepts writes for some seconds more. CLIENT PAUSE would delay the Sentinels'
        commands too."""
        if self._is_coordinated:
            yield
            return
        self._servers.ask(primary, "CONFIG", "SET", "min-replicas-to-write", str(_NEVER))
        try:
            yield
        finally:
            if primary in self._servers.running():
                self._servers.ask(primary, "CONFIG", "SET", "min-replicas-to-write", str(self._min_replicas))

    def _set_password(self, password: str) -> None:
        running = self._servers.running()
        for name in self._servers.stores:
            if name in running:
                self._servers.ask(name, "CONFIG", "SET", "masterauth", secret=password)

    def _require_running(self, primary: str) -> None:
        if primary not in self._servers.running():
            raise ClusterError(f"the primary, {primary}, does not run, so no failover can be planned")

    def _sentinel_states(self) -> list[dict[str, str]]:
        """Return the state of the primary at each running Sentinel, empty for one that does not answer."""
        replies = self._ask_running(self._servers.sentinels, "SENTINEL", "MASTER", NAME)
        return [_parse_pairs(reply or "") for reply in replies.values()]

    def _name(self, state: dict[str, str]) -> str:
        return self._names[f"{state['ip']}:{state['port']}"]


class ClusterControl(_Replicated):
    """A Redis Cluster: `SHARDS` primaries with a replica each. `primary` and `failover` are about the first slot's."""

    def primary(self) -> str:
        owners = self._owners(self._tables().values())
        if 0 not in owners:
            raise ClusterError("no server of the store answers")
        return owners[0]

    def bootstrap(self) -> None:
        self._wait(self.is_settled, "the servers of the Redis Cluster do not agree")

    def prepare_restart(self, member: str) -> None:
        if self._replica(member) in self._servers.running():
            self._replace_primary(member)

    def is_settled(self) -> bool:
        views = [self._owners([table]) for table in self._tables().values()]
        return (
            bool(views)
            and all(view == views[0] for view in views)
            and len(views[0]) == SHARDS
            and self._all_follow(set(views[0].values()))
        )

    def is_ready(self, member: str) -> bool:
        """Return whether a server agrees with the others, and follows its primary if it is a replica. A replaced
        primary believes for a moment after its restart that it is still the primary."""
        if _parse_info(self._try(member, "CLUSTER", "INFO") or "").get("cluster_state") != "ok":
            return False
        tables = self._tables()
        owners = self._owners([tables.get(member, [])])
        return owners == self._owners(tables.values()) and self._follows(member, self._replication())

    def _failover(self, primary: str) -> None:
        """Promote the replica of the same shard, which first gets all that the primary has."""
        replica = self._replica(primary)
        if replica not in self._servers.running():
            raise ClusterError(f"no failover is possible: {replica}, the replica of {primary}, does not run")

        def finished() -> bool:
            if replica in self.primaries():
                return self.is_settled()
            if self._try(replica, "CLUSTER", "FAILOVER") is not None:  # None: not connected to its primary yet
                time.sleep(_PAUSE)
            return False

        self._wait(finished, f"{replica} has not taken over from {primary}")

    def _replica(self, member: str) -> str:
        """Return the other server of the same shard."""
        names = list(self._servers.stores)
        return names[(names.index(member) + SHARDS) % len(names)]

    def primaries(self) -> frozenset[str]:
        return frozenset(self._owners(self._tables().values()).values())

    def _owners(self, tables: Iterable[list[list[str]]]) -> dict[int, str]:
        """Return first slot -> primary. If two servers claim a slot, the later epoch wins."""
        owners: dict[int, tuple[int, str]] = {}
        for row in (row for table in tables for row in table):
            name, epoch = self._names.get(row[1].partition("@")[0], ""), int(row[6])
            for slots in row[8:]:
                first = slots.partition("-")[0]
                if name and first.isdecimal():
                    owners[int(first)] = max(owners.get(int(first), (-1, "")), (epoch, name))
        return {slot: name for slot, (_, name) in sorted(owners.items())}

    def _tables(self) -> dict[str, list[list[str]]]:
        """Return the rows of CLUSTER NODES of every running server, none for one that does not answer."""
        replies = self._ask_running(self._servers.stores, "CLUSTER", "NODES")
        rows = {name: [line.split() for line in (reply or "").splitlines()] for name, reply in replies.items()}
        return {name: [row for row in table if len(row) >= 8] for name, table in rows.items()}


def make_control(
    servers: RedisServers, spec: ClusterSpec, *, is_coordinated: bool
) -> StandaloneControl | SentinelControl | ClusterControl:
    """Return the control of the spec's Redis. `is_coordinated`: see `Sentinel`."""
    match spec.store:
        case StoreKind.REDIS_HA:
            return SentinelControl(servers, spec, is_coordinated=is_coordinated)
        case StoreKind.REDIS_CLUSTER:
            return ClusterControl(servers, spec)
    return StandaloneControl(servers, spec.store)


def _statistics(servers: RedisServers, member: str) -> StoreStatistics:
    commands = _parse_info(servers.ask(member, "INFO", "commandstats"))
    totals = _parse_info(servers.ask(member, "INFO", "stats"))
    counts = {
        name.removeprefix("cmdstat_").lower(): int(_parse_fields(value)["calls"]) for name, value in commands.items()
    }
    sessions = {name: count for name, count in counts.items() if count and name.partition("|")[0] not in _OVERHEAD}
    return StoreStatistics(sessions, int(totals["total_reads_processed"]))


def _in_progress(states: list[dict[str, str]]) -> bool:
    return any("failover_in_progress" in state.get("flags", "") for state in states)


def _parse_info(reply: str) -> dict[str, str]:
    """Parse the lines "name:value" of INFO and CLUSTER INFO."""
    return {name: value for name, separator, value in (line.partition(":") for line in reply.splitlines()) if separator}


def _parse_fields(value: str) -> dict[str, str]:
    """Parse "name=value,name=value"."""
    return {name: text for name, _, text in (field.partition("=") for field in value.split(","))}


def _parse_pairs(reply: str) -> dict[str, str]:
    """Parse names and values in alternate lines."""
    lines = reply.splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=False))
