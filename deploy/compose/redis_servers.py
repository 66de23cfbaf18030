"""The Redis servers and Sentinels of a cluster in containers: find them, kill them, ask them."""

import json
from functools import cached_property

from deploy.cluster import MemberState, Role
from deploy.compose.docker import Project
from deploy.compose.services import (
    REDIS_PORT,
    SENTINELS,
    SERVICES,
    find_addresses,
    find_members,
    member_name,
    store_services,
)
from deploy.redis import acl, config
from deploy.spec import ClusterError, ClusterSpec, StoreKind

# The password is not an argument, which every user of this machine could read.
ASK = 'REDISCLI_AUTH="$(cat /cluster/{folder}/operator-password)" exec redis-cli -e --raw --user "$0" -p {port} "$@"'


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
        return acl.Passwords(**json.loads(self._project.read(setup.id, "/cluster/operator/passwords.json")))

    def url(self) -> str:
        """The URL of the single server. This machine reaches it if the engine's networks are its own, as on Linux."""
        if self._spec.store is not StoreKind.REDIS:
            raise ClusterError(f"sessions are in {self._spec.store}, not in a Redis with the nodes' user")
        (server,) = self._project.containers("redis")
        if "store" not in server.addresses:
            raise ClusterError("the store does not run, so it has no address: restart it first")
        password = self._project.read(server.id, "/cluster/store/password")
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
        script = ASK.format(folder=folder, port=SERVICES[service].port)
        options = ["-x"] if secret else []  # the last argument is stdin
        container = f"{self._project.name}-{service}-1"
        words = ("exec", "--interactive", container, "sh", "-c", script, acl.OPERATOR, *options, *command)
        return self._project.docker(*words, timeout=5.0, stdin=secret)
