"""Pods in Docker: containers with exactly what rendered manifests say about them.

User, groups, capabilities, read-only root, limits, environment, commands, probes, and the files of Secrets and
ConfigMaps, with the owner and the mode that the kubelet gives them, are read from the manifests. Only what a cluster
itself adds is made here: the names of Services, its DNS server, and a port of this machine for each container port.
"""

import io
import json
import os
import subprocess
import tarfile
import urllib.request
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from deploy.kubernetes.manifests import Manifests, Object, Workload, find_port, name_of
from deploy.kubernetes.setup import DNS
from proxy.containers import DOCKER_DNS
from tests.support.waiting import wait_until

_PATIENCE = 60.0
_MODE = 0o644
"""The default mode of the files of a Secret or a ConfigMap."""
_OUR_FILES = "..2026_11_27"


def docker(*words: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(["docker", *words], input=stdin, capture_output=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


class Pods:
    """The pods of one set of manifests, in a network of their own. `images`: name in the manifests -> name here."""

    def __init__(self, manifests: Manifests, name: str, images: Mapping[str, str]) -> None:
        self.manifests, self.name = manifests, name
        self._images = images
        self._containers: list[str] = []
        self._volumes: list[str] = []
        self.running: dict[str, Pod] = {}
        docker("network", "create", name)

    def start(self, kind: str, workload: str, pod_name: str) -> "Pod":
        """Start a pod of this workload. Return when its startup probe has succeeded, and all others do."""
        (found,) = [each for each in self.manifests.workloads() if (each.kind, each.name) == (kind, workload)]
        (container,) = found.containers
        command, *arguments = [*container.get("command", []), *container.get("args", [])] or [""]
        options = [*self._options(found, container, pod_name), *(["--entrypoint", command] if command else [])]
        image = self._images.get(container["image"], container["image"])
        identity = docker("run", "--detach", *options, image, *arguments)
        self._containers.append(identity)
        pod = self.running[pod_name] = Pod(identity, container)

        def has_started() -> bool:
            assert pod.is_running(), f"{pod_name} ended: {pod.log()}"
            return pod.probe("startupProbe")

        wait_until(has_started, f"{pod_name} starts", _PATIENCE)
        wait_until(
            lambda: pod.probe("readinessProbe") and pod.probe("livenessProbe"), f"{pod_name} is ready", _PATIENCE
        )
        return pod

    def remove(self) -> None:
        for container in self._containers:
            docker("rm", "--force", "--volumes", container)
        for volume in self._volumes:
            docker("volume", "rm", "--force", volume)
        docker("network", "rm", self.name)

    def _options(self, workload: Workload, container: Object, pod_name: str) -> list[str]:
        security = {**workload.spec["securityContext"], **container["securityContext"]}
        limits = container["resources"]["limits"]
        options = ["--name", f"{self.name}-{pod_name}", "--hostname", pod_name, "--network", self.name]
        options += ["--user", f"{security['runAsUser']}:{security['runAsGroup']}"]
        options += ["--group-add", str(security["fsGroup"])]
        options += ["--memory", _quantity(limits["memory"]), "--cpus", limits["cpu"]]
        options += [f"--cap-drop={each}" for each in security["capabilities"]["drop"]]
        if security["readOnlyRootFilesystem"]:
            options.append("--read-only")
        if not security["allowPrivilegeEscalation"]:
            options.append("--security-opt=no-new-privileges")
        environment = self.manifests.environment(container)
        downward = [each["name"] for each in container.get("env", []) if "valueFrom" in each]
        assert downward in ([], ["NODE_NAME"])
        for name, value in environment.items():
            options += ["--env", f"{name}={pod_name if name in downward else value}"]
        for mount in container["volumeMounts"]:
            options += self._mount(workload, mount, security["fsGroup"])
        namespace = workload.object["metadata"]["namespace"]
        for service in self.manifests.of_kind("Service"):
            if workload in self.manifests.selected({"matchLabels": service["spec"]["selector"]}):
                for name in (name_of(service), f"{name_of(service)}.{namespace}.svc.cluster.local"):
                    options += ["--network-alias", name]
        for port in container["ports"]:
            options += ["--publish", f"127.0.0.1::{port['containerPort']}"]
        return [*options, "--add-host", f"{DNS}:{DOCKER_DNS}"]

    def _mount(self, workload: Workload, mount: Object, group: int) -> list[str]:
        place = mount["mountPath"]
        volume: Object = next((each for each in workload.spec["volumes"] if each["name"] == mount["name"]), {})
        if "emptyDir" in volume:
            size = _quantity(volume["emptyDir"]["sizeLimit"])
            return ["--tmpfs", f"{place}:mode=2777,uid=0,gid={group},size={size}"]
        files = self.manifests.volume_files(volume)
        source = volume.get("secret") or volume.get("configMap") or {}
        name = docker("volume", "create", f"{self.name}-{len(self._volumes)}")
        self._volumes.append(name)
        archive = _pack(files, source.get("defaultMode", _MODE), group)
        # Root writes it, as the kubelet does.
        helper = ("run", "--rm", "--interactive", "--user", "0:0", "--network", "none", "--volume", f"{name}:/volume")
        docker(*helper, "--entrypoint", "tar", "nginx:1.31", "-x", "-p", "-C", "/volume", stdin=archive)
        options = f"type=volume,source={name},target={place},volume-nocopy"
        return ["--mount", f"{options},readonly" if mount.get("readOnly") else options]


class Pod:
    def __init__(self, identity: str, container: Object) -> None:
        self.id, self.container = identity, container

    @property
    def port(self) -> int:
        """The port of this machine for the first port of the container."""
        return self._published(self.container["ports"][0]["containerPort"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _published(self, port: int) -> int:
        """Raises ConnectionError if the container has ended."""
        ports = json.loads(docker("inspect", self.id))[0]["NetworkSettings"]["Ports"]
        if not (found := ports.get(f"{port}/tcp")):
            raise ConnectionError(f"port {port} is not published")
        return int(found[0]["HostPort"])

    def probe(self, kind: str) -> bool:
        """Return whether a probe succeeds once, asked as the kubelet asks."""
        probe = self.container[kind]
        timeout = max(probe["timeoutSeconds"], 10)  # of a machine that does other work, too
        if "exec" in probe:
            asked = ["docker", "exec", self.id, *probe["exec"]["command"]]
            return subprocess.run(asked, capture_output=True, timeout=timeout, check=False).returncode == 0
        request = probe.get("httpGet") or probe["tcpSocket"]
        port = find_port(self.container, request["port"])
        assert port is not None
        headers = {each["name"]: each["value"] for each in request.get("httpHeaders", [])}
        try:
            address = f"http://127.0.0.1:{self._published(port)}{request.get('path', '/')}"
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=timeout) as answer:
                return 200 <= int(answer.status) < 400
        except OSError:
            # Redis closes the connection of a client that speaks HTTP, so the port is open.
            return "tcpSocket" in probe and self.is_running()

    def pre_stop(self) -> None:
        """Run the hook that precedes the signal to stop."""
        command = self.container["lifecycle"]["preStop"]["exec"]["command"]
        subprocess.run(["docker", "exec", self.id, *command], capture_output=True, timeout=60, check=False)

    def stop(self, grace: int) -> int:
        """Send SIGTERM, as Kubernetes does. Return the exit status."""
        docker("kill", "--signal", "TERM", self.id)
        return int(subprocess.check_output(["docker", "wait", self.id], timeout=grace))

    def is_running(self) -> bool:
        return bool(self.state()["Running"])

    def state(self) -> Any:
        return json.loads(docker("inspect", self.id))[0]["State"]

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.id], capture_output=True, timeout=30, check=True)
        return (done.stdout + done.stderr).decode()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "exec", self.id, *command], capture_output=True, text=True, timeout=30, check=False
        )


