"""A store of several real servers, as in a cluster."""

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
from deploy.redis.control import ClusterControl, SentinelControl
from tests.support.waiting import wait_until

ADMIN = "admin"


class SeveralServers:
    """The servers of one store. `client` connects to the current primary with all rights."""

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
    def store(self) -> SentinelControl | ClusterControl:
        assert isinstance(self.redis.control, SentinelControl | ClusterControl)
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

    def is_replaced(self, primary: str) -> bool:
        """Return whether another server takes writes in place of `primary`, whether or not anybody knows it yet."""
        others = [name for name in self.redis.stores if name != primary]
        if self._kind is StoreKind.REDIS_CLUSTER:
            assert isinstance(self.store, ClusterControl)
            others = [self.store._replica(primary)]
        for name in others:
            with self.client_of(name) as client:
                if client.role()[0] == b"master":
                    return True
        return False

    def kill(self, name: str) -> None:
        process = self.servers[name].process
        assert process is not None
        process.kill()

    def restart(self, name: str) -> None:
        """Restart a server in any state, and wait until it is ready."""
        server = self.servers[name]
        if name.startswith("store"):
            self.store.prepare_restart(name)
        if server.process is not None:
            server.process.kill()
        self._group.start([server], 30)

    def mend(self) -> None:
        """Restart the servers that do not run, and wait until the store is complete."""
        for name, server in self.servers.items():
            if not server.running():
                self.restart(name)
        wait_until(lambda: all(server.ready() for server in self.servers.values()), "all servers answer")
        wait_until(self.store.is_settled, "they are one store")

    @contextlib.contextmanager
    def paused(self, *names: str) -> Iterator[None]:
        """Pause these servers, or all of the store, inside the block."""
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
