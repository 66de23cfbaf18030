# ruff: noqa: E402 - some packages are installed for this check alone
"""The check of the manifests for Kubernetes: it accepts them, and notices each mistake that is planted into them."""

import copy
import hashlib
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.lacks import lacks
from tests.support.node import ROOT

for package in ("yaml", "jsonschema", "kubernetes_validate"):
    if find_spec(package) is None:
        lacks(f"the package {package} is not installed: run `make check-kubernetes`")

from deploy.kubernetes import schemas
from deploy.kubernetes.check import FOLDER, find_problems, render_all
from deploy.kubernetes.manifests import ManifestError, Manifests, Object
from deploy.kubernetes.rules import RULES
from deploy.kubernetes.setup import render_proxy

GATEWAY_API = Path(os.environ.get("GATEWAY_API") or ROOT.parent / "shared" / "gateway-api")


@pytest.fixture(scope="module")
def overlays() -> dict[str, list[Object]]:
    try:
        return render_all()
    except ManifestError as error:
        lacks(str(error))


@pytest.fixture
def manifests(overlays: dict[str, list[Object]]) -> Manifests:
    """The overlay with a single Redis, to be changed by the test."""
    return Manifests(copy.deepcopy(overlays["redis"]))


def test_the_overlays_have_no_problem_in_four_versions_of_kubernetes(overlays: dict[str, list[Object]]) -> None:
    assert len(schemas.kubernetes_versions()) == 4
    for objects in overlays.values():
        assert list(find_problems(Manifests(objects))) == []


def test_the_proxys_configuration_is_what_the_generator_writes() -> None:
    assert (FOLDER / "base" / "nginx.conf").read_text() == render_proxy()


def spec(manifests: Manifests, name: str = "node", kind: str = "Deployment") -> Any:
    found = manifests.find(kind, name)
    assert found is not None
    return found["spec"]


def pod(manifests: Manifests, name: str = "node") -> Any:
    return spec(manifests, name)["template"]["spec"]


def container(manifests: Manifests, name: str = "node") -> Any:
    return pod(manifests, name)["containers"][0]


def data(manifests: Manifests, prefix: str) -> Any:
    return next(each for each in manifests.of_kind("ConfigMap") if each["metadata"]["name"].startswith(prefix))["data"]


def rename(old: str, new: str) -> Callable[[Manifests], object]:
    """Return a change of the text of nginx.conf."""

    def change(manifests: Manifests) -> None:
        config = data(manifests, "proxy-config")
        assert old in config["nginx.conf"]
        config["nginx.conf"] = config["nginx.conf"].replace(old, new)

    return change