def _quantity(text: str) -> str:
    """Return a quantity of Kubernetes, in mebibytes, as Docker writes it."""
    assert text.endswith("Mi"), text
    return f"{text.removesuffix('Mi')}m"


def _pack(files: Mapping[str, bytes], mode: int, group: int) -> bytes:
    """Return an archive of a volume: files of root and the pod's group, behind links, as the kubelet lays them out."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packed:

        def add(name: str, kind: bytes, mode: int, contents: bytes = b"", target: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.gid, entry.size, entry.linkname = kind, mode, group, len(contents), target
            packed.addfile(entry, io.BytesIO(contents))

        add(".", tarfile.DIRTYPE, 0o3777 if files else 0o2775)
        if files:
            add(_OUR_FILES, tarfile.DIRTYPE, 0o2755)
            add("..data", tarfile.SYMTYPE, 0o777, target=_OUR_FILES)
        for name, contents in files.items():
            add(str(PurePosixPath(_OUR_FILES) / name), tarfile.REGTYPE, mode, contents)
            add(name, tarfile.SYMTYPE, 0o777, target=f"..data/{name}")
    return archive.getvalue()


def build_image(tag: str, target: str, folder: os.PathLike[str]) -> None:
    docker("build", "--quiet", "--target", target, "--tag", tag, str(folder))
