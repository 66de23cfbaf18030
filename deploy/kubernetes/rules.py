"""Rules that schemas cannot express: for the pods, for references between objects, for the settings of nodes, Redis and
nginx. `traffic.py` has those for the way of a request.

Each rule yields a line for each object that breaks it.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import pairwise
from math import ceil
from pathlib import Path

from deploy.kubernetes.manifests import NODE, Manifests, Object, Workload, find_port, name_of
from nodes.environment import Setting, SettingsError
from nodes.settings import Settings, list_unknown
from nodes.store_kinds import SessionStoreKind
from nodes.store_kinds import make as make_stores
from proxy import Nginx, NginxError

Rule = Callable[[Manifests], Iterator[str]]
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
"""The kinds of volumes that Pod Security `restricted` allows."""
_SOURCES = (("ConfigMap", "configMapRef"), ("Secret", "secretRef"))
_MODE, _FOR_OTHERS = 0o644, 0o004
"""Mode of the files of a Secret or a ConfigMap by default, and the part of it for others than owner and group."""
_UNSHARED = (SessionStoreKind.MEMORY, SessionStoreKind.FILE)
_HASHED = re.compile(r"-[a-z0-9]{10}\Z")
_SERVER = re.compile(r"^\s*server ([^\s;:]+):(\d+)[^;]* resolve;", re.MULTILINE)
_SERVER_NAMES = re.compile(r"^\s*server_name ([^;]+);", re.MULTILINE)
_RESOLVER = re.compile(r"^(\s*resolver )\S+", re.MULTILINE)
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
                if workload.component == NODE and probe.get("httpGet", {}).get("path") != _LIVE:
                    yield f"{where}: {kind} must ask for {_LIVE}: an outage of the store must not end the pods"


def check_resources(manifests: Manifests) -> Iterator[str]:
    """Each container has requests and limits, and an image of a version."""
    for workload in manifests.workloads():
        for container in workload.containers:
            where, resources = f"{workload}, container {container['name']}", container.get("resources", {})
            for kind in ("requests", "limits"):
                if missing := {"cpu", "memory"} - set(resources.get(kind, {})):
                    yield f"{where}: {kind} must have {' and '.join(sorted(missing))}"
            image = str(container.get("image"))
            if "@sha256:" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest")):
                yield f"{where}: image {image} must have a tag, other than latest, or a digest"


def check_selectors(manifests: Manifests) -> Iterator[str]:
    """Selectors of workloads choose their own pods, and what is referred to by name exists."""
    for workload in manifests.workloads():
        if not _chooses(manifests, workload.object["spec"].get("selector", {}), workload):
            yield f"{workload}: its selector does not choose its own pods"
        for spread in workload.spec.get("topologySpreadConstraints", []):
            if not _chooses(manifests, spread.get("labelSelector", {}), workload):
                yield f"{workload}: a topologySpreadConstraint does not choose its own pods"
        yield from _check_references(manifests, workload)


def _chooses(manifests: Manifests, selector: Object, workload: Workload) -> bool:
    return bool(selector) and workload in manifests.selected(selector)


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
    group = spec.get("securityContext", {}).get("fsGroup")
    for volume in spec.get("volumes", []):
        mode = (volume.get("secret") or volume.get("configMap") or {}).get("defaultMode", _MODE)
        if not group and not mode & _FOR_OTHERS:
            yield f"{workload}: fsGroup must be set, or no container can read volume {volume['name']} ({mode:04o})"
    for kind, name in used:
        if manifests.find(kind, name) is None:
            yield f"{workload}: {kind} {name} does not exist"
        elif not _HASHED.search(name):
            yield f"{workload}: {kind} {name} has no hash in its name, so pods would not learn of a change"


def check_availability(manifests: Manifests) -> Iterator[str]:
    """Workloads with several replicas keep some of them, on several machines and zones, also in an update."""
    yield from _check_autoscalers(manifests)
    yield from _check_budgets(manifests)
    for workload in manifests.workloads():
        if workload.kind != "Deployment":
            continue
        if not _find_autoscaler(manifests, workload) or _least_replicas(manifests, workload) < 2:
            yield f"{workload}: it needs an autoscaler with minReplicas of 2 or more"
        if workload.object["spec"].get("strategy", {}).get("type") == "Recreate":
            yield f"{workload}: its strategy must be RollingUpdate: with Recreate an update ends all pods first"
        budgets = manifests.of_kind("PodDisruptionBudget")
        if not any(workload in manifests.selected(budget["spec"].get("selector")) for budget in budgets):
            yield f"{workload}: it needs a PodDisruptionBudget"
        keys = {spread["topologyKey"] for spread in workload.spec.get("topologySpreadConstraints", [])}
        if missing := {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} - keys:
            yield f"{workload}: topologySpreadConstraints must have {' and '.join(sorted(missing))}"


def _check_autoscalers(manifests: Manifests) -> Iterator[str]:
    for each in manifests.of_kind("HorizontalPodAutoscaler"):
        target, least = each["spec"]["scaleTargetRef"], each["spec"].get("minReplicas", 1)
        scaled = manifests.find(target["kind"], target["name"])
        if scaled is None:
            yield f"HorizontalPodAutoscaler {name_of(each)}: {target['kind']} {target['name']} does not exist"
        elif "replicas" in scaled["spec"]:
            yield f"{target['kind']} {target['name']}: replicas must not be set: each apply would undo its autoscaler"
        if least > (most := each["spec"]["maxReplicas"]):
            yield f"HorizontalPodAutoscaler {name_of(each)}: minReplicas {least} must not be above maxReplicas {most}"


def _check_budgets(manifests: Manifests) -> Iterator[str]:
    for each in manifests.of_kind("PodDisruptionBudget"):
        chosen = manifests.selected(each["spec"].get("selector"))
        if not chosen:
            yield f"PodDisruptionBudget {name_of(each)}: its selector chooses no pod"
        for workload in chosen:
            replicas = _least_replicas(manifests, workload)
            evicted = _evicted(each["spec"], replicas)
            if evicted < 1:
                yield f"PodDisruptionBudget {name_of(each)}: it lets no pod of {workload} be evicted"
            elif evicted >= replicas > 1:
                yield f"PodDisruptionBudget {name_of(each)}: it lets all pods of {workload} be evicted at one time"


def _find_autoscaler(manifests: Manifests, workload: Workload) -> Object | None:
    def scales(each: Object) -> bool:
        target = each["spec"]["scaleTargetRef"]
        return (target["kind"], target["name"]) == (workload.kind, workload.name)

    return next(filter(scales, manifests.of_kind("HorizontalPodAutoscaler")), None)


def _least_replicas(manifests: Manifests, workload: Workload) -> int:
    """Return the number of a workload's pods; where an autoscaler changes it, the least."""
    if autoscaler := _find_autoscaler(manifests, workload):
        return int(autoscaler["spec"].get("minReplicas", 1))
    return int(workload.object["spec"].get("replicas", 1))


