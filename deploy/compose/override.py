"""What `docker compose` is told for a spec: the variables of compose.yaml, and what it has to say beyond them."""

import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath

from deploy.compose.docker import Project
from deploy.compose.members import SERVICES, profile_of
from deploy.container_link import link_services
from deploy.spec import ClusterSpec, RedisMode, StoreKind

_CONFIGURED = PurePosixPath("/cluster/node/configured")
# The image's command, after what was configured since the container was made.
_NODE = (
    f"if [ -f {_CONFIGURED} ]; then set -a; . {_CONFIGURED}; set +a; fi;"
    " exec python -m gunicorn -c nodes/gunicorn.conf.py 'nodes.app:from_environ()'"
)


def variables(spec: ClusterSpec, port: int, subnet: str) -> dict[str, str]:
    """Those of compose.yaml. `port`: where the proxy listens; `subnet`: three parts of the store's network."""
    settings, has_several = spec.store_settings, spec.store.has_several_servers
    return {
        "PROXY_PORT": str(port),
        "NODES": str(spec.nodes),
        "NODE_WORKERS": str(spec.workers),
        "SESSION_STORE": StoreKind.REDIS if has_several else spec.store,
        "REDIS_MODE": RedisMode.of(spec.store),
        "REDIS_MAXMEMORY": settings.max_memory,
        "STORE_SUBNET": subnet,
        "DOWN_AFTER": f"{settings.down_after:g}",
        "MIN_REPLICAS": "" if settings.min_replicas_to_write is None else str(settings.min_replicas_to_write),
        "DATABASE": spec.database,
        "COMPOSE_PROFILES": profile_of(spec),
        "SESSION_NAME": spec.session_cookie,
        "BALANCE": spec.balance,
        "CLUSTER_USERS": ",".join(spec.users),
        **settings.node_environment(has_several),
    }


def override(spec: ClusterSpec, subnet: str) -> dict[str, object]:
    """Of compose.yaml, for a cluster that is to be changed and broken."""
    # A member that was killed has to stay dead until somebody restarts it.
    services: dict[str, dict[str, object]] = {service: {"restart": "no"} for service in SERVICES}
    services["node"] |= {"environment": dict(spec.node_settings), "command": ["sh", "-c", _NODE]}
    if spec.store_proxy:
        for service, more in link_services(spec, subnet).items():
            services[service] = services.get(service, {}) | more
    return {"services": services}


def configure(project: Project, node_settings: Mapping[str, str]) -> None:
    """More environment for the nodes, which they read when they start. Raises ClusterError."""
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in node_settings.items())
    project.write(project.containers("setup")[0], _CONFIGURED, "".join(lines))
