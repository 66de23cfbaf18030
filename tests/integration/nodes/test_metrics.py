"""Metrics that add up over several workers, and over the ones that died."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from nodes.metrics import MeasuredStore, Metrics
from nodes.sessions import Lifetime, MemoryStore, StoreUnavailable
from tests.integration.nodes.test_api import ALICE
from tests.support.node import RunningNode, eventually
from tests.support.valkey import Valkey

FILES = {"counter_0.db", "counter_1.db", "histogram_0.db", "histogram_1.db"}
"""Of a node with two workers, however many have died."""


def read(text: str) -> dict[str, float]:
    """Every sample, under its name and its labels' values in the order of their names."""
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            key = f"{sample.name}{{{labels}}}"
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def of(node: RunningNode) -> dict[str, float]:
    return read(requests.get(f"{node.url}/metrics", timeout=10).text)


def test_requests_are_counted_by_method_route_and_status(client: FlaskClient) -> None:
    client.get("/me")
    client.get("/me")
    client.get("/account")
    for path in ("/a", "/b", "/c"):
        client.get(path)
    client.open("/me", method="BREW")
    samples = read(client.get("/metrics").text)
    assert samples["node_requests_total{GET,/me,200}"] == 2
    assert samples["node_requests_total{GET,/account,401}"] == 1
    assert samples["node_requests_total{GET,none,404}"] == 3
    assert samples["node_requests_total{other,none,405}"] == 1
    assert samples["node_request_seconds_count{/me}"] == 2


def test_what_happens_to_sessions_is_counted(client: FlaskClient) -> None:
    before = read(client.get("/metrics").text)
    assert {event: before[f"node_session_events_total{{{event}}}"] for event in ("created", "conflict")} == {
        "created": 0,
        "conflict": 0,
    }
    client.post("/visits")
    client.post("/login", json=ALICE)
    cookie = client.get_cookie("session")
    assert cookie
    client.post("/logout")
    client.set_cookie("session", cookie.value)
    client.get("/me")
    samples = read(client.get("/metrics").text)
    for event in ("created", "renewed", "ended", "absent"):
        assert samples[f"node_session_events_total{{{event}}}"] == 1, event
    assert samples["node_session_events_total{expired}"] == 0  # it was ended


def test_one_application_does_not_count_what_another_does(settings: object, app: Flask, client: FlaskClient) -> None:
    other: Metrics = app.extensions["metrics"]
    assert other is not Metrics()
    client.post("/visits")
    assert "node_requests_total{" not in Metrics().exposition().decode()


class Ticking:
    """A clock on which every look takes a quarter of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


def test_the_store_is_measured_by_operation_and_failures_are_counted() -> None:
    class Down(MemoryStore):
        def ping(self) -> float:
            raise StoreUnavailable("down")

    metrics = Metrics()
    store = MeasuredStore(Down(), metrics, clock=Ticking())
    key = "a" * 64
    store.create(key, {"visits": b"\x01"}, None, Lifetime(60, 60))
    assert store.load(key) is not None
    store.delete(key)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.ping()
    samples = read(metrics.exposition().decode())
    assert samples["node_store_seconds_sum{load}"] == 0.25
    assert samples["node_store_seconds_count{create}"] == 1
    assert samples["node_store_seconds_count{ping}"] == 2
    assert samples["node_store_failures_total{ping}"] == 2
    assert samples["node_store_failures_total{load}"] == 0


def test_any_worker_answers_for_all_of_them(run_node: Callable[..., RunningNode], valkey: Valkey) -> None:
    node = run_node(NODE_WORKERS="2", SESSION_STORE="redis", REDIS_URL=valkey.url)
    browser = node.log_in()

    def served() -> bool:
        """Requests on connections of their own, until both workers have taken some."""
        answer = requests.post(f"{node.url}/visits", cookies=browser.cookies, timeout=10)
        assert answer.status_code == 200
        return len({line["pid"] for line in node.lines() if line.get("path") == "/visits"}) == 2

    eventually(served)
    visits = requests.get(f"{node.url}/me", cookies=browser.cookies, timeout=10).json()["visits"]
    for _ in range(6):
        samples = of(node)
        assert samples["node_requests_total{POST,/visits,200}"] == visits
        assert samples["node_session_events_total{created}"] == 1
        # A login of a visitor without a session creates one; every visit after it reads and writes.
        assert samples["node_store_seconds_count{update}"] == visits


def test_counters_go_on_and_nothing_grows_when_workers_are_replaced(
    users_file: Path, tmp_path: Path, valkey: Valkey
) -> None:
    folder = tmp_path / "metrics"
    settings = {"NODE_WORKERS": "2", "SESSION_STORE": "redis", "REDIS_URL": valkey.url}
    with RunningNode(users_file, tmp_path / "node.log", PROMETHEUS_MULTIPROC_DIR=str(folder), **settings) as node:
        eventually(lambda: {path.name for path in folder.iterdir()} == FILES)
        requests.get(f"{node.url}/me", timeout=10)
        for round_ in range(1, 4):
            old = {worker.pid for worker in node.workers()}
            for worker in node.workers():
                worker.send_signal(signal.SIGKILL)
            eventually(lambda old=old: len({w.pid for w in node.workers()} - old) == 2)  # type: ignore[misc]
            eventually(lambda: _answers(node))
            assert of(node)["node_requests_total{GET,/me,200}"] == round_
            requests.get(f"{node.url}/me", timeout=10)
        assert {path.name for path in folder.iterdir()} == FILES


def _answers(node: RunningNode) -> bool:
    try:
        return requests.get(f"{node.url}/live", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_a_new_run_does_not_count_what_an_old_one_left(users_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    for run in range(2):
        log = tmp_path / f"node-{run}.log"
        with RunningNode(users_file, log, PROMETHEUS_MULTIPROC_DIR=str(folder)) as node:
            requests.get(f"{node.url}/me", timeout=10)
            assert of(node)["node_requests_total{GET,/me,200}"] == 1