def _evicted(budget: Object, replicas: int) -> int:
    """Return how many pods of `replicas` a budget lets be evicted at one time."""

    def count(value: int | str) -> int:
        return ceil(int(value[:-1]) * replicas / 100) if isinstance(value, str) else value

    if "minAvailable" in budget:
        return replicas - count(budget["minAvailable"])
    return count(budget.get("maxUnavailable", 0))


def check_settings(manifests: Manifests) -> Iterator[str]:
    """Each variable of a node is a setting with a valid value, and secrets come from files of a Secret."""
    known = {name for each in fields(Settings) for name in _names(each.metadata[""], is_secret=not each.repr)}
    for workload in (each for each in manifests.workloads() if each.component == NODE):
        for container in workload.containers:
            where, values = f"{workload}, container {container['name']}", manifests.environment(container)
            for name in sorted(set(values) - known):
                yield f"{where}: {name} is not a setting of a node (docs/settings.md)"
            for line in list_unknown({name: "" for name in values if name in known}):
                yield f"{where}: {line}"
            try:
                settings = read_settings(manifests, workload, container)
            except SettingsError as error:
                yield f"{where}: {error}"
                continue
            if (kind := settings.store) in _UNSHARED or str(settings.database_url).startswith("sqlite:"):
                yield f"{where}: SESSION_STORE={kind.value}: each pod would have sessions of its own"


