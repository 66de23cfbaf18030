"""A store of several real servers, as a cluster has it, for tests: started once, ended by their processes' ids."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from deploy import ClusterSpec, StoreKind, StoreSettings
from deploy.local.redis_server import LocalRedis, RedisBinary
from deploy.local.servers import ServerGroup
from deploy.redis.acl import SESSIONS, Rights
from deploy.redis.control import Cluster, Sentinel
from tests.support.waiting import wait_until

ADMIN = "admin"


class SeveralServers:
    """`url` is the nodes'. `client` may do anything, at the primary of this moment."""

    def __init__(self, kind: StoreKind, rights: Rights = SESSIONS, **settings: Any) -> None:
        self._kind = kind
        self._group = ServerGroup(None)
        state = self._group.state
        spec = ClusterSpec(store=kind, store_settings=StoreSettings(**settings))
        self.redis = LocalRedis(RedisBinary(), spec, state, rights)
        with (state.secrets / "users.acl").open("a") as acl:
            acl.write(f"user {ADMIN} on >{ADMIN} ~* &* +@all\n")
        self.servers = {server.name: server for stage in self.redis.stages for server in stage}
        try:
            for stage in self.redis.stages:
                self._group.start(stage, 30)
            if kind is not StoreKind.REDIS:
                self.store.bootstrap()
        except BaseException:
            self.close()
            raise

    @property
    def store(self) -> Sentinel | Cluster:
        assert isinstance(self.redis.control, Sentinel | Cluster)
        return self.redis.control

    @property
    def url(self) -> str:
        return Path(self.redis.node_environment()["REDIS_URL_FILE"]).read_text()

    def client(self) -> Any:
        if self._kind is StoreKind.REDIS_CLUSTER:
            port = self.servers[self.store.primary()].port
            return redis.RedisCluster("127.0.0.1", port, username=ADMIN, password=ADMIN, socket_timeout=5)
        return self.client_of(self.store.primary())

    def client_of(self, name: str) -> Any:
        return redis.Redis(
            "127.0.0.1", self.servers[name].port, username=ADMIN, password=ADMIN, socket_timeout=5, driver_info=None
        )

    def kill(self, name: str) -> None:
        process = self.servers[name].process
        assert process is not None
        process.kill()

    def restart(self, name: str) -> None:
        """From whatever state it is in."""
        server = self.servers[name]
        if name.startswith("store"):
            self.store.prepare_restart(name)
        if server.process is not None:
            server.process.kill()
        self._group.start([server], 30)

    def mend(self) -> None:
        """Brings back all that is not running, and waits until they are one again."""
        for name, server in self.servers.items():
            if not server.running():
                self.restart(name)
        wait_until(lambda: all(server.ready() for server in self.servers.values()), "all servers answer")
        wait_until(self.store.is_settled, "they are one store")

    @contextlib.contextmanager
    def paused(self, *names: str) -> Iterator[None]:
        """These, or all servers of the store, silent."""
        chosen = names or [name for name in self.servers if name.startswith("store")]
        pids = [process.pid for name in chosen if (process := self.servers[name].process) is not None]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        for server in self.servers.values():
            if server.process is not None:
                server.process.kill()
        self._group.close()
