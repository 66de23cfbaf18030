"""The way of a request, from the gateway to the store: each Service, route and NetworkPolicy that it needs is there.

Each rule yields a line for each object that breaks it.
"""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from deploy.kubernetes.manifests import NODE, PROXY, Manifests, Object, Workload, matches, name_of
from deploy.kubernetes.rules import Rule, read_settings
from nodes.environment import SettingsError
from nodes.sessions.stores.redis.address import ServerList
from nodes.settings import Settings

_PORTS = {"redis": 6379, "rediss": 6379, "mysql": 3306, "mariadb": 3306, "postgresql": 5432}
_DNS_PORT = 53
_OUTWARD = ("LoadBalancer", "NodePort")
_OF_NAMESPACE = "kubernetes.io/metadata.name"
_IN_ONE_NAMESPACE = (
    *("Deployment", "StatefulSet", "Service", "ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy", "HTTPRoute"),
    *("HorizontalPodAutoscaler", "PodDisruptionBudget"),
)


def check_services(manifests: Manifests) -> Iterator[str]:
    """Services choose pods at ports that these have; nodes, proxies and StatefulSets have one."""
    services = list(manifests.of_kind("Service"))
    for each in services:
        chosen = manifests.selected(_selector(each))
        if "selector" in each["spec"] and not chosen:
            yield f"Service {name_of(each)}: its selector chooses no pod"
        for port in _ports(each):
            for workload in chosen:
                if workload.find_port(target := port.get("targetPort") or port["port"]) is None:
                    yield f"Service {name_of(each)}: {workload} has no port {target}"
    for workload in manifests.workloads():
        own = [each for each in services if workload in manifests.selected(_selector(each))]
        if not own and workload.component in (NODE, PROXY):
            yield f"{workload}: no Service chooses its pods"
        if workload.kind == "StatefulSet":
            name = workload.object["spec"].get("serviceName")
            if not any(name_of(each) == name and each["spec"].get("clusterIP") == "None" for each in own):
                yield f"{workload}: serviceName {name} must be a headless Service that chooses its pods"


def check_routes(manifests: Manifests) -> Iterator[str]:
    """Routes lead to Services that exist, and one of them to the proxies."""
    reached = {name_of(each) for each in manifests.of_kind("Service") if each["spec"].get("type") in _OUTWARD}
    for route in manifests.of_kind("HTTPRoute"):
        if not route["spec"].get("parentRefs"):
            yield f"HTTPRoute {name_of(route)}: parentRefs must name a gateway"
        for rule in route["spec"].get("rules", []):
            for backend in rule.get("backendRefs", []):
                service = manifests.find("Service", backend["name"])
                if service is None or backend.get("port") not in [port["port"] for port in _ports(service)]:
                    yield f"HTTPRoute {name_of(route)}: no Service {backend['name']} with port {backend.get('port')}"
                reached.add(backend["name"])
    proxies = [
        name_of(each)
        for each in manifests.of_kind("Service")
        if any(workload.component == PROXY for workload in manifests.selected(_selector(each)))
    ]
    if proxies and not reached & set(proxies) and not list(manifests.of_kind("Ingress")):
        yield f"nothing leads to Service {proxies[0]}: there must be an HTTPRoute, an Ingress, or type {_OUTWARD[0]}"