def _names(setting: Setting, *, is_secret: bool) -> list[str]:
    return [setting.variable, f"{setting.variable}_FILE"] if is_secret else [setting.variable]


def read_settings(manifests: Manifests, workload: Workload, container: Object) -> Settings:
    """Return the settings that a node has from its variables and files. Raises SettingsError."""
    mounted = manifests.mounted_files(workload, container)
    environ = {name: "node" if value is None else value for name, value in manifests.environment(container).items()}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, path) in enumerate(environ.items()):
            if name.endswith("_FILE"):
                if path not in mounted:
                    raise SettingsError(f"{name}={path}: no Secret or ConfigMap is mounted there")
                environ[name] = _write(Path(folder) / str(number), mounted[path])
        settings = Settings.from_environ(environ)
        _check_url(settings, mounted, Path(folder))
    return settings


def _check_url(settings: Settings, mounted: dict[str, bytes], folder: Path) -> None:
    """Raise SettingsError for the URL of a store that the nodes refuse, also for a file in it that is not mounted."""

    def localize(url: str | None) -> str | None:
        for number, path in enumerate(mounted):
            if url and path in url:
                url = url.replace(path, _write(folder / f"of-url-{number}", mounted[path]))
        return url

    here = replace(settings, redis_url=localize(settings.redis_url), database_url=localize(settings.database_url))
    try:
        make_stores(here)
    except ValueError as error:
        raise SettingsError(f"{settings.place_variable}: {error}") from error


def _write(file: Path, contents: bytes) -> str:
    file.write_bytes(contents)
    return str(file)


def check_redis(manifests: Manifests) -> Iterator[str]:
    """A Redis keeps its sessions: in a file, on a volume that stays, and without an eviction."""
    for workload in manifests.workloads():
        claims = {name_of(each) for each in workload.object["spec"].get("volumeClaimTemplates", [])}
        claims |= {each["name"] for each in workload.spec.get("volumes", []) if "persistentVolumeClaim" in each}
        for container in workload.containers:
            files = manifests.mounted_files(workload, container)
            for path in (path for path in files if path.endswith("/redis.conf")):
                where, options = f"{workload}, {path}", _redis_options(files[path].decode(), container)
                for name, wanted in (("appendonly", "yes"), ("maxmemory-policy", "noeviction")):
                    if (value := options.get(name)) != wanted:
                        yield f"{where}: {name} must be {wanted}, not {value}"
                mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
                if mounts.get(options.get("dir", "")) not in claims:
                    yield f"{where}: dir {options.get('dir')} must be where a PersistentVolumeClaim is mounted"


def _redis_options(conf: str, container: Object) -> dict[str, str]:
    """Return the options of redis.conf, and those of the command, which win."""
    words = [*container.get("command", []), *container.get("args", [])]
    given = {name[2:]: value for name, value in pairwise(words) if name.startswith("--")}
    return dict(re.findall(r"^(\S+) +(\S+)$", conf, re.MULTILINE)) | given


def check_proxy(manifests: Manifests) -> Iterator[str]:
    """nginx accepts its configuration, finds the nodes by their full name, and serves the hosts of routes, probes."""
    for workload in manifests.workloads():
        for container in workload.containers:
            files = manifests.mounted_files(workload, container)
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
        elif not any(one.find_port(port) for one in manifests.workloads() if one.component == NODE):
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


RULES: tuple[Rule, ...] = (
    check_security,
    check_probes,
    check_resources,
    check_selectors,
    check_availability,
    check_settings,
    check_redis,
    check_proxy,
)
