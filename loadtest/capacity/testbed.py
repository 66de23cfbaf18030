"""A small cluster to measure: one node with one worker behind nginx, a filled store, and the CPU of each of them."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from deploy import ClusterError, LocalCluster, Role, StoreKind
from deploy.local.processes import child_environment
from deploy.redis import acl
from deploy.spec import StoreSettings
from loadtest.capacity.figures import Part, RequestKind
from loadtest.capacity.population import Population, owner
from loadtest.capacity.redis_contents import RedisContents
from loadtest.capacity.sql_contents import SqlContents
from loadtest.cpu import cpu_seconds, cpu_seconds_with_children
from loadtest.experiment import cluster as make_spec
from nodes.sessions import Lifetime
from nodes.sessions.cookie import hash_id
from nodes.shop import MAX_ITEM_CHARACTERS, MAX_ITEMS

LEAST_BYTES, MOST_BYTES = 100, 5000
CONNECTIONS = 4
"""Of the load: with one, each packet wakes a process that sleeps, which no busy cluster does."""
_IDLE_SECONDS = 2.0
_LIFETIME = Lifetime(43_200, 86_400)
"""So long that no read of a measurement touches its session. A touch is a write of its own."""
_SETTINGS = {
    "SESSION_IDLE_TIMEOUT": f"{_LIFETIME.idle:g}",
    "SESSION_ABSOLUTE_TIMEOUT": f"{_LIFETIME.absolute:g}",
    "SESSION_SWEEP_SECONDS": "0",
}
_MEMBERS = {"redis": StoreKind.REDIS_HA, "redis-cluster": StoreKind.REDIS_CLUSTER, "sql": StoreKind.SQL}
STORES = tuple(_MEMBERS)


@dataclass(frozen=True)
class LoadSample:
    """One load: microseconds of CPU for each request by part, and bytes for each request."""

    cpu: Mapping[Part, float]
    client_bytes: float
    store_bytes: float
    replication_bytes: float


class Testbed:
    """A context manager; the cluster ends with it. Raises ClusterError, redis.RedisError, OSError."""

    __test__ = False  # for pytest

    def __init__(
        self, store: str, data_bytes: int, nginx: str | None = None, store_server: str | None = None, seed: str = "1"
    ) -> None:
        self.store = store
        self._data_bytes = data_bytes
        self._seed = seed
        spec = make_spec(
            1,
            _MEMBERS[store],
            users=(owner(0),),
            node_settings=_SETTINGS,
            start_timeout=120.0,
            # The replicas are away while the store is filled.
            store_settings=StoreSettings(max_memory="0", min_replicas_to_write=0),
        )
        self._cluster = LocalCluster(spec, None, nginx, store_server, rights=acl.FILL)
        self._rounds = 0
        self._idle: Mapping[Part, float] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._cluster)
            session_id = self._log_in()
            population = Population(self._seed)
            if self.store == "sql":
                self.contents: RedisContents | SqlContents = SqlContents(
                    self._cluster.node_environment["DATABASE_URL"], population, hash_id(session_id)
                )
            else:
                self.contents = RedisContents(self._cluster, population, hash_id(session_id), _LIFETIME)
            stack.callback(self.contents.close)
            self._client = stack.enter_context(start_client())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is not None:  # in the middle of a load, which the client would finish
                self._client.kill()
                assert self._client.stdin is not None
                with suppress(BrokenPipeError):  # a part of the next plan
                    self._client.stdin.close()

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the proxy's and the store's programs."""
        return self._cluster.versions

    @property
    def worker_bytes(self) -> float:
        """The memory that a worker of the node does not share."""
        (node,) = self._pids(Role.NODE)
        return float(psutil.Process(node).children()[0].memory_full_info().uss)

    def rest(self) -> None:
        """Measure what each part spends when idle, which later runs leave out."""
        before, began = self._cpu(), time.monotonic()
        time.sleep(_IDLE_SECONDS)
        elapsed = time.monotonic() - began
        self._idle = {part: (used - before[part]) / elapsed for part, used in self._cpu().items()}

    def run(self, kind: RequestKind, requests: int, writes: float | None = None) -> LoadSample:
        """Send requests of one kind, or a mix with this share of writes, to random sessions."""
        self._rounds += 1
        requests -= requests % CONNECTIONS
        plan = {
            "kind": kind,
            "writes": float(kind is RequestKind.WRITE) if writes is None else writes,
            "requests": requests,
            "connections": CONNECTIONS,
            "port": urlsplit(self._cluster.url).port,
            "seed": self._seed,
            "round": self._rounds,
            "sessions": self.contents.count,
            "cookie": self._cluster.spec.session_cookie,
            "secrets_file": self._cluster.node_environment["SESSION_SECRETS_FILE"],
            "password": self._cluster.users[owner(0)],
        }
        clients, replication = self.contents.bytes_sent()
        cpu, began = self._cpu(), time.monotonic()
        done = self._ask_client(plan)
        used, elapsed = self._cpu(), time.monotonic() - began
        if "error" in done:
            raise ClusterError(f"the load failed: {done['error']}")
        clients_after, replication_after = self.contents.bytes_sent()
        return LoadSample(
            {
                part: max(0.0, used[part] - cpu[part] - self._idle.get(part, 0.0) * elapsed) / requests * 1e6
                for part in used
            },
            done["bytes"] / requests,
            (clients_after - clients) / requests,
            (replication_after - replication) / requests,
        )

    def _ask_client(self, plan: dict[str, Any]) -> dict[str, Any]:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(json.dumps(plan) + "\n")
        self._client.stdin.flush()
        line = self._client.stdout.readline()
        if not line:
            raise ClusterError("the load generator ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _cpu(self) -> Mapping[Part, float]:
        """Return the CPU time so far of each part, in seconds."""
        cpu = {
            Part.PROXY: sum(cpu_seconds_with_children(pid) for pid in self._pids(Role.PROXY)),
            Part.NODE: sum(cpu_seconds_with_children(pid) for pid in self._pids(Role.NODE)),
        }
        if isinstance(self.contents, RedisContents):
            cpu[Part.STORE] = sum(cpu_seconds(pid) for pid in self._pids(Role.STORE, self.contents.primaries))
        return cpu

    def _pids(self, role: Role, names: Any = None) -> list[int]:
        members = self._cluster.members()
        return [one.pid for one in members if one.role is role and one.pid and (names is None or one.name in names)]

    def _log_in(self) -> str:
        """Log in as the user `owner(0)`, and put the bytes of data into the session. Return its id."""
        connection = http.client.HTTPConnection(urlsplit(self._cluster.url).netloc, timeout=10)
        try:
            cookie = ""
            headers = {"Content-Type": "application/json"}

            def post(path: str, body: Any = None) -> http.client.HTTPResponse:
                connection.request("POST", path, json.dumps(body) if body else None, {**headers, "Cookie": cookie})
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.client.OK:
                    raise ClusterError(f"POST {path} is answered with {answer.status}")
                return answer

            answer = post("/login", {"user": owner(0), "password": self._cluster.users[owner(0)]})
            name = self._cluster.spec.session_cookie
            cookie = next(
                match[0] for text in answer.msg.get_all("Set-Cookie", []) if (match := re.match(f"{name}=[^;]+", text))
            )
            post("/visits")
            for item in _make_items(self._data_bytes):
                post("/cart", {"item": item, "quantity": 1})
        finally:
            connection.close()
        return cookie.partition("=")[2].rpartition(".")[0]


def start_client() -> subprocess.Popen[str]:
    """Start the load's process, which ends with its input."""
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest.capacity.client"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
        start_new_session=True,  # Ctrl-C at the terminal is for the command, which stops the others in order
    )


def _make_items(size: int) -> list[str]:
    """Return the names of items that fill a cart, so that the session's data have about `size` bytes."""
    left = size - LEAST_BYTES + MAX_ITEM_CHARACTERS // 2
    count = min(MAX_ITEMS, max(1, round(left / MAX_ITEM_CHARACTERS)))
    length = max(4, min(MAX_ITEM_CHARACTERS, left // count - 3))
    return [f"{number:03d}".ljust(length, "x") for number in range(count)]
