# ruff: noqa: E402 - some packages are installed for this check alone
"""The check of the manifests for Kubernetes: it accepts them, and notices each mistake that is planted into them."""

import base64
import copy
import hashlib
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.lacks import lacks
from tests.support.node import ROOT

for package in ("yaml", "jsonschema", "kubernetes_validate"):
    if find_spec(package) is None:
        lacks(f"the package {package} is not installed: run `make check-kubernetes`")

from deploy.kubernetes import schemas
from deploy.kubernetes.check import FOLDER, RULES, find_problems, render_all
from deploy.kubernetes.manifests import ManifestError, Manifests, Object
from deploy.kubernetes.setup import render_proxy
from tests.packages.deploy.mistakes import MISTAKES, SCHEMA_MISTAKES, container, data, remove, rewrite, spec

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


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(manifests: Manifests, mistake: str) -> None:
    plant, expected = MISTAKES[mistake]
    plant(manifests)
    problems = problems_of(manifests)
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("mistake", SCHEMA_MISTAKES)
def test_a_mistake_against_the_schemas_is_noticed(manifests: Manifests, mistake: str) -> None:
    plant, expected = SCHEMA_MISTAKES[mistake]
    plant(manifests)
    (problem,) = schemas.validate(manifests.objects, schemas.kubernetes_versions()[-1])
    assert expected in problem


def problems_of(manifests: Manifests) -> list[str]:
    return [problem for rule in RULES for problem in rule(manifests)]


def test_a_store_elsewhere_needs_a_policy_for_its_port(overlays: dict[str, list[Object]]) -> None:
    manifests = Manifests(copy.deepcopy(overlays["redis-url"]))
    assert problems_of(manifests) == []
    (rule,) = spec(manifests, "node-to-redis", "NetworkPolicy")["egress"]
    rule["ports"] = [{"protocol": "TCP", "port": 6379}]
    (problem,) = problems_of(manifests)
    assert "cluster.local at port 26379: no NetworkPolicy allows this egress of Deployment node" in problem
    rule["ports"][0]["endPort"] = 26379
    assert problems_of(manifests) == []
    rule["to"] = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "valkey"}}}]
    assert problems_of(manifests) == []
    rule["to"] = [{"podSelector": {}}]
    assert any("no NetworkPolicy allows this egress" in problem for problem in problems_of(manifests))


def test_a_certificate_in_the_url_of_the_store_may_be_in_the_secret(manifests: Manifests) -> None:
    rewrite("redis-url", "redis://", "rediss://")(manifests)
    rewrite("redis-url", "6379/0", "6379/0?ssl_ca_certs=/cluster/node/users.json")(manifests)
    assert problems_of(manifests) == []


def test_a_balancer_of_the_provider_may_take_the_place_of_the_route(manifests: Manifests) -> None:
    remove("HTTPRoute", "shop")(manifests)
    spec(manifests, "proxy", "Service")["type"] = "LoadBalancer"
    assert problems_of(manifests) == []


def test_a_database_elsewhere_needs_a_policy_for_its_port(overlays: dict[str, list[Object]]) -> None:
    manifests = Manifests(copy.deepcopy(overlays["redis-url"]))
    (secret,) = (each for each in manifests.of_kind("Secret") if "redis-url" in each["data"])
    secret["data"]["redis-url"] = base64.b64encode(b"postgresql://node:password@[2001:db8::7]/shop").decode()
    data(manifests, "node-settings").update(SESSION_STORE="sql", DATABASE_URL_FILE="/cluster/node/redis-url")
    data(manifests, "node-settings").pop("REDIS_URL_FILE")
    (problem,) = problems_of(manifests)
    assert problem.startswith("Deployment node to 2001:db8::7 at port 5432: no NetworkPolicy allows this egress")


def test_a_port_that_no_service_has_needs_no_policy(manifests: Manifests) -> None:
    for name in ("node", "proxy"):
        container(manifests, name)["ports"].append({"name": "metrics", "containerPort": 9113})
    assert problems_of(manifests) == []


def test_a_budget_may_name_how_many_pods_stay(manifests: Manifests) -> None:
    spec(manifests, "node", "PodDisruptionBudget").pop("maxUnavailable")
    for least in (1, 2, "34%"):
        spec(manifests, "node", "PodDisruptionBudget")["minAvailable"] = least
        assert problems_of(manifests) == []


def test_a_service_of_a_name_elsewhere_needs_no_pods(manifests: Manifests) -> None:
    external = {"type": "ExternalName", "externalName": "redis.example"}
    metadata = {"name": "cache", "namespace": "session-cluster"}
    manifests.objects.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": external})
    assert list(find_problems(manifests)) == []


def test_what_has_no_image_is_named(manifests: Manifests) -> None:
    container(manifests).pop("image")
    (problem,) = find_problems(manifests)
    assert problem.startswith("Deployment node, container node: image None must have a tag")


def test_the_rules_are_for_objects_that_are_valid(manifests: Manifests) -> None:
    spec(manifests, "node", "HorizontalPodAutoscaler").pop("maxReplicas")
    problems = list(find_problems(manifests))
    assert len(problems) == len(schemas.kubernetes_versions())
    assert all("maxReplicas" in problem for problem in problems)


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
