"""The link between the nodes and the store of a cluster in containers: a container that stands in for the store's.

The nodes' own hosts file has the store's name with its address, so that they reach it by the URL that they have anyway.
"""

from deploy.compose.docker import Project
from deploy.compose.members import PORTS, store_services
from deploy.fault_proxy import FaultProxy
from deploy.spec import ClusterSpec

SERVICE = "link"
_PLACE = 41
"""The last part of its address."""


def link_services(spec: ClusterSpec, subnet: str) -> dict[str, dict[str, object]]:
    """What compose.yaml is to say as well, service by service."""
    (store,) = store_services(spec)
    address = f"{subnet}.{_PLACE}"
    link = {
        "image": "session-cluster",
        "pull_policy": "never",
        "user": "app",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "command": ["sleep", "infinity"],
        "networks": {"store": {"ipv4_address": address}},
    }
    return {SERVICE: link, "node": {"extra_hosts": [f"{store}:{address}"]}}


def open_link(project: Project, spec: ClusterSpec) -> FaultProxy:
    """Starts its container, which the nodes need to become ready, and the proxy in there. Raises ClusterError."""
    project.compose("up", "--detach", "--no-build", SERVICE, timeout=spec.start_timeout)
    (container,) = project.containers(SERVICE)
    (store,) = store_services(spec)
    port = PORTS[store]
    proxy = ("python", "-S", "-E", "/app/deploy/tcp_proxy.py", f"{store}:{port}", f"0.0.0.0:{port}")
    return FaultProxy(("docker", "exec", "--interactive", container.id, *proxy))
