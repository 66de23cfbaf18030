"""What schemas cannot say: rules for the pods, for what refers to what, and for the settings of nodes and proxies.

Each rule yields a line for each object that breaks it.
"""

import base64
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path, PurePosixPath

from deploy.kubernetes.manifests import Manifests, Object, Workload, find_port, name_of
from nodes.environment import Setting, SettingsError
from nodes.settings import Settings, list_unknown
from proxy import Nginx, NginxError

Rule = Callable[[Manifests], Iterator[str]]
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
"""The kinds of volumes that Pod Security `restricted` allows."""
_HASHED = re.compile(r"-[a-z0-9]{10}\Z")
_SERVER = re.compile(r"^\s*server ([^\s;:]+):(\d+)[^;]* resolve;", re.MULTILINE)
_SERVER_NAMES = re.compile(r"^\s*server_name ([^;]+);", re.MULTILINE)
_RESOLVER = re.compile(r"^(\s*resolver )\S+", re.MULTILINE)
NODE = "node"
"""The component, and the Service, of the nodes."""
COMPONENT = "app.kubernetes.io/component"
_LIVE = "/live"


def check_security(manifests: Manifests) -> Iterator[str]:
    """Pods run as ordinary users without privileges, on a read-only file system, without a token of the API."""
    for workload in manifests.workloads():
        pod, of_pod = workload.spec, workload.spec.get("securityContext", {})
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{workload}: automountServiceAccountToken must be false: no container uses the API"
        if pod.get("enableServiceLinks") is not False:
            yield f"{workload}: enableServiceLinks must be false: Services would add variables"
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(name):
                yield f"{workload}: {name} must not be set"
        for volume in pod.get("volumes", []):
            if unsafe := set(volume) - _VOLUMES - {"name"}:
                yield f"{workload}: volume {volume['name']} must not be of the kind {', '.join(unsafe)}"
        for container in workload.containers:
            own = {**of_pod, **container.get("securityContext", {})}
            for problem in _unsafe(own):
                yield f"{workload}, container {container['name']}: {problem}"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{workload}, container {container['name']}: hostPort must not be set"


def _unsafe(context: Object) -> Iterator[str]:
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot must be true"
    if not context.get("runAsUser") or not context.get("runAsGroup"):
        yield f"runAsUser and runAsGroup must be numbers other than 0, not {context.get('runAsUser')}"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem must be true"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "allowPrivilegeEscalation must be false, and privileged not set"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "capabilities must drop ALL and add none"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccompProfile must be RuntimeDefault"


def check_probes(manifests: Manifests) -> Iterator[str]:
    """Each container has probes, at ports that it has; those of the nodes ask for /live."""
    for workload in manifests.workloads():
        for container in workload.containers:
            where = f"{workload}, container {container['name']}"
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind)
                if not probe:
                    yield f"{where}: {kind} is missing"
                    continue
                request = probe.get("httpGet") or probe.get("tcpSocket")
                if request and find_port(container, request["port"]) is None:
                    yield f"{where}: {kind} asks at port {request['port']}, which it does not have"
                if _is_node(workload) and probe.get("httpGet", {}).get("path") != _LIVE:
                    yield f"{where}: {kind} must ask for {_LIVE}: an outage of the store must not end the pods"


def check_resources(manifests: Manifests) -> Iterator[str]:
    """Each container has requests and limits, and an image of a version."""
    for workload in manifests.workloads():
        for container in workload.containers:
            where, resources = f"{workload}, container {container['name']}", container.get("resources", {})
            for kind in ("requests", "limits"):
                if missing := {"cpu", "memory"} - set(resources.get(kind, {})):
                    yield f"{where}: {kind} must have {' and '.join(sorted(missing))}"
            image = container["image"]
            if "@sha256:" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest")):
                yield f"{where}: image {image} must have a tag, other than latest, or a digest"


