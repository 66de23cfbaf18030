"""Figures of docs/redis.md: `python -m loadtest.bench.redis_figures REDIS_URL`; with --gevent the CPU times alone.

Empties the database that the URL names.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and "--gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import redis

from nodes.sessions import Budgets, Changes, Lifetime, RedisStore
from nodes.sessions.stores.redis import scripts
from nodes.sessions.stores.redis.scripts import to_dict, to_record

KEY = "a" * 64
RAW = f"session:{{{KEY}}}"
LIFETIME = Lifetime(1800, 43_200)
PATIENT = Budgets(5, 5, deadline=5)
EVEN = {f"field{number}": "x" * 60 for number in range(5)}
UNEVEN = {"user": "x" * 25, "csrf": "x" * 25, "theme": "x" * 25, "seen": "x" * 25, "cart": "x" * 200}
REPETITIONS, ROUNDS = 5, 2000


def main() -> None:
    urls = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if len(urls) != 1:
        sys.exit("error: give the URL of an empty Redis database, such as redis://127.0.0.1:6379/9")
    speed(urls[0])
    if "--gevent" not in sys.argv:
        memory(urls[0])


def encoded(values: dict[str, str]) -> dict[str, bytes]:
    return {name: msgspec.msgpack.encode(value) for name, value in values.items()}


def speed(url: str) -> None:
    """Print the CPU time of this process for each operation, in us: median and range of interleaved repetitions."""
    store = RedisStore.from_url(url, PATIENT)
    client: Any = redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, socket_timeout=5))
    update = client.register_script(scripts.UPDATE.text)
    store.create(KEY, encoded(EVEN), None, LIFETIME)
    client.set("session:flask", msgspec.msgpack.encode(EVEN))
    value = msgspec.msgpack.encode("y" * 60)

    def pipelined() -> None:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(RAW)
            pipeline.pttl(RAW)
            stored, ttl = pipeline.execute()
        to_record(KEY, to_dict(stored), ttl)

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


def memory(url: str) -> None:
    """Print MEMORY USAGE in bytes of one session of five fields and 300 bytes of data."""
    store = RedisStore.from_url(url, PATIENT)
    client: Any = redis.Redis.from_url(url)
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


if __name__ == "__main__":
    main()
