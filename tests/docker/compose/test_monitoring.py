"""`--profile monitoring`: Prometheus finds the nodes, and its rules and the dashboard's queries answer."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.docker.compose.project import NODES, Compose
from tests.support.http_client import HttpClient
from tests.support.node import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

FOLDER = ROOT / "deploy" / "monitoring"
PROFILE = {"COMPOSE_PROFILES": "monitoring"}
ALERTS = re.findall(r"- alert: (\w+)", (FOLDER / "rules.yml").read_text())
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
QUERIES = {
    f"{panel['title']}, {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
"""By the panel's title. Grafana itself chooses the interval: at least four scrapes."""


class Prometheus:
    def __init__(self, compose: Compose) -> None:
        self._url = f"http://127.0.0.1:{compose.prometheus_port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer of its HTTP API."""
        url = f"{self._url}/{path}?{urllib.parse.urlencode(parameters)}"
        answer = json.loads(urllib.request.urlopen(url, timeout=10).read())
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query whose value is a number."""
        found = self.ask("query", query=expression)
        assert found["resultType"] == "vector", expression
        return [one for one in found["result"] if math.isfinite(float(one["value"][1]))]

    def labels(self, expression: str, label: str) -> set[str]:
        return {one["metric"][label] for one in self.query(expression)}

    def alerts(self) -> dict[tuple[str, str], str]:
        """Return the summary of each alert that is pending or fires, by its name and node."""
        found = self.ask("alerts")["alerts"]
        return {
            (one["labels"]["alertname"], one["labels"].get("node", "")): one["annotations"]["summary"] for one in found
        }


@pytest.fixture(scope="module")
def prometheus(compose: Compose) -> Prometheus:
    compose.up(**PROFILE)
    return Prometheus(compose)


def promtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool of compose.yaml's image on the files of a folder."""
    (image,) = re.findall(r"image: (prom/prometheus:\S+)", (ROOT / "compose.yaml").read_text())
    mounted = ("--volume", f"{folder}:/rules:ro", "--workdir", "/rules", "--tmpfs", "/tmp:mode=1777")
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", *mounted, "--entrypoint", "promtool", image]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A copy of the rules to change. The user of the image has to be able to read it."""
    folder = Path(shutil.copytree(FOLDER, tmp_path / "rules"))
    folder.chmod(0o755)
    tmp_path.chmod(0o755)
    return folder


def test_promtool_accepts_the_configuration_and_the_rules_pass_their_unit_tests() -> None:
    for arguments in (("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")):
        done = promtool(FOLDER, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(ALERTS) >= 6


@pytest.mark.parametrize("expression", ["vector(0) == 1", "vector(1)"], ids=["never", "always"])
def test_the_unit_tests_notice_each_alert_that_never_or_always_fires(rules: Path, expression: str) -> None:
    path = rules / "rules.yml"
    alert = r"(- alert: \w+\n +expr: )(?:.*\n)+?( +for: ).*"
    altered, count = re.subn(alert, rf"\1{expression}\n\g<2>0s", path.read_text())
    assert count == len(ALERTS)
    path.write_text(altered)
    done = promtool(rules, "test", "rules", "rules_test.yml")
    assert done.returncode == 1
    assert set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr)) == set(ALERTS)


def test_prometheus_is_unprivileged_and_only_this_machine_reaches_it(compose: Compose, prometheus: Prometheus) -> None:
    one = compose.containers()["prometheus-1"]
    settings = one["HostConfig"]
    assert (one["Config"]["User"], settings["ReadonlyRootfs"], settings["CapDrop"]) == ("nobody", True, ["ALL"])
    assert settings["SecurityOpt"] == ["no-new-privileges:true"]
    assert [port for ports in settings["PortBindings"].values() for port in ports] == [
        {"HostIp": "127.0.0.1", "HostPort": str(compose.prometheus_port)}
    ]
    assert set(one["NetworkSettings"]["Networks"]) == {f"{compose.name}_{name}" for name in ("outside", "app")}


