"""The figures of docs/redis.md: `python -m tests.support.redis_figures`; with --gevent the CPU times alone."""

from __future__ import annotations

import sys

if __name__ == "__main__" and "--gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import contextlib
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import redis

from nodes.sessions import Budgets, Changes, Lifetime, RedisStore
from nodes.sessions.stores import redis_scripts
from nodes.sessions.stores.redis_record import hash_of, record_of
from tests.support.valkey import Valkey

KEY = "a" * 64
RAW = f"session:{{{KEY}}}"
LIFETIME = Lifetime(1800, 43_200)
PATIENT = Budgets(5, 5, deadline=5)
EVEN = {f"field{number}": "x" * 60 for number in range(5)}
UNEVEN = {"user": "x" * 25, "csrf": "x" * 25, "theme": "x" * 25, "seen": "x" * 25, "cart": "x" * 200}
REPETITIONS, ROUNDS = 5, 2000


def main() -> None:
    server = Valkey()
    try:
        speed(server)
        if "--gevent" in sys.argv:
            return
        memory(server)
        for delay in (0.0, 0.005):
            staleness(server, delay)
        unheard(server)
        messages(server)
    finally:
        server.close()


def encoded(values: dict[str, str]) -> dict[str, bytes]:
    return {name: msgspec.msgpack.encode(value) for name, value in values.items()}