MISTAKES: dict[str, tuple[Callable[[Manifests], object], str]] = {
    "no probe": (lambda m: container(m).pop("livenessProbe"), "livenessProbe is missing"),
    "a probe on /ready": (
        lambda m: container(m)["readinessProbe"]["httpGet"].update(path="/ready"),
        "readinessProbe must ask for /live",
    ),
    "a probe at another port": (
        lambda m: container(m)["livenessProbe"]["httpGet"].update(port="web"),
        "livenessProbe asks at port web",
    ),
    "a probe that nginx closes": (
        lambda m: container(m, "proxy")["livenessProbe"]["httpGet"].pop("httpHeaders"),
        "livenessProbe must send a Host",
    ),
    "root by number": (lambda m: pod(m)["securityContext"].update(runAsUser=0), "runAsUser and runAsGroup must be"),
    "root by omission": (lambda m: pod(m)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot must be true"),
    "a file system to write to": (
        lambda m: container(m)["securityContext"].pop("readOnlyRootFilesystem"),
        "readOnlyRootFilesystem must be true",
    ),
    "a capability": (
        lambda m: container(m)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "capabilities must drop ALL",
    ),
    "more rights later": (
        lambda m: container(m)["securityContext"].pop("allowPrivilegeEscalation"),
        "allowPrivilegeEscalation must be false",
    ),
    "no seccomp": (lambda m: pod(m)["securityContext"].pop("seccompProfile"), "seccompProfile must be"),
    "a token": (lambda m: pod(m).pop("automountServiceAccountToken"), "automountServiceAccountToken must be false"),
    "variables of Services": (lambda m: pod(m).pop("enableServiceLinks"), "enableServiceLinks must be false"),
    "a folder of the machine": (
        lambda m: pod(m)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "must not be of the kind hostPath",
    ),
    "the machine's network": (lambda m: pod(m).update(hostNetwork=True), "hostNetwork must not be set"),
    "no limit": (lambda m: container(m)["resources"]["limits"].pop("memory"), "limits must have memory"),
    "an image without a version": (lambda m: container(m).update(image="session-cluster-node"), "must have a tag"),
    "a selector of a Deployment": (
        lambda m: spec(m)["selector"]["matchLabels"].update({"app.kubernetes.io/component": "web"}),
        "its selector does not choose its own pods",
    ),
    "a selector of a Service": (
        lambda m: spec(m, "proxy", "Service")["selector"].update({"app.kubernetes.io/component": "nginx"}),
        "Service proxy: its selector chooses no pod",
    ),
    "a selector of a policy": (
        lambda m: spec(m, "node", "NetworkPolicy")["ingress"][0]["from"][0]["podSelector"]["matchLabels"].update(x="y"),
        "NetworkPolicy node: a rule of ingress chooses no pod",
    ),
    "a port of a policy": (
        lambda m: spec(m, "node", "NetworkPolicy")["ingress"][0]["ports"][0].update(port=80),
        "NetworkPolicy node: Deployment node has no port 80",
    ),
    "a port of a Service": (
        lambda m: spec(m, "proxy", "Service")["ports"][0].update(targetPort="https"),
        "has no port https",
    ),
    "a route to another port": (
        lambda m: spec(m, "shop", "HTTPRoute")["rules"][0]["backendRefs"][0].update(port=8080),
        "no Service proxy with port 8080",
    ),
    "replicas beside an autoscaler": (lambda m: spec(m).update(replicas=3), "replicas must not be set"),
    "one replica": (lambda m: spec(m, "node", "HorizontalPodAutoscaler").update(minReplicas=1), "minReplicas of 2"),
    "no budget": (
        lambda m: m.objects.remove(m.find("PodDisruptionBudget", "node") or {}),
        "Deployment node: it needs a PodDisruptionBudget",
    ),
    "one zone": (lambda m: pod(m)["topologySpreadConstraints"].pop(0), "must have topology.kubernetes.io/zone"),
    "no default deny": (
        lambda m: spec(m, "default-deny", "NetworkPolicy").update(policyTypes=["Ingress"]),
        "denies all ingress and egress",
    ),
    "an unknown variable": (
        lambda m: data(m, "node-settings").update(SESSION_IDLE_TIMOUT="60"),
        "SESSION_IDLE_TIMOUT is not a setting",
    ),
    "a wrong value": (
        lambda m: data(m, "node-settings").update(SESSION_STORE="reddis"),
        "SESSION_STORE must be one of",
    ),
    "a secret elsewhere": (
        lambda m: data(m, "node-settings").update(REDIS_URL_FILE="/cluster/redis-url"),
        "REDIS_URL_FILE=/cluster/redis-url: no Secret or ConfigMap is mounted there",
    ),
    "a volume that does not exist": (lambda m: pod(m)["volumes"].pop(0), "volume tmp does not exist"),
    "a Secret that does not exist": (
        lambda m: pod(m)["volumes"][1]["secret"].update(secretName="node-secrets-0123456789"),
        "Secret node-secrets-0123456789 does not exist",
    ),
    "a name without a namespace": (rename("node.session-cluster.svc.cluster.local:", "node:"), "must be the full name"),
    "nodes behind one address": (
        lambda m: spec(m, "node", "Service").pop("clusterIP"),
        "Service node must be headless",
    ),
    "a host that nginx does not serve": (
        lambda m: spec(m, "shop", "HTTPRoute").update(hostnames=["example.org"]),
        "example.org is not a server_name",
    ),
    "what nginx refuses": (rename("random two;", "randomly two;"), 'unknown directive "randomly"'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(manifests: Manifests, mistake: str) -> None:
    plant, expected = MISTAKES[mistake]
    plant(manifests)
    problems = [problem for rule in RULES for problem in rule(manifests)]
    assert any(expected in problem for problem in problems), problems


SCHEMA_MISTAKES: dict[str, tuple[Callable[[Manifests], object], str]] = {
    "a misspelt field": (lambda m: pod(m).update(terminationGracePeriod=30), "terminationGracePeriod"),
    "a wrong type": (lambda m: spec(m, "node", "HorizontalPodAutoscaler").update(maxReplicas="12"), "maxReplicas"),
    "an unknown kind": (lambda m: m.objects[-1].update(kind="Routes", apiVersion="v1"), "Routes"),
    "a version that is gone": (
        lambda m: (m.find("HorizontalPodAutoscaler", "node") or {}).update(apiVersion="autoscaling/v2beta2"),
        "v2beta2",
    ),
}


@pytest.mark.parametrize("mistake", SCHEMA_MISTAKES)
def test_a_mistake_against_the_schemas_is_noticed(manifests: Manifests, mistake: str) -> None:
    plant, expected = SCHEMA_MISTAKES[mistake]
    plant(manifests)
    (problem,) = schemas.validate(manifests.objects, schemas.kubernetes_versions()[-1])
    assert expected in problem


@pytest.fixture(scope="module")
def definitions() -> Path:
    if str(GATEWAY_API) == "none":
        pytest.skip("GATEWAY_API=none: the definitions of Gateway API can't be fetched here")
    if not GATEWAY_API.is_dir():
        lacks(f"{GATEWAY_API}, the definitions of Gateway API, is missing: .ci/gateway-api fetches them")
    return GATEWAY_API


def test_the_definition_of_routes_is_the_one_with_the_pinned_checksum(definitions: Path) -> None:
    found = hashlib.sha256((definitions / "gateway.networking.k8s.io_httproutes.yaml").read_bytes()).hexdigest()
    assert f"sum={found}\n" in (ROOT / ".ci" / "gateway-api").read_text()


def test_routes_are_valid_in_gateway_api(overlays: dict[str, list[Object]], definitions: Path) -> None:
    assert list(schemas.validate_gateway_api(overlays["redis-url"], definitions)) == []


def test_a_mistake_in_a_route_is_noticed(manifests: Manifests, definitions: Path) -> None:
    spec(manifests, "shop", "HTTPRoute")["hostname"] = "shop.example.com"
    spec(manifests, "shop", "HTTPRoute")["rules"][0]["matches"][0]["path"]["type"] = "Prefix"
    problems = list(schemas.validate_gateway_api(manifests.objects, definitions))
    assert len(problems) == 2
    assert all(re.search("'hostname' was unexpected|'Prefix' is not one of", problem) for problem in problems)


DEFINITION = """
spec:
  names: {kind: HTTPRoute}
  versions:
    - name: v1
      served: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                rules: {type: array, items: {type: object, properties: {name: {type: string}}}}
"""


def test_a_definition_has_no_room_for_fields_that_it_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(DEFINITION)

    def problems(rule: Object, version: str = "v1") -> list[str]:
        route = {
            "apiVersion": f"gateway.networking.k8s.io/{version}",
            "kind": "HTTPRoute",
            "metadata": {"name": "shop"},
        }
        return list(schemas.validate_gateway_api([{**route, "spec": {"rules": [rule]}}], tmp_path))

    assert problems({"name": "all"}) == []
    assert "'nmae' was unexpected" in problems({"nmae": "all"})[0]
    assert "it has no schema" in problems({"name": "all"}, "v9")[0]
