"""Commands for a shell, in the place of what a console that has no access to the engine can't do itself."""

import shlex

from deploy import ClusterSpec, MemberState, StoreKind
from deploy.compose.services import PROFILES
from deploy.compose.watched import WatchedCluster
from deploy.spec import Database, RedisMode

LOG_LINES = 40
PROFILE = "console"
_ON_CONTAINER = {"kill": "kill", "pause": "pause", "resume": "unpause", "restart": "restart"}
_FAILOVER = (
    'REDISCLI_AUTH="$(cat /cluster/sentinels/operator-password)"'
    " redis-cli -p 26379 --user operator sentinel failover sessions"
)


def type_instead(cluster: WatchedCluster, do: str, argument: str) -> str:
    """Return the line that does the same as a command; empty if there is none."""
    compose = f"docker compose --project-name {cluster.project}"
    match do:
        case "look":
            return f"docker logs --tail {LOG_LINES} {cluster.container(argument)}"
        case "nodes":
            return f"{compose} up --detach --no-deps --no-recreate --scale node={argument} node"
        case "policy":
            return _up(cluster, cluster.spec.store, cluster.spec.database, argument)
        case "store":
            return _up(cluster, StoreKind(argument), Database.SQLITE, cluster.spec.balance)
        case "failover" if cluster.spec.store is StoreKind.REDIS_HA:
            return f"{compose} exec sentinel-1 sh -c {shlex.quote(_FAILOVER)}"
        case "undo":
            return _undo(cluster)
    return f"docker {_ON_CONTAINER[do]} {cluster.container(argument)}" if do in _ON_CONTAINER else ""


def _up(cluster: WatchedCluster, store: StoreKind, database: Database, policy: str) -> str:
    """Return the line that starts the project with other settings. All that are known are in it: `up` would undo the
    others."""
    variables = {"SESSION_STORE": "redis" if store.has_several_servers else store.value}
    mode = RedisMode.from_store(store)
    if mode is not RedisMode.STANDALONE:
        variables["REDIS_MODE"] = mode.value
    if database is not Database.SQLITE:
        variables["DATABASE"] = database.value
    variables["BALANCE"] = policy
    spec = ClusterSpec(store=store, database=database)
    server = PROFILES.get(mode) or (spec.database_server.name if spec.database_server else "")
    if store is StoreKind.EXPRESS:
        server = store.value
    profiles = " ".join(f"--profile {one}" for one in (server, PROFILE) if one)
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    up = f"up --detach --scale node={max(1, cluster.node_count)}"
    return f"{settings} docker compose --project-name {cluster.project} {profiles} {up}"


def _undo(cluster: WatchedCluster) -> str:
    """Return the line that continues what is silent and starts what has ended; the store's servers may be either."""
    members = cluster.members()

    def containers(*states: MemberState) -> str:
        return " ".join(cluster.container(one.name) for one in members if one.state in states)

    paused = containers(MemberState.SILENT, MemberState.UNKNOWN)
    ended = containers(MemberState.ENDED, MemberState.UNKNOWN)
    lines = ([f"docker unpause {paused}"] if paused else []) + ([f"docker start {ended}"] if ended else [])
    return "; ".join(lines)  # the first one fails for those that are not paused, after it has continued the others
