"""A spec as input of `docker stack deploy`: settings of the stack, and an override of stack.yaml."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.compose.proxy import ALL_NODES
from deploy.spec import ClusterError, ClusterSpec, StoreKind
from deploy.swarm.machines import Machines
from deploy.swarm.settings import OWN_URL, StackSettings
from deploy.swarm.stack import write_files
from proxy import Balance, ProxySettingsError, UpstreamServer, render
from proxy.containers import container_settings

CONF = "/tmp/nginx.conf"  # noqa: S108 - in memory, of the container alone
"""The configuration of a proxy that can be changed: a copy of the stack's, since that can't."""
STORE_PROXY = "store-proxy"
SOCKET = "redis.sock"
_CONFIGURED = "/cluster/configured"
_PROXY = (
    "trap 'exit 0' QUIT; for _ in $(seq 100); do getent hosts node >/dev/null && break; sleep 0.2; done;"
    f" cp -n /cluster/proxy/nginx.conf {CONF}; exec nginx -p /tmp/ -c {CONF} -e stderr -g 'daemon off;'"
)
# The image's command, with the variables that were configured since the stack was made.
_NODE = (
    f"if [ -f {_CONFIGURED}/settings ]; then set -a; . {_CONFIGURED}/settings; set +a; fi;"
    " exec python -m gunicorn -c nodes/gunicorn.conf.py 'nodes.app:from_environ()'"
)
_RESTART_DELAY = "5s"
"""How long a member that was killed stays dead."""
# Several machines share the cores of this one, with other work: what is slow must not be ended for it.
_PATIENT = {"HEALTH_RETRIES": "20", "START_PERIOD": "120s"}


def make_settings(spec: ClusterSpec, name: str, image: str, machines: Machines, folder: Path) -> StackSettings:
    """Return the stack's settings, and write the secrets into `folder`. Raises ClusterError."""
    if spec.store is not StoreKind.REDIS:
        raise ClusterError(f"clusters on Swarm have their sessions in redis, not in {spec.store}: choose that")
    for unable in ("tls", "revision", "application", "store_disk"):
        if getattr(spec, unable):
            raise ClusterError(f"{unable} is not for clusters on Swarm: leave it out")
    first = machines.names[0]
    variables = {
        "NODE_WORKERS": str(spec.workers),
        "SESSION_NAME": spec.session_cookie,
        "REDIS_MAXMEMORY": spec.store_settings.max_memory,
        "RESTART_DELAY": _RESTART_DELAY,
        **_PATIENT,
        "REDIS_REPLICAS": "1",
        "REDIS_MACHINE": first,
        "STORE_INTERNAL": "true",
        "STORE_NETWORK": "store",
        **spec.store_settings.node_environment(has_replicas=False),
    }
    settings = StackSettings(
        name=name,
        image=image,
        nodes=spec.nodes,
        balance=spec.balance,
        store_machine=first,
        users=spec.users,
        variables=variables,
        resolve_image="never",
    )
    write_files(settings, folder, ())
    if not spec.store_proxy:
        return settings
    url = (folder / OWN_URL).read_text(encoding="utf-8")
    return replace(settings, store_url=url.replace("@redis:", f"@{STORE_PROXY}:"))


def make_override(spec: ClusterSpec, settings: StackSettings, machines: Machines, one_proxy: bool) -> dict[str, Any]:
    """Return the override of stack.yaml for a cluster that is to be changed and broken."""
    here = {"constraints": [f"node.hostname == {settings.store_machine}"]}
    services: dict[str, dict[str, Any]] = {
        "proxy": {"entrypoint": ["sh", "-c", _PROXY.replace("$", "$$")]},
        "node": {
            "command": ["sh", "-c", _NODE],
            "environment": dict(spec.node_settings),
            "volumes": [f"configured:{_CONFIGURED}"],
        },
        # This process shares the machine's disk, and not its network.
        "redis": {
            "command": [
                *("redis-server", "/cluster/store/redis.conf", "--maxmemory", spec.store_settings.max_memory),
                *("--unixsocket", f"/socket/{SOCKET}", "--unixsocketperm", "777"),
            ],
            "volumes": [{"type": "bind", "source": str(socket_folder(machines)), "target": "/socket"}],
        },
    }
    if one_proxy:
        services["proxy"]["deploy"] = {"mode": "replicated", "replicas": 1, "placement": here}
    if spec.store_proxy:
        services[STORE_PROXY] = {
            "image": settings.image,
            "user": "10001",
            "read_only": True,
            "cap_drop": ["ALL"],
            "init": True,
            "command": ["sleep", "infinity"],
            "networks": ["store"],
            "deploy": {"endpoint_mode": "dnsrr", "placement": here},
        }
    return {"version": "3.8", "services": services, "volumes": {"configured": {}}}


def write_override(override: Mapping[str, Any], folder: Path) -> Path:
    """Write it as a file; JSON is YAML, too."""
    path = folder / "override.json"
    path.write_text(json.dumps(override), encoding="utf-8")
    return path


def socket_folder(machines: Machines) -> Path:
    """Return the folder of the store's socket, which the store's container and this process share."""
    folder = machines.folder / "socket"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return folder


def render_proxy(spec: ClusterSpec, nodes: tuple[UpstreamServer, ...] = (), policy: Balance | None = None) -> str:
    """Return the nginx.conf of each proxy, with these nodes or all that the DNS knows. Raises ClusterError."""
    changes = {
        "expose_internals": True,  # load tests read which node was tried
        "balance": spec.balance if policy is None else policy,
        "session_cookie": spec.session_cookie,
        **spec.proxy_settings,
    }
    try:
        return render(container_settings(nodes or (ALL_NODES,), **changes))
    except ProxySettingsError as error:
        raise ClusterError(str(error)) from error


def configure(machines: Machines, settings: StackSettings, node_settings: Mapping[str, str]) -> None:
    """Set more variables of the nodes on every machine, which they read when they start. Raises ClusterError."""
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in node_settings.items())
    volume = f"{settings.name}_configured:/configured"
    words = ("run", "--rm", "--interactive", "--network", "none", "--user", "0", "--volume", volume, settings.image)
    for name in machines.names:
        machines.engine(name).docker(*words, "sh", "-c", "cat > /configured/settings", stdin=text)
