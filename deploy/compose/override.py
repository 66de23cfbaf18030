"""A spec as input of `docker compose`: variables of compose.yaml, an override file, the fault proxy."""

import secrets
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath

from deploy.compose.docker import Project
from deploy.compose.services import SERVICES, find_profile, store_services
from deploy.fault_proxy import FaultProxy
from deploy.spec import ClusterSpec, RedisMode, StoreKind

SUBNET_ERRORS = ("Pool overlaps", "networks have overlapping IPv4")
"""The engine's errors for a subnet that another of its networks has."""
_CONFIGURED = PurePosixPath("/cluster/node/configured")
# The image's command, with the variables that were configured since the container was made.
_NODE = (
    f"if [ -f {_CONFIGURED} ]; then set -a; . {_CONFIGURED}; set +a; fi;"
    " exec python -m gunicorn -c nodes/gunicorn.conf.py 'nodes.app:from_environ()'"
)
_NODE_USER = 10001
"""The image's user `app`."""
_FAULT_PROXY = "fault-proxy"
_LAST_PART = 41
"""The last part of the fault proxy's address."""


def choose_subnet() -> str:
    """Return the first three parts of one of 512 subnets in 198.18.0.0/15. This range is reserved for benchmarks, so
    no network is there that a machine has to reach. If another project has the subnet, try again."""
    return f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"


def make_variables(spec: ClusterSpec, port: int, subnet: str) -> dict[str, str]:
    """Return the variables of compose.yaml. `port` is the proxy's; `subnet`: three parts of the store's network."""
    settings, has_several = spec.store_settings, spec.store.has_several_servers
    return {
        "PROXY_PORT": str(port),
        "NODES": str(spec.nodes),
        "NODE_WORKERS": str(spec.workers),
        "SESSION_STORE": StoreKind.REDIS if has_several else spec.store,
        "REDIS_MODE": RedisMode.from_store(spec.store),
        "REDIS_MAXMEMORY": settings.max_memory,
        "STORE_SUBNET": subnet,
        "DOWN_AFTER": f"{settings.down_after:g}",
        "MIN_REPLICAS": "" if settings.min_replicas_to_write is None else str(settings.min_replicas_to_write),
        "DATABASE": spec.database,
        "COMPOSE_PROFILES": find_profile(spec),
        "SESSION_NAME": spec.session_cookie,
        "BALANCE": spec.balance,
        "CLUSTER_USERS": ",".join(spec.users),
        **settings.node_environment(has_several),
    }


def make_override(spec: ClusterSpec, subnet: str) -> dict[str, object]:
    """Return the override of compose.yaml for a cluster that is to be changed and broken."""
    # A member that was killed has to stay dead until it is restarted.
    services: dict[str, dict[str, object]] = {service: {"restart": "no"} for service in SERVICES}
    services["node"] |= {"environment": dict(spec.node_settings), "command": ["sh", "-c", _NODE]}
    if spec.store_proxy:
        # The nodes' hosts files name the proxy's address for the store, so that they reach it by the URL they have.
        (store,) = store_services(spec)
        address = f"{subnet}.{_LAST_PART}"
        services["node"]["extra_hosts"] = [f"{store}:{address}"]
        services[_FAULT_PROXY] = {
            "image": "${COMPOSE_PROJECT_NAME}-image",
            "pull_policy": "never",
            "user": "app",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "init": True,
            "command": ["sleep", "infinity"],
            "networks": {"store": {"ipv4_address": address}},
        }
    return {"services": services, "volumes": _make_volumes(spec)}


def _make_volumes(spec: ClusterSpec) -> dict[str, object]:
    """Return the volume of the sessions, if it has a size. It is empty again once no container uses it."""
    if not spec.store_disk:
        return {}
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={spec.store_disk},uid={_NODE_USER},mode=0700"}
    return {"sessions": {"driver": "local", "driver_opts": options}}


def start_fault_proxy(project: Project, spec: ClusterSpec) -> FaultProxy:
    """Start the proxy between nodes and store; nodes do not become ready without it. Raises ClusterError."""
    project.compose("up", "--detach", "--no-build", _FAULT_PROXY, timeout=spec.start_timeout)
    (container,) = project.containers(_FAULT_PROXY)
    (store,) = store_services(spec)
    port = SERVICES[store].port
    addresses = (f"{store}:{port}", f"0.0.0.0:{port}")
    program = ("python", "-S", "-E", "/app/deploy/tcp_proxy.py", *addresses)
    return FaultProxy(("docker", "exec", "--interactive", container.id, *program))


def configure(project: Project, node_settings: Mapping[str, str]) -> None:
    """Set more variables of the nodes, which they read when they start. Raises ClusterError."""
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in node_settings.items())
    project.write(project.containers("setup")[0].id, _CONFIGURED, "".join(lines))
