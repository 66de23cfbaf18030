"""Containers as members of a cluster: what they are called, how they are, whether they are ready."""

import re
import time
from collections.abc import Iterable

from deploy.cluster import Member, MemberState, Role
from deploy.compose.docker import Container, Project
from deploy.container_proxy import NODE_PORT, PORT
from deploy.container_redis import MEMBERS, PROFILES, SENTINEL_PORT, SENTINELS, STORES
from deploy.container_redis import PORT as REDIS_PORT
from deploy.container_redis import SERVICES as REDIS_SERVICES
from deploy.errors import ClusterError
from deploy.local.servers import http_ok
from deploy.spec import ClusterSpec, Database, RedisMode, StoreKind

_ROLES = {
    "proxy": Role.PROXY,
    "node": Role.NODE,
    **dict.fromkeys(("redis", *STORES, *MEMBERS, Database.MYSQL, Database.POSTGRES), Role.STORE),
    **dict.fromkeys(SENTINELS, Role.SENTINEL),
}
SERVICES = tuple(_ROLES)
"""Those of compose.yaml that can be members of a cluster."""
_STATES = {"running": MemberState.RUNNING, "paused": MemberState.PAUSED}
PORTS = {
    "proxy": PORT,
    "node": NODE_PORT,
    **dict.fromkeys(("redis", *STORES, *MEMBERS), REDIS_PORT),
    **dict.fromkeys(SENTINELS, SENTINEL_PORT),
    Database.MYSQL: 3306,
    Database.POSTGRES: 5432,
}
"""Service -> where it listens."""
_REDIS = ("redis", "redis-server --version")
VERSIONS = {
    "proxy": ("nginx", "nginx -v 2>&1"),
    **dict.fromkeys(("redis", *STORES, *MEMBERS), _REDIS),
    Database.MYSQL: ("mariadb", "mariadbd --no-defaults --version 2>/dev/null"),
    Database.POSTGRES: ("postgres", "postgres --version"),
}
"""Service -> its program, and what that answers with its version."""
_NETWORKS = {Role.PROXY: "app", Role.NODE: "app", Role.STORE: "store", Role.SENTINEL: "store"}
_POLL = 0.1


def node_name(container: Container) -> str:
    """What a node calls itself, too."""
    return member_name("node", container.number)


def member_name(service: str, number: int) -> str:
    """What a member is called whose container is this one of its service."""
    role = _ROLES[service]
    if role is Role.NODE:
        return f"{role.value}-{number}"
    # "shard-4" is a store as well: what a cluster calls its members does not depend on what they run on.
    return f"{role.value}-{service.partition('-')[2]}" if "-" in service else role.value


def profile_of(spec: ClusterSpec) -> str:
    """The profile of compose.yaml that the store needs; empty where it needs none."""
    return PROFILES.get(RedisMode.of(spec.store)) or database_of(spec) or ""


def database_of(spec: ClusterSpec) -> Database | None:
    """Which database has to run beside the nodes: a service of compose.yaml, and the profile that it is in."""
    return spec.database if spec.store is StoreKind.SQL and spec.database is not Database.SQLITE else None


def store_services(spec: ClusterSpec) -> tuple[str, ...]:
    """The services that keep the sessions, and look after those who do; none where no server does."""
    if spec.store.needs_redis:
        return REDIS_SERVICES[RedisMode.of(spec.store)]
    database = database_of(spec)
    return (database,) if database else ()


def members_of(project: Project, spec: ClusterSpec) -> dict[str, Container]:
    """Name -> container, in the order of `deploy.Cluster.members`. A store that no node uses is none of them, though
    compose.yaml starts Redis in any case."""
    by_service: dict[str, list[Container]] = {}
    for container in project.containers():
        by_service.setdefault(container.service, []).append(container)
    services = ("proxy", "node", *store_services(spec))
    return {
        member_name(service, container.number): container
        for service in services
        for container in by_service.get(service, ())
    }


def role_of(container: Container) -> Role:
    """What it is there for."""
    return _ROLES[container.service]


def state_of(container: Container) -> MemberState:
    """Without regard to the proxy's rotation."""
    return _STATES.get(container.state, MemberState.ENDED)


def as_member(name: str, container: Container, drained: bool) -> Member:
    """As the world may see it."""
    role, state = role_of(container), state_of(container)
    address = container.addresses.get(_NETWORKS[role], "")
    return Member(
        name=name,
        role=role,
        address=f"{address}:{PORTS[container.service]}" if address else "",
        pid=container.pid or None,
        log=f"docker logs {container.name}",
        state=MemberState.DRAINED if drained and state is MemberState.RUNNING else state,
    )


def wait_until_ready(project: Project, containers: Iterable[Container], port: int, timeout: float) -> None:
    """Return when all answer; `port` is the proxy's, as published. Raises ClusterError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    waiting = list(containers)
    while waiting := [one for one in waiting if not _ready(project, one, port)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"not ready within {timeout:g} s: {', '.join(one.name for one in waiting)}")
        time.sleep(_POLL)


def _ready(project: Project, container: Container, port: int) -> bool:
    match role_of(container):
        case Role.PROXY:
            return http_ok(port, "/proxy/health")
        case Role.NODE:
            return project.succeeds(
                container, "bash", "/app/deploy/compose/entrypoints/http-check.sh", str(NODE_PORT), "/ready"
            )
        case Role.STORE | Role.SENTINEL:
            return any(one.healthy for one in project.containers(container.service))


def last_words(project: Project, complaint: str) -> str:
    """The last log line of the first service that the engine's complaint names."""
    for service in ("cluster-setup", "setup", *SERVICES):
        if re.search(rf"\b{service}\b", complaint):
            said = project.compose("logs", "--no-color", "--no-log-prefix", "--tail", "1", service, timeout=30).strip()
            return f": {said}" if said else ""
    return ""
