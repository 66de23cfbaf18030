"""The configuration files of Redis servers, wherever they run: redis.conf, sentinel.conf, nodes.conf; and URLs.

Addresses are "host:port"; servers are named as the members of the cluster, "store-1" or "sentinel-1".
"""

import hashlib
from collections.abc import Iterable, Mapping

from deploy.redis import acl
from deploy.spec import StoreKind

NAME = "sessions"
"""The name of the primary at the Sentinels."""
QUORUM = 2
"""How many Sentinels must agree that the primary is down."""
SERVERS = 3
"""A primary and its replicas; as many Sentinels."""
SHARDS = 3
"""Primaries of a Redis Cluster. Server number n + SHARDS is the replica of server number n."""
# A Sentinel connects to a server no sooner than a second after its last attempt. With a down-after of a second, each
# change of the primary makes it believe that the new one is down, and when two of them do so at once an unwanted
# failover begins (Valkey 9.1.2, in two of three planned failovers). The period must not be shorter: a replica whose
# last INFO, sent once a second while the primary is down, is older than five ping periods is not elected.
FAST_RECONNECT = ("min-link-reconnect-period", "100", "ping-period", "400")
"""Arguments of SENTINEL DEBUG: options that no configuration file has and that a Sentinel loses at a restart."""
_MAX_LAG = "2"
"""Seconds since the last message of a replica, sent once a second, for which it counts as connected."""
_SLOTS = 16384
_EMPTY = '""'
_SINCE_LISTPACK = (7, 0, 0)


def server_names(store: StoreKind) -> tuple[list[str], list[str]]:
    """Return the names of a store's servers, of which the first is the primary at first, and of its Sentinels."""
    match store:
        case StoreKind.REDIS_HA:
            numbers = range(1, SERVERS + 1)
            return [f"store-{number}" for number in numbers], [f"sentinel-{number}" for number in numbers]
        case StoreKind.REDIS_CLUSTER:
            return [f"store-{number}" for number in range(1, 2 * SHARDS + 1)], []
    return ["store"], []


def redis_options(acl_file: str, folder: str, version: tuple[int, ...]) -> dict[str, str]:
    """Return the options that every server has: no snapshots, and writes are refused when the memory is full."""
    return {
        "aclfile": acl_file,
        "dir": folder,
        "save": "",
        # Any other policy than noeviction logs users out silently.
        "maxmemory-policy": "noeviction",
        # Sessions with values of up to 1 KiB stay compact: 504 bytes instead of 854 with one of 200 (Redis 8.0.2).
        "hash-max-listpack-value" if version >= _SINCE_LISTPACK else "hash-max-ziplist-value": "1024",
    }


def replication_options(passwords: acl.Passwords, primary: str | None = None) -> dict[str, str]:
    """Return the options of a server that has replicas or is one. `primary` is the one it replicates at its start."""
    options = {
        "masteruser": acl.REPLICA,
        "masterauth": passwords.replica,
        "min-replicas-max-lag": _MAX_LAG,
        # A replica that has lost its primary must not answer with old data.
        "replica-serve-stale-data": "no",
        # By default a primary that is stopped waits for its replicas, which are stopped as well.
        "shutdown-timeout": "0",
        # Diskless, a replica that is "online" gets nothing new for up to a second more.
        "repl-diskless-sync": "no",
        "repl-diskless-load": "on-empty-db",
    }
    return options if primary is None else {**options, "replicaof": primary.replace(":", " ")}


CLUSTER_OPTIONS = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    # The sessions of the other shards stay available while one has no primary.
    "cluster-require-full-coverage": "no",
    "cluster-allow-replica-migration": "no",
}


def redis_conf(options: Mapping[str, str]) -> str:
    """Return the text of a redis.conf."""
    return "".join(f"{name} {value or _EMPTY}\n" for name, value in options.items())