def speed(server: Valkey) -> None:
    """CPU time of this process for each operation, in us: medians of interleaved repetitions, and their spread."""
    store = RedisStore.from_url(server.url, PATIENT)
    cached = RedisStore.from_url(server.url, PATIENT, cached_sessions=1000)
    client: Any = redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(server.url, socket_timeout=5))
    update = client.register_script(redis_scripts.UPDATE.text)
    store.create(KEY, encoded(EVEN), None, LIFETIME)
    client.set("session:flask", msgspec.msgpack.encode(EVEN))
    value = msgspec.msgpack.encode("y" * 60)

    def pipelined() -> None:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(RAW)
            pipeline.pttl(RAW)
            stored, ttl = pipeline.execute()
        record_of(KEY, hash_of(stored), ttl)

    def pipelined_write() -> None:
        pipelined()
        update([RAW], [1_800_000, 43_200_000, 0, 0, 2, "field1", value])

    def write() -> None:
        store.load(KEY)
        store.update(KEY, Changes({"field1": value}), LIFETIME)

    def flask_session() -> None:  # what version 0.8 sends in every request, whether it reads or writes
        client.get("session:flask")
        client.set("session:flask", value, ex=1800)

    ways: dict[str, Callable[[], object]] = {
        "read, redis-py's pipeline": pipelined,
        "read": lambda: store.load(KEY),
        "read, from memory": lambda: cached.load(KEY),
        "read and write, redis-py's": pipelined_write,
        "read and write": write,
        "GET, redis-py": lambda: client.get("session:flask"),
        "GET and SET EX, redis-py": flask_session,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(REPETITIONS + 1):  # the first one warms up
        for name, call in ways.items():
            started = time.process_time()
            for _ in range(ROUNDS):
                call()
            if repetition:
                taken[name].append((time.process_time() - started) / ROUNDS * 1e6)
    for name, times in taken.items():
        print(f"{name:28} {statistics.median(times):6.0f} us ({min(times):.0f} to {max(times):.0f})")
    store.close()
    cached.close()


def memory(server: Valkey) -> None:
    """MEMORY USAGE in bytes of one session of five fields and 300 bytes of data."""
    store = RedisStore.from_url(server.url, PATIENT)
    client: Any = server.client()
    cookie = {"originalMaxAge": 1_800_000, "expires": "2030-01-01T00:00:00.000Z", "httpOnly": True, "path": "/"}
    for longest in (64, 1024):
        client.config_set("hash-max-listpack-value", longest)
        for shape, values in (("even", EVEN), ("uneven", UNEVEN)):
            client.flushdb()
            store.create(KEY, encoded(values), "alice", LIFETIME)
            client.set("session:" + "i" * 43, msgspec.msgpack.encode(values), ex=1800)
            client.set("sess:" + "i" * 32, json.dumps({"cookie": cookie, **values}, separators=(",", ":")), ex=1800)
            (index,) = client.keys("session:of:*")
            sizes = [client.memory_usage(name) for name in (RAW, "session:" + "i" * 43, "sess:" + "i" * 32, index)]
            print(
                f"hash-max-listpack-value {longest}, {shape}: hash {sizes[0]}, Flask-Session {sizes[1]},"
                f" connect-redis {sizes[2]}; index of the user {sizes[3]}"
            )
    for number in range(1, 101):
        store.create(f"{number:064x}", {}, "alice", LIFETIME)
    print(f"index of a user with 101 sessions: {client.memory_usage(index)}")
    store.close()


class Late:
    """A proxy that hands on at once, but what a connection that listens is told `delay` seconds late; None: never."""

    def __init__(self, port: int, delay: float | None) -> None:
        self.delay = delay
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._to))
            listens = threading.Event()
            threading.Thread(target=self._pump, args=(client, server, listens), daemon=True).start()
            threading.Thread(target=self._pump_back, args=(server, client, listens), daemon=True).start()

    def _pump(self, client: socket.socket, server: socket.socket, listens: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
                if b"TRACKING" in data:
                    listens.set()

    def _pump_back(self, server: socket.socket, client: socket.socket, listens: threading.Event) -> None:
        with contextlib.suppress(OSError):
            self._hand_on(server, client, listens)

    def _hand_on(self, server: socket.socket, client: socket.socket, listens: threading.Event) -> None:
        while data := server.recv(65536):
            if listens.is_set() and self.delay != 0:
                if self.delay is None:
                    return
                time.sleep(self.delay)
            client.sendall(data)


def staleness(server: Valkey, delay: float) -> None:
    """1000 logouts at one node: how long another one, with a cache, goes on answering from memory.

    It reads as soon as the logout has returned. What it is told arrives `delay` seconds late.
    """
    away = RedisStore.from_url(server.url, PATIENT)
    port = Late(server.port, delay).port if delay else server.port
    node = RedisStore.from_url(f"redis://127.0.0.1:{port}/0", PATIENT, cached_sessions=2000)
    late: list[float] = []
    for number in range(1000):
        key = f"{number:064x}"
        away.create(key, {}, None, LIFETIME)
        learn(node, key)
        away.delete(key)
        late.append(until_gone(node, key) * 1e3)
    stale = [waited for waited in late if waited > 0]
    print(
        f"told {delay * 1e3:.0f} ms late: {len(stale)} of 1000 logouts were followed by an answer from memory;"
        f" the last one came after {statistics.median(late):.1f} ms (median), {max(late):.1f} ms at most"
    )
    away.close()
    node.close()


def unheard(server: Valkey) -> None:
    """The connection on which the node listens dies without a sign; then there is a logout."""
    worst = 0.0
    for number in range(10):
        line = Late(server.port, 0)
        away = RedisStore.from_url(server.url, PATIENT)
        node = RedisStore.from_url(f"redis://127.0.0.1:{line.port}/0", PATIENT, cached_sessions=10)
        key = f"{number:064x}"
        away.create(key, {}, None, LIFETIME)
        learn(node, key)
        line.delay = None
        away.delete(key)
        worst = max(worst, until_gone(node, key))
    print(f"told nothing: the last answer from memory came {worst * 1e3:.0f} ms after the logout, the worst of 10")


def learn(node: RedisStore, key: str) -> None:
    """Reads until the node answers from memory: the message about the session's creation arrives as well."""
    assert node._cache is not None
    settled = time.monotonic()
    while time.monotonic() - settled < 0.015:
        if node._cache.get(f"session:{{{key}}}") is None:
            node.load(key)
            settled = time.monotonic()


def until_gone(node: RedisStore, key: str) -> float:
    """Seconds from now until the last answer from memory; 0 where there is none."""
    began, last = time.monotonic(), 0.0
    while node.load(key) is not None:
        last = time.monotonic() - began
    return last


def messages(server: Valkey) -> None:
    """What a node pays for each change of a session anywhere."""
    away = RedisStore.from_url(server.url, PATIENT)
    node = RedisStore.from_url(server.url, PATIENT, cached_sessions=20_000)
    keys = [f"{number:064x}" for number in range(10_000)]
    for key in keys:
        away.create(key, {}, None, LIFETIME)
    for _ in range(2):
        for key in keys:
            node.load(key)
    for key in keys:
        away.update(key, Changes(), LIFETIME)
    started = time.process_time()
    node.load(KEY)
    print(f"each change anywhere costs each node {(time.process_time() - started) / len(keys) * 1e6:.1f} us")
    away.close()
    node.close()


if __name__ == "__main__":
    main()
