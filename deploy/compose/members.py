"""The services of compose.yaml that can be members of a cluster: names, addresses, roles, states; and the Redis servers
among them."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from deploy.cluster import Member, MemberState, Role
from deploy.compose.docker import Container, Project
from deploy.redis import acl, config
from deploy.spec import ClusterError, ClusterSpec, Database, RedisMode, StoreKind
from deploy.waiting import holds_within, http_ok

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
    "proxy": Service(Role.PROXY, 8080, "nginx", "nginx -v 2>&1"),
    "node": Service(Role.NODE, 8000),
    **dict.fromkeys(("redis", *STORES, *SHARDS), _REDIS),
    **dict.fromkeys(SENTINELS, _SENTINEL),
    Database.MYSQL: Service(Role.STORE, 3306, "mariadb", "mariadbd --no-defaults --version 2>/dev/null"),
    Database.POSTGRES: Service(Role.STORE, 5432, "postgres", "postgres --version"),
}
PROXY_PORT, NODE_PORT = SERVICES["proxy"].port, SERVICES["node"].port
REDIS_PORT, SENTINEL_PORT = _REDIS.port, _SENTINEL.port
# The password is not an argument, which every user of this machine could read.
_ASK = 'REDISCLI_AUTH="$(cat /cluster/{folder}/operator-password)" exec redis-cli -e --raw --user "$0" -p {port} "$@"'


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
    return _find_store(spec)[0]


def store_services(spec: ClusterSpec) -> tuple[str, ...]:
    """Return the services of the store's servers and its Sentinels; none for a store without a server."""
    return _find_store(spec)[1]


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


def read_versions(project: Project, containers: Iterable[Container]) -> dict[str, str]:
    """Return program -> version of the running containers."""
    outputs: dict[str, str] = {}
    for container in containers:
        service = SERVICES[container.service]
        if service.program and service.program not in outputs and container.state is MemberState.RUNNING:
            outputs[service.program] = project.docker("exec", container.id, "sh", "-c", service.version_command)
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


class ComposeRedis:
    """The Redis servers of a cluster: `deploy.redis.control.RedisServers`. `subnet`: the first three parts of the
    addresses in the network `store`.

    Commands run inside their containers, because the engine may be on another machine.
    """

    def __init__(self, project: Project, spec: ClusterSpec, subnet: str) -> None:
        self._project = project
        self._spec = spec
        self._services = {member_name(service): service for service in store_services(spec)}
        addresses = find_addresses(subnet)
        self.stores, self.sentinels = (
            {name: addresses[service] for name, service in self._services.items() if SERVICES[service].role is role}
            for role in (Role.STORE, Role.SENTINEL)
        )

    @cached_property
    def passwords(self) -> acl.Passwords:
        setup = self._project.containers("setup")[0]
        return acl.Passwords(**json.loads(self._project.read(setup, "/cluster/operator/passwords.json")))

    def url(self) -> str:
        """The URL of the single server. This machine reaches it if the engine's networks are its own, as on Linux."""
        if self._spec.store is not StoreKind.REDIS:
            raise ClusterError(f"sessions are in {self._spec.store}, not in a Redis with the nodes' user")
        (server,) = self._project.containers("redis")
        if "store" not in server.addresses:
            raise ClusterError("the store does not run, so it has no address: restart it first")
        password = self._project.read(server, "/cluster/store/password")
        return config.redis_url(password, f"{server.addresses['store']}:{REDIS_PORT}")

    def running(self) -> frozenset[str]:
        members = find_members(self._project, self._spec).items()
        return frozenset(name for name, one in members if one.state is MemberState.RUNNING)

    def kill(self, member: str) -> None:
        container = find_members(self._project, self._spec)[member]
        if container.state is MemberState.PAUSED:  # the engine does not kill a paused one
            self._project.docker("unpause", container.id)
        if container.state is not MemberState.ENDED:
            self._project.docker("kill", container.id)

    def ask(self, member: str, *command: str, secret: str = "") -> str:
        service = self._services[member]
        folder = "sentinels" if service in SENTINELS else "store" if service == "redis" else "servers"
        script = _ASK.format(folder=folder, port=SERVICES[service].port)
        options = ["-x"] if secret else []  # the last argument is stdin
        container = f"{self._project.name}-{service}-1"
        words = ("exec", "--interactive", container, "sh", "-c", script, acl.OPERATOR, *options, *command)
        return self._project.docker(*words, timeout=5.0, stdin=secret)


def _find_store(spec: ClusterSpec) -> tuple[str, tuple[str, ...]]:
    """Return the profile and the services of the store."""
    match spec.store:
        case StoreKind.REDIS_HA:
            return PROFILES[RedisMode.SENTINEL], (*STORES, *SENTINELS)
        case StoreKind.REDIS_CLUSTER:
            return PROFILES[RedisMode.CLUSTER], (*SHARDS,)
        case StoreKind.SQL if spec.database is not Database.SQLITE:
            return spec.database, (spec.database,)
    return "", ("redis",) if spec.store.needs_redis else ()


def _ready(project: Project, container: Container, proxy_port: int) -> bool:
    match SERVICES[container.service].role:
        case Role.PROXY:
            return http_ok(proxy_port, "/proxy/health")
        case Role.NODE:
            check = ("bash", "/app/deploy/compose/entrypoints/http-check.sh", str(NODE_PORT), "/ready")
            return project.succeeds(container, *check)
        case Role.STORE | Role.SENTINEL:
            return any(one.healthy for one in project.containers(container.service))
