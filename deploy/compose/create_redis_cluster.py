"""The one-shot service `cluster-setup` of compose.yaml: makes one Redis Cluster of servers that do not know each other.

It may run again at any time, and goes on where another run was interrupted.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import click
import redis

from deploy.container_redis import MEMBERS, PORT, SERVER_FOLDER
from deploy.local_redis_cluster import SHARDS
from deploy.redis import acl
from deploy.replication import ONCE

_SLOTS = 16384
_SECONDS = 60.0
_POLL = 0.1


def main() -> None:
    subnet = os.environ["STORE_SUBNET"]
    password = Path(SERVER_FOLDER, "password").read_text(encoding="utf-8")
    try:
        form([_operator(f"{subnet}.{last}", password) for last in MEMBERS.values()])
    except (redis.RedisError, TimeoutError) as error:
        raise click.ClickException(f"no Redis Cluster: {error}") from error


def form(servers: list[redis.Redis]) -> None:
    """Returns when all servers have agreed. The first half are the primaries; raises RedisError or TimeoutError."""
    if is_formed(servers):
        click.echo("the Redis Cluster is formed already")
        return
    for number, server in enumerate(servers[:SHARDS]):
        first, last = number * _SLOTS // SHARDS, (number + 1) * _SLOTS // SHARDS - 1
        if not _has_slots(server):
            # Before they meet, which is the only time when a server may be told its epoch: two primaries with the same
            # one take seconds to agree who has to take another.
            if _info(server)["cluster_known_nodes"] == "1":
                _do(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            _do(server, "CLUSTER", "ADDSLOTSRANGE", first, last)
    for server in servers[1:]:
        _do(servers[0], "CLUSTER", "MEET", _host(server), PORT)
    _wait("they do not all know each other", lambda: all(_knows_all(server, len(servers)) for server in servers))
    for primary, replica in zip(servers[:SHARDS], servers[SHARDS:], strict=True):
        if _role(replica) == "master" and not _has_slots(replica):
            _do(replica, "CLUSTER", "REPLICATE", _id(primary))
    _wait("they do not agree", lambda: is_formed(servers))
    click.echo(f"a Redis Cluster of {SHARDS} primaries with a replica each")


def is_formed(servers: list[redis.Redis]) -> bool:
    """Whether each server knows all others and who has every slot, and is a primary or in touch with its own."""
    for server in servers:
        state = _info(server)
        if (state["cluster_state"], state["cluster_slots_ok"]) != ("ok", str(_SLOTS)):
            return False
        if not _knows_all(server, len(servers)):
            return False
        replication = server.info("replication")
        if replication["role"] == "master" and not _has_slots(server):
            return False
        if replication["role"] != "master" and replication["master_link_status"] != "up":
            return False
    return True


def _do(server: redis.Redis, *command: str | int) -> None:
    server.execute_command(*command)  # type: ignore[no-untyped-call]


def _info(server: redis.Redis) -> dict[str, str]:
    told: dict[str, str] = server.cluster("info")
    return told


def _knows_all(server: redis.Redis, number: int) -> bool:
    nodes = server.cluster("nodes").values()
    return len(nodes) == number and not any("handshake" in node["flags"] for node in nodes)


def _myself(server: redis.Redis) -> dict[str, object]:
    nodes = server.cluster("nodes").values()
    mine: dict[str, object] = next(node for node in nodes if "myself" in node["flags"])
    return mine


def _has_slots(server: redis.Redis) -> bool:
    return bool(_myself(server)["slots"])


def _id(server: redis.Redis) -> str:
    return str(_myself(server)["node_id"])


def _role(server: redis.Redis) -> str:
    role: str = server.info("replication")["role"]
    return role


def _host(server: redis.Redis) -> str:
    host: str = server.get_connection_kwargs()["host"]
    return host


def _operator(host: str, password: str) -> redis.Redis:
    return redis.Redis(
        host=host,
        port=PORT,
        username=acl.OPERATOR,
        password=password,
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=ONCE,
        decode_responses=True,
        driver_info=None,
    )


def _wait(otherwise: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} within {_SECONDS:g} s")
        time.sleep(_POLL)


if __name__ == "__main__":
    try:
        main()
    except click.ClickException as error:
        error.show()
        raise SystemExit(1) from error