def check_namespace(manifests: Manifests) -> Iterator[str]:
    """All is in one namespace, which refuses privileged pods."""
    for own in {_namespace(workload.object) for workload in manifests.workloads() if workload.component == NODE}:
        for each in manifests.of_kind(*_IN_ONE_NAMESPACE):
            if _namespace(each) != own:
                yield f"{each['kind']} {name_of(each)}: its namespace must be {own}, as that of the nodes"
        for each in manifests.of_kind("Namespace"):
            if name_of(each) != own:
                yield f"Namespace {name_of(each)}: its name must be {own}, the namespace of the nodes"
    for each in manifests.of_kind("Namespace"):
        if each["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace {name_of(each)}: pod-security.kubernetes.io/enforce must be restricted"


def check_policies(manifests: Manifests) -> Iterator[str]:
    """Policies deny all traffic but that from gateway to proxy to node to store, and to the DNS."""
    policies = list(manifests.of_kind("NetworkPolicy"))
    if not any(map(_denies_all, policies)):
        yield "there must be a NetworkPolicy that denies all ingress and egress of all pods"
    for each in policies:
        yield from _check_policy(manifests, each)
    for flow in _find_flows(manifests):
        for workload, direction, peer in ((flow.source, "egress", flow.target), (flow.target, "ingress", flow.source)):
            if workload and not _allows(manifests, workload, direction, peer, flow):
                yield f"{flow}: no NetworkPolicy allows this {direction} of {workload}"


def _check_policy(manifests: Manifests, policy: Object) -> Iterator[str]:
    where = f"NetworkPolicy {name_of(policy)}"
    own = manifests.selected(policy["spec"].get("podSelector"))
    if not own:
        yield f"{where}: its selector chooses no pod"
    for direction, peer_of in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction, []):
            peers = [peer["podSelector"] for peer in rule.get(peer_of, []) if set(peer) == {"podSelector"}]
            for peer in peers:
                if not manifests.selected(peer):
                    yield f"{where}: a rule of {direction} chooses no pod"
            receivers = (
                own if direction == "ingress" else [found for peer in peers for found in manifests.selected(peer)]
            )
            for port in rule.get("ports", []):
                for workload in receivers:
                    if "port" in port and workload.find_port(port["port"]) is None:
                        yield f"{where}: {workload} has no port {port['port']}"


def _denies_all(policy: Object) -> bool:
    spec = policy["spec"]
    is_both = sorted(spec.get("policyTypes", [])) == ["Egress", "Ingress"]
    return spec.get("podSelector") == {} and is_both and not spec.get("ingress") and not spec.get("egress")


class _Flow(NamedTuple):
    """Traffic that requests need, to a port by its number. None: what is not among the manifests."""

    source: Workload | None
    target: Workload | None
    port: int
    protocol: str = "TCP"
    outside: str = ""
    """What is outside."""

    def __str__(self) -> str:
        return f"{self.source or self.outside} to {self.target or self.outside} at port {self.port}"


def _find_flows(manifests: Manifests) -> Iterator[_Flow]:
    workloads = manifests.workloads()
    nodes = [each for each in workloads if each.component == NODE]
    proxies = [each for each in workloads if each.component == PROXY]
    for each in (*proxies, *nodes):
        yield _Flow(each, None, _DNS_PORT, "UDP", "DNS")
    for proxy in proxies:
        for port in _find_ports(manifests, proxy):
            yield _Flow(None, proxy, port, outside="gateway")
        for node in nodes:
            for port in _find_ports(manifests, node):
                yield _Flow(proxy, node, port)
    for node in nodes:
        for host, port in _find_servers(manifests, node):
            targets = _find_targets(manifests, host, port)
            for target, number in targets:
                yield _Flow(node, target, number)
            if not targets and _is_full(host):
                yield _Flow(node, None, port, outside=host)


def _find_ports(manifests: Manifests, workload: Workload) -> set[int]:
    """Return the ports of a workload that Services lead to."""
    services = (each for each in manifests.of_kind("Service") if workload in manifests.selected(_selector(each)))
    ports = (port.get("targetPort") or port["port"] for each in services for port in _ports(each))
    return {number for port in ports if (number := workload.find_port(port)) is not None}


def check_store(manifests: Manifests) -> Iterator[str]:
    """The nodes' store is a Service of these manifests, with that port, or has a full name or an address."""
    for node in manifests.workloads():
        for host, port in _find_servers(manifests, node) if node.component == NODE else ():
            if _is_full(host) or _find_targets(manifests, host, port):
                continue
            yield f"{node}: no Service {host} with port {port}; a store elsewhere needs its full name in the URL"