def check_selectors(manifests: Manifests) -> Iterator[str]:
    """Selectors choose pods, and what is referred to by name exists."""
    for workload in manifests.workloads():
        if not _chooses(manifests, workload.object["spec"].get("selector", {}), workload):
            yield f"{workload}: its selector does not choose its own pods"
        for spread in workload.spec.get("topologySpreadConstraints", []):
            if not _chooses(manifests, spread.get("labelSelector", {}), workload):
                yield f"{workload}: a topologySpreadConstraint does not choose its own pods"
        yield from _check_references(manifests, workload)
    for each in manifests.of_kind("Service", "PodDisruptionBudget", "NetworkPolicy"):
        if not manifests.selected(_selector_of(each)):
            yield f"{each['kind']} {name_of(each)}: its selector chooses no pod"
    for each in manifests.of_kind("NetworkPolicy"):
        yield from _check_policy(manifests, each)
    for each in manifests.of_kind("Service"):
        for port in each["spec"]["ports"]:
            for workload in manifests.selected(_selector_of(each)):
                target = port.get("targetPort", port["port"])
                if all(find_port(container, target) is None for container in workload.containers):
                    yield f"Service {name_of(each)}: {workload} has no port {target}"
    for each in manifests.of_kind("HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        scaled = manifests.find(target["kind"], target["name"])
        if scaled is None:
            yield f"HorizontalPodAutoscaler {name_of(each)}: {target['kind']} {target['name']} does not exist"
        elif "replicas" in scaled["spec"]:
            yield f"{target['kind']} {target['name']}: replicas must not be set: each apply would undo its autoscaler"
    for route in manifests.of_kind("HTTPRoute"):
        for rule in route["spec"].get("rules", []):
            for backend in rule.get("backendRefs", []):
                service = manifests.find("Service", backend["name"])
                if service is None or backend.get("port") not in [port["port"] for port in service["spec"]["ports"]]:
                    yield f"HTTPRoute {name_of(route)}: no Service {backend['name']} with port {backend.get('port')}"


def _selector_of(each: Object) -> Object:
    """Return the label selector of an object that chooses pods."""
    spec: dict[str, Object] = each["spec"]
    if each["kind"] == "Service":
        return {"matchLabels": spec.get("selector", {})}
    return spec.get("podSelector") or spec.get("selector") or {}


def _chooses(manifests: Manifests, selector: Object, workload: Workload) -> bool:
    return bool(selector) and workload in manifests.selected(selector)


def _check_policy(manifests: Manifests, policy: Object) -> Iterator[str]:
    where = f"NetworkPolicy {name_of(policy)}"
    own = manifests.selected(policy["spec"].get("podSelector"))
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
                    if all(find_port(container, port["port"]) is None for container in workload.containers):
                        yield f"{where}: {workload} has no port {port['port']}"


def _check_references(manifests: Manifests, workload: Workload) -> Iterator[str]:
    spec = workload.spec
    if manifests.find("ServiceAccount", spec.get("serviceAccountName", "default")) is None:
        yield f"{workload}: ServiceAccount {spec.get('serviceAccountName', 'default')} does not exist"
    claims = [name_of(each) for each in workload.object["spec"].get("volumeClaimTemplates", [])]
    volumes = {volume["name"] for volume in spec.get("volumes", [])} | set(claims)
    used = [("Secret", volume["secret"]["secretName"]) for volume in spec.get("volumes", []) if "secret" in volume]
    used += [("ConfigMap", volume["configMap"]["name"]) for volume in spec.get("volumes", []) if "configMap" in volume]
    for container in workload.containers:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{workload}, container {container['name']}: volume {mount['name']} does not exist"
        for source in container.get("envFrom", []):
            used += [(kind, source[key]["name"]) for kind, key in _SOURCES if key in source]
    for kind, name in used:
        if manifests.find(kind, name) is None:
            yield f"{workload}: {kind} {name} does not exist"
        elif not _HASHED.search(name):
            yield f"{workload}: {kind} {name} has no hash in its name, so pods would not learn of a change"


_SOURCES = (("ConfigMap", "configMapRef"), ("Secret", "secretRef"))


def check_availability(manifests: Manifests) -> Iterator[str]:
    """What has several replicas keeps some of them, on several machines and zones."""
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each for each in manifests.of_kind("HorizontalPodAutoscaler")}
    for workload in manifests.workloads():
        if workload.kind != "Deployment":
            continue
        if (each := scaled.get(workload.name)) is None or each["spec"].get("minReplicas", 1) < 2:
            yield f"{workload}: it needs an autoscaler with minReplicas of 2 or more"
        budgets = manifests.of_kind("PodDisruptionBudget")
        if not any(workload in manifests.selected(budget["spec"].get("selector")) for budget in budgets):
            yield f"{workload}: it needs a PodDisruptionBudget"
        keys = {spread["topologyKey"] for spread in workload.spec.get("topologySpreadConstraints", [])}
        if missing := {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} - keys:
            yield f"{workload}: topologySpreadConstraints must have {' and '.join(sorted(missing))}"