def test_every_query_of_the_dashboard_and_every_rule_has_a_value(compose: Compose, prometheus: Prometheus) -> None:
    wait_until(lambda: prometheus.labels("node_info", "node") == NODES, "both nodes are scraped", 60)
    browser = HttpClient(compose.url)
    browser.log_in(compose.passwords())
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    recorded = {f"rule {rule['name']}": rule["name"] for rule in rules if rule["type"] == "recording"}
    missing = {title: query for title, query in (QUERIES | recorded).items() if "ALERTS" not in query}

    def all_answer() -> bool:
        browser.post("/visits")
        for title in [title for title, query in missing.items() if prometheus.query(query)]:
            del missing[title]
        return not missing

    try:
        wait_until(all_answer, timeout=90)
    finally:
        assert not missing

    def both_are_asked() -> bool:
        browser.post("/visits")
        return prometheus.labels(QUERIES["Requests by node, A"], "node") == NODES

    wait_until(both_are_asked, "both nodes have requests", 60)
    assert 0 < float(prometheus.query("cluster:store_used_ratio:max")[0]["value"][1]) < 0.5
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: not evaluated yet


def test_a_silent_store_and_a_missing_node_raise_their_alerts(compose: Compose, prometheus: Prometheus) -> None:
    wait_until(lambda: prometheus.query("cluster:nodes_up:sum == 2"), "both nodes are counted", 60)
    assert not prometheus.alerts()
    compose("pause", "redis")
    try:
        silent = {("StoreUnreachable", node): f"{node} does not reach the session store." for node in NODES}
        wait_until(lambda: prometheus.alerts() == silent, "both nodes do not reach the store", 60)
        assert prometheus.labels(QUERIES["Pending and firing alerts, A"], "node") == NODES
    finally:
        compose("unpause", "redis")
    compose.up("--scale", "node=1", **PROFILE)
    missing = {("NodeMissing", ""): "Nodes that answer: 1, fewer than expected."}
    wait_until(lambda: prometheus.alerts() == missing, "a node is missing", 60)
    compose.up("--scale", "node=3", **PROFILE)
    compose("kill", "--signal", "HUP", "prometheus")
    wait_until(lambda: prometheus.labels("node_info", "node") == {*NODES, "node-3"}, "the new node is found", 60)
    wait_until(lambda: not prometheus.alerts(), "no alert is left", 60)


def test_a_store_that_lost_its_sessions_raises_its_alert_when_all_users_log_in_again(
    compose: Compose, prometheus: Prometheus
) -> None:
    users = [HttpClient(compose.url) for _ in range(30)]

    def come_by() -> None:
        """Let each user send a request, with a session that begins where there is none."""
        for user in users:
            user.ask("POST", "/visits")

    # Few requests: those that find their session hide the others.
    first = [HttpClient(compose.url) for _ in NODES]
    for user in first:  # a counter that Prometheus sees for the first time has not grown
        user.ask("POST", "/visits")
    created = 'sum(node_session_events_total{event="created"})'
    wait_until(lambda: prometheus.query(f"{created} >= {len(first)}"), "the first ones begin", 60)
    come_by()
    wait_until(lambda: prometheus.query("cluster:sessions_begun:rate5m > 0.01"), "their sessions begin", 60)
    assert not {name for name, _ in prometheus.alerts()} & {"SessionsAbsent", "SessionsEndFasterThanTheyBegin"}
    compose("exec", "-T", "redis", "sh", "-c", "rm -r /data/*")  # no user of the server may empty it
    compose("kill", "redis")
    compose("start", "redis")
    wait_until(lambda: users[0].post("/visits").ok, "the store is back, and empty", 60)
    come_by()
    wait_until(lambda: ("SessionsAbsent", "") in prometheus.alerts(), "the store has lost them", 60)
    begun = prometheus.query('sum(increase(node_session_events_total{event="created"}[2m])) > 40')
    assert begun, "all of them began again"
    assert ("SessionsEndFasterThanTheyBegin", "") not in prometheus.alerts()