def _find_servers(manifests: Manifests, node: Workload) -> list[tuple[str, int]]:
    """Return host and port of each server in the URL of the nodes' store; none for settings that are wrong."""
    found = []
    for container in node.containers:
        try:
            settings = read_settings(manifests, node, container)
            url = _url(settings)
            servers = ServerList.parse(url) if url.startswith("redis") else None
        except (SettingsError, ValueError):  # check_settings says which
            continue
        if servers is not None:
            found += [(each.host, each.port) for each in servers.addresses]
        elif host := urlsplit(url).hostname:
            found.append((host, urlsplit(url).port or _PORTS.get(urlsplit(url).scheme, 0)))
    return found


def _url(settings: Settings) -> str:
    urls = {"REDIS_URL": settings.redis_url, "DATABASE_URL": settings.database_url}
    return urls.get(settings.place_variable) or ""


def _is_full(host: str) -> bool:
    return "." in host or ":" in host


def _find_targets(manifests: Manifests, host: str, port: int) -> list[tuple[Workload, int]]:
    """Return the workloads behind a Service of these manifests, and the number of their port."""
    name, _, rest = host.partition(".")
    service = manifests.find("Service", name)
    if service is None or rest.split(".")[0] not in ("", _namespace(service)):
        return []
    found = []
    for each in _ports(service):
        for workload in manifests.selected(_selector(service)) if each["port"] == port else ():
            number = workload.find_port(each.get("targetPort") or port)
            found += [] if number is None else [(workload, number)]
    return found


def _allows(manifests: Manifests, workload: Workload, direction: str, peer: Workload | None, flow: _Flow) -> bool:
    """Return whether the policies of a workload allow a flow in this direction; without any, all is allowed."""
    own = [
        each["spec"]
        for each in manifests.of_kind("NetworkPolicy")
        if matches(each["spec"].get("podSelector", {}), workload.labels) and direction in _directions(each["spec"])
    ]
    peer_of = "from" if direction == "ingress" else "to"
    return not own or any(
        _has_peer(rule.get(peer_of), peer) and _has_port(rule.get("ports"), flow)
        for spec in own
        for rule in spec.get(direction, [])
    )


def _directions(spec: Object) -> list[str]:
    default = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    return [each.lower() for each in spec.get("policyTypes", default)]


def _has_peer(peers: list[Object] | None, peer: Workload | None) -> bool:
    if not peers:
        return True
    if peer is None:
        return any({"ipBlock", "namespaceSelector"} & set(each) for each in peers)
    labels = {_OF_NAMESPACE: _namespace(peer.object)}
    return any(
        "ipBlock" not in each
        and matches(each.get("namespaceSelector", {}), labels)
        and matches(each.get("podSelector", {}), peer.labels)
        for each in peers
    )


def _has_port(ports: list[Object] | None, flow: _Flow) -> bool:
    if not ports:
        return True
    for each in ports:
        wanted = each.get("port", flow.port)
        first = flow.target.find_port(wanted) if flow.target and isinstance(wanted, str) else wanted
        in_range = isinstance(first, int) and first <= flow.port <= each.get("endPort", first)
        if in_range and each.get("protocol", "TCP") == flow.protocol:
            return True
    return False


def _selector(service: Object) -> Object:
    """Return the label selector of a Service; one without a selector chooses no pod."""
    return {"matchLabels": service["spec"].get("selector") or {"": ""}}


def _ports(service: Object) -> list[Object]:
    ports: list[Object] = service["spec"].get("ports", [])
    return ports


def _namespace(each: Object) -> str:
    return str(each["metadata"].get("namespace", "default"))


RULES: tuple[Rule, ...] = (check_services, check_routes, check_namespace, check_policies, check_store)