def check_isolation(manifests: Manifests) -> Iterator[str]:
    """All traffic is denied that no policy allows, and the namespace refuses privileged pods."""
    denies = [
        each
        for each in manifests.of_kind("NetworkPolicy")
        if each["spec"].get("podSelector") == {}
        and sorted(each["spec"].get("policyTypes", [])) == ["Egress", "Ingress"]
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
    ]
    if not denies:
        yield "there must be a NetworkPolicy that denies all ingress and egress of all pods"
    for each in manifests.of_kind("Namespace"):
        if each["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace {name_of(each)}: pod-security.kubernetes.io/enforce must be restricted"


def check_settings(manifests: Manifests) -> Iterator[str]:
    """Each variable of a node is a setting with a valid value, and secrets come from files of a Secret."""
    known = {name for each in fields(Settings) for name in _names(each.metadata[""], is_secret=not each.repr)}
    for workload in filter(_is_node, manifests.workloads()):
        for container in workload.containers:
            where, values = f"{workload}, container {container['name']}", manifests.environment(container)
            for name in sorted(set(values) - known):
                yield f"{where}: {name} is not a setting of a node (docs/settings.md)"
            for line in list_unknown({name: "" for name in values if name in known}):
                yield f"{where}: {line}"
            mounted = mounted_files(manifests, workload, container)
            if problem := _refusal(values, mounted):
                yield f"{where}: {problem}"


def _names(setting: Setting, *, is_secret: bool) -> list[str]:
    return [setting.variable, f"{setting.variable}_FILE"] if is_secret else [setting.variable]


def _refusal(values: dict[str, str | None], mounted: dict[str, bytes]) -> str | None:
    """Return why a node would not start with these variables and files, or None."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {name: value if value is not None else "node" for name, value in values.items()}
        for number, (name, path) in enumerate(environ.items()):
            if name.endswith("_FILE"):
                if path not in mounted:
                    return f"{name}={path}: no Secret or ConfigMap is mounted there"
                file = Path(folder) / str(number)
                file.write_bytes(mounted[path])
                environ[name] = str(file)
        try:
            Settings.from_environ(environ)
        except SettingsError as error:
            return str(error)
    return None


def mounted_files(manifests: Manifests, workload: Workload, container: Object) -> dict[str, bytes]:
    """Return path -> contents of the files that a container has from Secrets and ConfigMaps."""
    sources = {volume["name"]: volume for volume in workload.spec.get("volumes", [])}
    files: dict[str, bytes] = {}
    for mount in container.get("volumeMounts", []):
        for key, contents in volume_files(manifests, sources.get(mount["name"], {})).items():
            files[str(PurePosixPath(mount["mountPath"]) / key)] = contents
    return files


def volume_files(manifests: Manifests, volume: Object) -> dict[str, bytes]:
    """Return name -> contents of the files of a volume from a Secret or a ConfigMap; of others there are none."""
    if "secret" in volume:
        secret = manifests.find("Secret", volume["secret"]["secretName"]) or {}
        return {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}
    config = manifests.find("ConfigMap", volume.get("configMap", {}).get("name", "")) or {}
    return {key: value.encode() for key, value in config.get("data", {}).items()}


def check_proxy(manifests: Manifests) -> Iterator[str]:
    """nginx accepts its configuration, finds the nodes by their full name, and serves the hosts of routes, probes."""
    for workload in manifests.workloads():
        for container in workload.containers:
            files = mounted_files(manifests, workload, container)
            for path in (path for path in files if path.endswith("nginx.conf")):
                where, text = f"{workload}, {path}", files[path].decode()
                if path not in container.get("command", []):
                    yield f"{where}: the command of the container does not name it"
                for problem in _check_nginx(manifests, workload, container, text):
                    yield f"{where}: {problem}"


def _check_nginx(manifests: Manifests, workload: Workload, container: Object, text: str) -> Iterator[str]:
    namespace = workload.object["metadata"].get("namespace", "default")
    servers = {(host, int(port)) for host, port in _SERVER.findall(text)}
    for host, port in servers:
        service, _, rest = host.partition(".")
        found = manifests.find("Service", service)
        if found is None or not rest.startswith(f"{namespace}.svc."):
            yield f"{host} must be the full name of a Service in the namespace {namespace}: make it with setup nginx"
        elif found["spec"].get("clusterIP") != "None":
            yield f"Service {service} must be headless: nginx has to see each node"
        elif all(
            find_port(each, port) is None for one in manifests.workloads() if _is_node(one) for each in one.containers
        ):
            yield f"no node has the port {port} of {host}"
    if not servers:
        yield "there must be a server with resolve: the nodes' addresses change"
    served = {name for names in _SERVER_NAMES.findall(text) for name in names.split()}
    hosts = {host for route in manifests.of_kind("HTTPRoute") for host in route["spec"].get("hostnames", [])}
    for host in sorted(hosts - served):
        yield f"the route's host {host} is not a server_name"
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        request = container.get(kind, {}).get("httpGet", {})
        sent = [each["value"] for each in request.get("httpHeaders", []) if each["name"] == "Host"]
        if request and not set(sent) & served:
            yield f"{kind} must send a Host that is a server_name, or nginx closes its connection"
    yield from _test_nginx(text)


def _test_nginx(text: str) -> Iterator[str]:
    """Run `nginx -t` in a folder of this machine, where the cluster's DNS has no name."""
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "nginx.conf"
        conf.write_text(_RESOLVER.sub(r"\g<1>127.0.0.1", text).replace('"/tmp/', f'"{folder}/'))
        try:
            Nginx().test(conf, Path("nginx.conf"))
        except NginxError as error:
            yield str(error)


def _is_node(workload: Workload) -> bool:
    return workload.labels.get(COMPONENT) == NODE


RULES: tuple[Rule, ...] = (
    check_security,
    check_probes,
    check_resources,
    check_selectors,
    check_availability,
    check_isolation,
    check_settings,
    check_proxy,
)
