"""A store that is highly available: a primary, two replicas, and three Sentinels, at fixed addresses of 127.0.0.1."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from nodes.sessions import Budgets, StoreUnavailable
from nodes.sessions.stores.redis.address import ServerList
from nodes.sessions.stores.redis.sentinel import Sentinels

NAME = "sessions"
"""What the Sentinels call the primary."""
SERVERS = 3
QUORUM = 2
_POLL = 0.02
# A Sentinel connects to a server no sooner than a second after it has last tried. With a down-after of a second, each
# change of the primary makes it think that the new one is down, and when two of them do so at once the next failover
# begins, which nobody asked for (seen on Valkey 9.1.2, in two of three planned failovers). Not quicker: a replica whose
# last INFO, of which there is one a second while the primary is down, is older than five ping periods is not elected.
_QUICK = ("MIN-LINK-RECONNECT-PERIOD", "50", "PING-PERIOD", "400")
_COORDINATED_SINCE = (9, 0)
"""Of Valkey: FAILOVER lets the replica catch up first, so that a planned failover loses nothing."""


class SentinelStore(LocalStore):
    """Server `store-1` is the primary at first.

    A server keeps nothing on disk (unless `append_only`), so an old primary that came back as one would be empty, and
    its replicas with it. Here it comes back as a replica of whoever is the primary by then.
    """

    def __init__(
        self,
        binary: StoreServer,
        spec: ClusterSpec,
        state: StateDir,
        rights: acl.Rights,
        rights_at_sentinels: acl.Rights,
    ) -> None:
        super().__init__(spec.store)
        self._binary = binary
        self._spec = spec
        self._state = state
        self._passwords = acl.Passwords()
        self._acl = state.secret("users.acl", binary.acl_file(self._passwords.node, rights, self._passwords))
        at_sentinels = acl.sentinel_acl_file(self._passwords, rights_at_sentinels)
        self._sentinel_acl = state.secret("sentinel-users.acl", at_sentinels)
        self._ids = [secrets.token_hex(20) for _ in range(SERVERS)]
        ports = free_ports(2 * SERVERS)
        self._stores = [self._store(number, ports[number]) for number in range(SERVERS)]
        self._sentinels = [self._sentinel(number, ports[SERVERS + number]) for number in range(SERVERS)]
        self.stages = [self._stores[:1], self._stores[1:], self._sentinels]

    def disconnect_replicas(self) -> None:
        """Replicas lose touch with the primary, and find no way back."""
        # With a wrong password: the network of this machine cannot be cut between two of its ports.
        self._let_replicate(False)
        primary = next(server for server in self._stores if server.name == self.primary())
        self._ask(primary, "CLIENT", "KILL", "TYPE", "REPLICA")

    def reconnect_replicas(self) -> None:
        """Undoes that."""
        self._let_replicate(True)

    def _let_replicate(self, allowed: bool) -> None:
        for server in self._stores:
            if server.running():
                self._ask(server, "CONFIG", "SET", "masterauth", self._passwords.replica if allowed else "wrong")

    def _ask(self, server: Server, *command: str) -> None:
        try:
            with self._operator(server.port) as client:
                client.execute_command(*command)
        except redis.RedisError as error:
            raise ClusterError(f"{server.name} does not do what it is told: {error}") from error

    def node_environment(self) -> Mapping[str, str]:
        return {"REDIS_URL_FILE": str(url_file(self._state, self._url(acl.NODE, self._passwords.node)))}

    def primary(self) -> str:
        by_port = {server.port: server.name for server in self._stores}
        try:
            # Patient, for a machine that has a lot to do.
            return by_port[self._asked(Budgets(2, 2)).primaries()[0].port]
        except StoreUnavailable as error:
            raise ClusterError(str(error)) from error

    def failover(self) -> None:
        before = self.primary()
        command = ["SENTINEL", "FAILOVER", NAME]
        if self._binary.is_valkey and self._binary.version >= _COORDINATED_SINCE:
            command.append("COORDINATED")
        deadline = time.monotonic() + self._spec.start_timeout
        refused = "it has not begun"
        while time.monotonic() < deadline:
            # Again where it came to nothing: a Sentinel that has just started is not heard yet, and not elected.
            if self.primary() == before and self.is_settled():
                refused = self._ask_for_failover(command)
                time.sleep(10 * _POLL)
            elif self.primary() != before and self.is_settled():
                return
            time.sleep(_POLL)
        raise ClusterError(f"the store has not failed over within {self._spec.start_timeout:g} s: {refused}")

    def before_restart(self, server: Server) -> None:
        if self.primary() != server.name or not self._has_heir(server):
            return
        if server.running():
            self.failover()
            return
        if server.process is not None:
            server.process.kill()  # paused, it must not come to itself between being stopped and being replaced
        deadline = time.monotonic() + self._spec.start_timeout
        while self.primary() == server.name:
            if time.monotonic() > deadline:
                raise ClusterError(f"the Sentinels have made no other primary within {self._spec.start_timeout:g} s")
            time.sleep(_POLL)

    def _has_heir(self, server: Server) -> bool:
        sentinels = sum(sentinel.running() for sentinel in self._sentinels)
        return sentinels > SERVERS // 2 and any(one.running() for one in self._stores if one is not server)

    def is_settled(self) -> bool:
        """Whether all Sentinels agree, none of them is at work, and the servers follow."""
        primaries = set()
        for sentinel in self._sentinels:
            if sentinel.running():
                if (state := self._state_at(sentinel.port)) is None or state["is_failover_in_progress"]:
                    return False
                primaries.add(state["port"])
        running = [server.port for server in self._stores if server.running()]
        roles = [self._role_at(port) for port in running]
        # One that was silent while it was replaced thinks for some seconds that it is the primary still.
        return len(primaries) == 1 and None not in roles and roles.count("master") <= 1

    def statistics(self) -> StoreStatistics:
        name = self.primary()
        port = next(server.port for server in self._stores if server.name == name)
        return statistics(self._operator(port))

    def _ask_for_failover(self, command: list[str]) -> str:
        """What became of it, for an error message."""
        said = "no Sentinel answers"
        for sentinel in self._sentinels:
            try:
                with self._operator(sentinel.port) as client:
                    client.execute_command(*command)
                    return f"{sentinel.name} has begun it"
            except redis.RedisError as error:
                said = f"{sentinel.name}: {error}"
        return said

    def _asked(self, budgets: Budgets) -> Sentinels:
        parsed = ServerList.parse(self._url("", ""))
        assert parsed is not None
        return Sentinels(replace(parsed, sentinel_user=f"{acl.OPERATOR}:{self._passwords.operator}"), budgets, None)

    def _url(self, user: str, password: str) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self._sentinels)
        who = f"sentinel_username={acl.NODE}&sentinel_password={self._passwords.node_at_sentinels}"
        return f"redis+sentinel://{user}:{password}@{places}/{NAME}?{who}"

    def _store(self, number: int, port: int) -> Server:
        name = f"store-{number + 1}"
        log = self._state.logs / f"{name}.log"
        folder = self._state.server_folder(name)
        command = partial(self._store_command, number, folder)
        return Server(
            name,
            Role.STORE,
            port,
            log,
            command,
            lambda _: environment({}),
            lambda port: self._role_at(port) is not None,
        )

    def _store_command(self, number: int, folder: Path, port: int) -> list[str]:
        settings = self._spec.store_settings
        options = self._binary.options(settings) | {
            "masteruser": acl.REPLICA,
            "masterauth": self._passwords.replica,
            "min-replicas-to-write": str(settings.guard(SERVERS - 1)),
            "min-replicas-max-lag": str(settings.max_lag),
            # A replica that has lost its primary answers nothing rather than what was.
            "replica-serve-stale-data": "no",
            # Told to end, a primary would wait for its replicas, which end as well.
            "shutdown-timeout": "0",
            # Without a disk, a replica that is "online" is sent nothing new for up to a second more.
            "repl-diskless-sync": "no",
            "repl-diskless-load": "on-empty-db",
        }
        if (primary := self._primary_for(number)) is not None:
            options["replicaof"] = f"127.0.0.1 {primary.port}"
        return self._binary.configured(
            self._state.secrets / f"store-{number + 1}.conf", port, self._acl, folder, options
        )

    def _primary_for(self, number: int) -> Server | None:
        """Whom this server is to follow when it starts; None: nobody."""
        primary = self._stores[0]
        if any(sentinel.process is not None for sentinel in self._sentinels):
            name = self.primary()
            primary = next(server for server in self._stores if server.name == name)
        return None if primary is self._stores[number] else primary

    def _sentinel(self, number: int, port: int) -> Server:
        name = f"sentinel-{number + 1}"
        log = self._state.logs / f"{name}.log"
        command = partial(self._sentinel_command, number)
        return Server(name, Role.SENTINEL, port, log, command, lambda _: environment({}), self._sentinel_is_ready)

    def _sentinel_command(self, number: int, port: int) -> list[str]:
        conf = self._state.secrets / f"sentinel-{number + 1}.conf"
        if not conf.exists():  # it keeps what it has learned
            self._state.secret(conf.name, "\n".join(self._sentinel_conf(number)) + "\n")
        return [str(self._binary.binary), str(conf), "--sentinel", "--port", str(port)]

    def _sentinel_conf(self, number: int) -> list[str]:
        down_after = round(self._spec.store_settings.down_after * 1000)
        others = [each for each in range(SERVERS) if each != number]
        return [
            "bind 127.0.0.1",
            f"dir {self._state.server_folder(f'sentinel-{number + 1}')}",
            f"aclfile {self._sentinel_acl}",
            f"sentinel sentinel-user {acl.SENTINEL}",
            f"sentinel sentinel-pass {self._passwords.sentinel}",
            f"sentinel myid {self._ids[number]}",
            f"sentinel monitor {NAME} 127.0.0.1 {self._stores[0].port} {QUORUM}",
            f"sentinel auth-user {NAME} {acl.SENTINEL}",
            f"sentinel auth-pass {NAME} {self._passwords.sentinel}",
            f"sentinel down-after-milliseconds {NAME} {down_after}",
            # How long an attempt may take; after twice as much the next one begins.
            f"sentinel failover-timeout {NAME} {max(5 * down_after, 5000)}",
            # Told, they need not find each other, which takes them 2 s.
            *(f"sentinel known-replica {NAME} 127.0.0.1 {store.port}" for store in self._stores[1:]),
            *(
                f"sentinel known-sentinel {NAME} 127.0.0.1 {self._sentinels[one].port} {self._ids[one]}"
                for one in others
            ),
        ]

    def _role_at(self, port: int) -> str | None:
        return role_at(port, self._passwords.operator)

    def _sentinel_is_ready(self, port: int) -> bool:
        """Whether it knows all others, and enough of them are there to agree on a failover."""
        state = self._state_at(port)
        if state is None or state["num-slaves"] < SERVERS - 1 or state["num-other-sentinels"] != SERVERS - 1:
            return False
        try:
            with self._operator(port) as client:
                client.execute_command("SENTINEL", "DEBUG", *_QUICK)
                client.execute_command("SENTINEL", "CKQUORUM", NAME)
        except redis.RedisError:
            return False
        return True

    def _state_at(self, port: int) -> dict[str, Any] | None:
        """What a Sentinel knows about the primary; None where it does not answer."""
        try:
            with self._operator(port) as client:
                state: dict[str, Any] = client.sentinel_master(NAME)
        except redis.RedisError:
            return None
        state["is_failover_in_progress"] = "failover_in_progress" in state["flags"]
        return state

    def _operator(self, port: int) -> redis.Redis:
        return operator(port, self._passwords.operator)
