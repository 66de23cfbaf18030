"""A Redis of several servers in containers: who they are, where they are, and what each is told at its first start.

Their addresses are fixed, in the network `store` of compose.yaml: Sentinels and the servers of a Redis Cluster know
each other by address, and a name that Docker does not know while a container is gone would be an error there.
"""

import hashlib
import re

from deploy.errors import ClusterError
from deploy.local_redis_cluster import SHARDS
from deploy.local_sentinel import NAME, QUORUM
from deploy.redis import acl
from deploy.spec import RedisMode

PORT, SENTINEL_PORT = 6379, 26379
STORES = {f"store-{number}": 10 + number for number in (1, 2, 3)}
"""Service of `--profile ha` -> the last part of its address. The first is the primary at first."""
SENTINELS = {f"sentinel-{number}": 20 + number for number in (1, 2, 3)}
MEMBERS = {f"shard-{number}": 30 + number for number in range(1, 2 * SHARDS + 1)}
"""Of `--profile cluster`: at first the first half are the primaries, and the others their replicas in this order."""
SERVICES = {RedisMode.STANDALONE: ("redis",), RedisMode.SENTINEL: (*STORES, *SENTINELS), RedisMode.CLUSTER: (*MEMBERS,)}
PROFILES = {RedisMode.SENTINEL: "ha", RedisMode.CLUSTER: "cluster"}
SERVER_FOLDER, SENTINEL_FOLDER = "/cluster/servers", "/cluster/sentinels"
_SUBNET = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){2}(?:25[0-5]|2[0-4]\d|1?\d?\d)")
_SERVER = """\
port 6379
bind *
protected-mode no
aclfile {folder}/users.acl
dir /data/{name}
save ""
appendonly yes
maxmemory-policy noeviction
hash-max-listpack-value 1024
masteruser {user}
masterauth {password}
min-replicas-max-lag 2
# A replica that has lost its primary answers nothing rather than what was.
replica-serve-stale-data no
# Told to end, a primary would wait for its replicas, which end as well.
shutdown-timeout 0
# Without a disk, a replica that is "online" is sent nothing new for up to a second more.
repl-diskless-sync no
repl-diskless-load on-empty-db
"""
_IN_CLUSTER = """\
cluster-enabled yes
cluster-config-file nodes.conf
# The sessions of the other shards go on while one has no primary.
cluster-require-full-coverage no
cluster-allow-replica-migration no
"""
_SENTINEL = """\
port 26379
bind *
protected-mode no
aclfile {folder}/users.acl
dir /data/{name}
sentinel sentinel-user {user}
sentinel sentinel-pass {password}
sentinel myid {myself}
sentinel monitor {primary} {first} 6379 {quorum}
sentinel auth-user {primary} {user}
sentinel auth-pass {primary} {password}
"""


def check_subnet(subnet: str) -> None:
    """Raises ClusterError for what STORE_SUBNET cannot be."""
    if not _SUBNET.fullmatch(subnet):
        raise ClusterError(f"STORE_SUBNET={subnet} cannot be: give the first three parts, as in 172.31.77")


def urls(passwords: acl.Passwords, subnet: str) -> dict[RedisMode, str]:
    """What the nodes are told of each kind."""
    sentinels, members = (
        ",".join(f"{subnet}.{last}:{port}" for last in places.values())
        for places, port in ((SENTINELS, SENTINEL_PORT), (MEMBERS, PORT))
    )
    who = f"sentinel_username={acl.NODE}&sentinel_password={passwords.node_at_sentinels}"
    return {
        RedisMode.SENTINEL: f"redis+sentinel://{acl.NODE}:{passwords.node}@{sentinels}/{NAME}?{who}",
        RedisMode.CLUSTER: f"redis+cluster://{acl.NODE}:{passwords.node}@{members}",
    }


def server_files(passwords: acl.Passwords, subnet: str) -> dict[str, str]:
    """Name -> text of the configurations that servers begin with; they rewrite their copies."""
    first = next(iter(STORES))
    files = {}
    for name in (*STORES, *MEMBERS):
        text = _SERVER.format(folder=SERVER_FOLDER, name=name, user=acl.REPLICA, password=passwords.replica)
        if name in MEMBERS:
            text += _IN_CLUSTER
        elif name != first:
            text += f"replicaof {subnet}.{STORES[first]} {PORT}\n"
        files[f"{name}.conf"] = text
    return files


def sentinel_files(passwords: acl.Passwords, subnet: str) -> dict[str, str]:
    """The same of the Sentinels. Told of all others, they need not find them, which takes seconds."""
    first, *replicas = (f"{subnet}.{last}" for last in STORES.values())
    # The same at every start, since those that have started already know each other by it.
    ids = {name: hashlib.sha256(f"{name} {passwords.sentinel}".encode()).hexdigest()[:40] for name in SENTINELS}
    files = {}
    for name in SENTINELS:
        lines = [f"sentinel known-replica {NAME} {replica} {PORT}" for replica in replicas]
        for other, last in SENTINELS.items():
            if other != name:
                lines.append(f"sentinel known-sentinel {NAME} {subnet}.{last} {SENTINEL_PORT} {ids[other]}")
        text = _SENTINEL.format(
            folder=SENTINEL_FOLDER,
            name=name,
            user=acl.SENTINEL,
            password=passwords.sentinel,
            myself=ids[name],
            primary=NAME,
            first=first,
            quorum=QUORUM,
        )
        files[f"{name}.conf"] = text + "\n".join(lines) + "\n"
    return files
