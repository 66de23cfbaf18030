"""Containers run as the manifests say, in Docker: a node passes its tests over HTTP, and so does the chain to it."""

import json
import secrets
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.lacks import lacks
from tests.support.node import ROOT

if find_spec("yaml") is None or find_spec("kubernetes_validate") is None:
    lacks("the package yaml or kubernetes_validate is not installed: run `make check-kubernetes`")

from deploy.kubernetes.check import copy_overlays
from deploy.kubernetes.manifests import ManifestError, Manifests, render
from deploy.kubernetes.setup import make_secrets
from tests.integration.nodes.test_over_http import (
    genuine,
    test_a_body_that_does_not_say_its_size_is_cut_off,
    test_a_connection_that_ends_in_the_middle_of_a_body_is_not_an_error,
    test_a_cookie_that_is_not_sent_as_it_was_set_is_anonymous,
    test_a_planted_cookie_beside_the_genuine_one_is_ignored,
    test_an_item_name_of_ten_megabytes_is_too_large,
    test_each_request_is_one_line_with_the_hash_of_its_session,
    test_health_checks_do_not_fill_the_log,
)
from tests.support.http_client import HttpClient, node_of
from tests.support.pods import Pod, Pods, build_image, docker
from tests.support.waiting import wait_until

__all__ = [
    "genuine",
    "test_a_body_that_does_not_say_its_size_is_cut_off",
    "test_a_connection_that_ends_in_the_middle_of_a_body_is_not_an_error",
    "test_a_cookie_that_is_not_sent_as_it_was_set_is_anonymous",
    "test_a_planted_cookie_beside_the_genuine_one_is_ignored",
    "test_an_item_name_of_ten_megabytes_is_too_large",
    "test_each_request_is_one_line_with_the_hash_of_its_session",
    "test_health_checks_do_not_fill_the_log",
]

pytestmark = pytest.mark.timeout(300)  # the first test builds the image

NODES = ("node-1", "node-2")
SHOP = {"Host": "shop.example.com"}


class Node:
    """A node in a pod, as the tests of a node know it."""

    def __init__(self, pod: Pod, passwords: dict[str, str]) -> None:
        self._pod, self._passwords = pod, passwords
        self.url, self.port = pod.url, pod.port

    def log_in(self) -> HttpClient:
        browser = HttpClient(self.url)
        browser.log_in(self._passwords)
        return browser

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._pod.log().splitlines()]


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory, passwords: dict[str, str]) -> Iterator[Pods]:
    """The overlay with a single Redis: one Redis, two nodes, one proxy."""
    name = f"test-pods-{secrets.token_hex(4)}"
    folder: Path = tmp_path_factory.mktemp("kubernetes")
    overlay = copy_overlays(folder)["redis"]
    (overlay / "secrets" / "users.json").unlink()
    passwords |= make_secrets(overlay / "secrets", ["alice"], None)
    try:
        manifests = Manifests(render(overlay))
    except ManifestError as error:
        lacks(str(error))
    (image,) = {
        container["image"]
        for workload in manifests.workloads()
        for container in workload.containers
        if container["name"] == "node"
    }
    build_image(name, "node", ROOT)
    started = Pods(manifests, name, {image: name})
    try:
        started.start("StatefulSet", "redis", "redis-0")
        started.start("Deployment", "node", "node-1")
        started.start("Deployment", "node", "node-2")
        started.start("Deployment", "proxy", "proxy-1")
        yield started
    finally:
        started.remove()
        docker("image", "rm", "--force", name)


@pytest.fixture(scope="module")
def node(pods: Pods, passwords: dict[str, str]) -> Node:
    return Node(pods.running["node-2"], passwords)


TRY_TO_WRITE = """
id -u
(echo > /etc/new) 2>/dev/null && echo written: /etc/new
for file in /cluster/*/*; do
  test -f $file || continue
  test -r $file && echo readable
  (echo >> $file) 2>/dev/null && echo written: $file
done
"""


def test_pods_are_unprivileged_and_can_read_their_files_but_not_write_them(pods: Pods) -> None:
    for name, pod in pods.running.items():
        user, files = {"node": ("10001", 3), "proxy": ("101", 1), "redis": ("999", 3)}[name.partition("-")[0]]
        assert pod.run("sh", "-c", TRY_TO_WRITE).stdout.split() == [user, *["readable"] * files], name


def browse(pods: Pods) -> HttpClient:
    return HttpClient(pods.running["proxy-1"].url, SHOP)


def test_a_session_is_known_by_both_nodes_behind_the_proxy(pods: Pods, passwords: dict[str, str]) -> None:
    browser = browse(pods)
    browser.log_in(passwords)
    for name in NODES:
        wait_until(lambda name=name: node_of(browser.get("/me")) == name, f"{name} serves")  # type: ignore[misc]
    assert browser.user == "alice"
    assert [browser.get(path).status_code for path in ("/metrics", "/ready")] == [404, 404]


def test_a_host_that_has_no_route_is_not_served(pods: Pods) -> None:
    with pytest.raises(OSError):
        HttpClient(pods.running["proxy-1"].url, {"Host": "other.example.com"}).get("/")


def test_an_outage_of_the_store_ends_no_pod(pods: Pods, passwords: dict[str, str]) -> None:
    browser = browse(pods)
    browser.log_in(passwords)
    redis, nodes = pods.running["redis-0"], [pods.running[name] for name in NODES]
    docker("pause", redis.id)
    try:
        assert browser.get("/me").status_code == 503
        for pod in nodes:
            assert HttpClient(pod.url).get("/ready").status_code == 503
            assert pod.probe("livenessProbe")
            assert pod.probe("readinessProbe")
    finally:
        docker("unpause", redis.id)
    wait_until(lambda: browser.get("/me").status_code == 200, "the store is back")
    assert browser.user == "alice"


def test_pods_end_in_order_and_nobody_is_logged_out(pods: Pods, passwords: dict[str, str]) -> None:
    browser = browse(pods)
    browser.log_in(passwords)
    assert pods.running["node-1"].stop(30) == 0
    # Kubernetes takes the pod out of the DNS first; Docker does so when the container has ended, and nginx asks later.
    wait_until(lambda: browser.get("/me").status_code == 200, "nginx has forgotten the node's address")
    assert browser.user == "alice"
    proxy = pods.running["proxy-1"]
    proxy.pre_stop()
    wait_until(lambda: not proxy.is_running(), "nginx has finished")
    assert proxy.state()["ExitCode"] == 0