def sentinel_conf(
    name: str,
    options: Mapping[str, str],
    passwords: acl.Passwords,
    stores: Iterable[str],
    sentinels: Mapping[str, str],
    down_after: float,
) -> str:
    """Return the text of a Sentinel's configuration, which it rewrites itself later.

    `stores` are the servers' addresses, the primary's first; `sentinels` those of all Sentinels by name. `down_after`
    is in seconds.
    """
    primary, *replicas = (address.replace(":", " ") for address in stores)
    milliseconds = round(down_after * 1000)
    lines = [
        f"sentinel sentinel-user {acl.SENTINEL}",
        f"sentinel sentinel-pass {passwords.sentinel}",
        f"sentinel myid {_make_id(name, passwords)}",
        f"sentinel monitor {NAME} {primary} {QUORUM}",
        f"sentinel auth-user {NAME} {acl.SENTINEL}",
        f"sentinel auth-pass {NAME} {passwords.sentinel}",
        # Sentinels that know each other from the start need not discover each other, which takes 2 s.
        *(f"sentinel known-replica {NAME} {replica}" for replica in replicas),
        *(
            f"sentinel known-sentinel {NAME} {address.replace(':', ' ')} {_make_id(other, passwords)}"
            for other, address in sentinels.items()
            if other != name
        ),
        f"sentinel down-after-milliseconds {NAME} {milliseconds}",
        # The timeout of one failover; the next one begins after twice as much. The tilt-period is as long: for that
        # time a Sentinel that stood still for 2 s takes part in no failover. By default it is 30 s, and two that were
        # paused one after another left users without a primary for 42 s. It must be longer than down-after: a failover
        # that such a Sentinel had begun goes on after it, and nodes may have a lease from before it answered again.
        f"sentinel failover-timeout {NAME} {max(2 * milliseconds, 5000)}",
    ]
    return redis_conf(options) + "\n".join(lines) + "\n"


def nodes_conf(name: str, passwords: acl.Passwords, addresses: Mapping[str, str]) -> str:
    """Return the text of the nodes.conf that a server of a Redis Cluster starts with: all servers, their roles and
    slots. So they need not meet, which takes seconds.

    `addresses` have the port of the cluster bus as well: "127.0.0.1:10001@10002".
    """
    ids = [_make_id(other, passwords) for other in addresses]
    lines = []
    for number, (other, address) in enumerate(addresses.items()):
        shard, is_primary = number % SHARDS, number < SHARDS
        flags = ("myself," if other == name else "") + ("master" if is_primary else "slave")
        replicates = "-" if is_primary else ids[shard]
        first, last = shard * _SLOTS // SHARDS, (shard + 1) * _SLOTS // SHARDS - 1
        slots = f" {first}-{last}" if is_primary else ""
        # Each epoch differs: two primaries with one epoch would take seconds to agree which of them gets another.
        lines.append(f"{ids[number]} {address} {flags} {replicates} 0 0 {shard + 1} connected{slots}")
    return "\n".join([*lines, f"vars currentEpoch {SHARDS} lastVoteEpoch 0"]) + "\n"


def redis_url(password: str, address: str, user: str = acl.NODE) -> str:
    """Return the URL of a single server."""
    return f"redis://{user}:{password}@{address}/0"


def sentinel_url(passwords: acl.Passwords, sentinels: Iterable[str]) -> str:
    """Return the URL that the nodes get for servers with Sentinels."""
    query = f"sentinel_username={acl.NODE}&sentinel_password={passwords.node_at_sentinels}"
    return f"redis+sentinel://{acl.NODE}:{passwords.node}@{','.join(sentinels)}/{NAME}?{query}"


def cluster_url(passwords: acl.Passwords, servers: Iterable[str]) -> str:
    """Return the URL that the nodes get for a Redis Cluster."""
    return f"redis+cluster://{acl.NODE}:{passwords.node}@{','.join(servers)}"


def _make_id(name: str, passwords: acl.Passwords) -> str:
    # Equal at every start, because servers that have started before know each other by their ids.
    return hashlib.sha256(f"{name} {passwords.sentinel}".encode()).hexdigest()[:40]
