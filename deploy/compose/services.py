"""The services of compose.yaml as members of a cluster: names, addresses, roles, states. `cluster.py` controls them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.cluster import Member, MemberState, Role
from deploy.compose.docker import Container, Engine, Project
from deploy.redis import config
from deploy.spec import DATABASE_SERVERS, ClusterError, ClusterSpec, RedisMode, StoreKind
from deploy.waiting import holds_within, http_ok
from proxy import containers

# Fixed addresses in the network `store`: Sentinels and the servers of a Redis Cluster know each other by address, and
# Docker does not know the name of a container that is down.
STORES = {f"store-{number}": 10 + number for number in range(1, config.SERVERS + 1)}
"""Service of `--profile ha` -> the last part of its address. The first is the primary at first."""
SENTINELS = {f"sentinel-{number}": 20 + number for number in range(1, config.SERVERS + 1)}
SHARDS = {f"shard-{number}": 30 + number for number in range(1, 2 * config.SHARDS + 1)}
"""Services of `--profile cluster`: at first the first half are primaries, the others their replicas in this order."""
PROFILES = {RedisMode.SENTINEL: "ha", RedisMode.CLUSTER: "cluster"}


@dataclass(frozen=True)
class Service:
    """A service of compose.yaml: the role and the port of its containers, and a command that prints the version of its
    program."""

    role: Role
    port: int
    program: str = ""
    version_command: str = ""


_REDIS = Service(Role.STORE, 6379, "redis", "redis-server --version")
_SENTINEL = Service(Role.SENTINEL, 26379)
SERVICES = {
    "proxy": Service(Role.PROXY, containers.PORT, "nginx", "nginx -v 2>&1"),
    "node": Service(Role.NODE, 8000),
    **dict.fromkeys(("redis", *STORES, *SHARDS), _REDIS),
    **dict.fromkeys(SENTINELS, _SENTINEL),
    **{one.name: Service(Role.STORE, one.port, one.program, one.version_command) for one in DATABASE_SERVERS.values()},
}
PROXY_PORT, NODE_PORT = SERVICES["proxy"].port, SERVICES["node"].port
REDIS_PORT, SENTINEL_PORT = _REDIS.port, _SENTINEL.port


def member_name(service: str, number: int = 1) -> str:
    """Return the name of the member that is container `number` of a service: "node-2", "store-4" for "shard-4"."""
    role = SERVICES[service].role
    if role is Role.NODE:
        return f"{role.value}-{number}"
    return f"{role.value}-{service.partition('-')[2]}" if "-" in service else role.value


def find_addresses(subnet: str) -> dict[str, str]:
    """Return the address of every Redis server and Sentinel. `subnet`: its first three parts in the network `store`."""
    places = (STORES | SENTINELS | SHARDS).items()
    return {"redis": f"redis:{REDIS_PORT}"} | {name: f"{subnet}.{last}:{SERVICES[name].port}" for name, last in places}


def find_profile(spec: ClusterSpec) -> str:
    """Return the profile of compose.yaml that the store needs; empty if it needs none."""
    if spec.database_server is not None:
        return spec.database_server.name
    return PROFILES.get(RedisMode.from_store(spec.store), "")


def store_services(spec: ClusterSpec) -> tuple[str, ...]:
    """Return the services of the store's servers and its Sentinels; none for a store without a server."""
    if spec.database_server is not None:
        return (spec.database_server.name,)
    match spec.store:
        case StoreKind.REDIS_HA:
            return (*STORES, *SENTINELS)
        case StoreKind.REDIS_CLUSTER:
            return (*SHARDS,)
    return ("redis",) if spec.store.needs_redis else ()


def find_members(project: Project, spec: ClusterSpec) -> dict[str, Container]:
    """Return name -> container, in the order of `Cluster.members`. Redis, which compose.yaml always starts, is not
    among them if no node uses it."""
    by_service: dict[str, list[Container]] = {}
    for container in project.containers():
        by_service.setdefault(container.service, []).append(container)
    services = ("proxy", "node", *store_services(spec))
    return {
        member_name(service, container.number): container
        for service in services
        for container in by_service.get(service, ())
    }


def make_member(name: str, container: Container, drained: bool) -> Member:
    """Return a container as a member of the cluster."""
    service, state = SERVICES[container.service], container.state
    address = container.addresses.get("app" if service.role in {Role.PROXY, Role.NODE} else "store", "")
    return Member(
        name=name,
        role=service.role,
        address=f"{address}:{service.port}" if address else "",
        pid=container.pid or None,
        log=f"docker logs {container.name}",
        state=MemberState.DRAINED if drained and state is MemberState.RUNNING else state,
    )


def read_versions(running: Iterable[tuple[str, Engine, str]]) -> dict[str, str]:
    """Return program -> version of running containers; of each its service, its engine and its id."""
    outputs: dict[str, str] = {}
    for name, engine, container in running:
        service = SERVICES[name]
        if service.program and service.program not in outputs:
            outputs[service.program] = engine.docker("exec", container, "sh", "-c", service.version_command)
    return {program: match[0] for program, text in outputs.items() if (match := re.search(r"\d+(\.\d+)+", text))}


def wait_until_ready(project: Project, containers: Iterable[Container], proxy_port: int, timeout: float) -> None:
    """Block until all answer. Raises ClusterError with the names of the others after `timeout` seconds."""
    waiting = list(containers)

    def all_ready() -> bool:
        waiting[:] = [one for one in waiting if not _ready(project, one, proxy_port)]
        return not waiting

    if not holds_within(all_ready, timeout):
        raise ClusterError(f"not ready within {timeout:g} s: {', '.join(one.name for one in waiting)}")


def log_tail(project: Project, complaint: str) -> str:
    """Return ": " and the last log line of the first service that the engine's complaint names, or nothing."""
    for service in ("setup", *SERVICES):
        if re.search(rf"\b{service}\b", complaint):
            arguments = ("--no-color", "--no-log-prefix", "--tail", "1", service)
            line = project.compose("logs", *arguments, timeout=30).strip()
            return f": {line}" if line else ""
    return ""


def _ready(project: Project, container: Container, proxy_port: int) -> bool:
    match SERVICES[container.service].role:
        case Role.PROXY:
            return http_ok(proxy_port, "/proxy/health")
        case Role.NODE:
            check = ("bash", "/app/deploy/compose/entrypoints/http-check.sh", str(NODE_PORT), "/ready")
            return project.succeeds(container.id, *check)
        case Role.STORE | Role.SENTINEL:
            return any(one.healthy for one in project.containers(container.service))
