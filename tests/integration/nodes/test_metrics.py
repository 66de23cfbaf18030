"""Metrics that add up over several workers, and over the ones that died."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.http_client import HttpClient
from tests.support.node import PATIENT, RunningNode
from tests.support.node_app import samples_in
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

FILES = {"counter_0.db", "counter_1.db", "histogram_0.db", "histogram_1.db"}
"""Of a node with two workers, however many have died."""


def get_samples(node: RunningNode) -> dict[str, float]:
    return samples_in(HttpClient(node.url).get("/metrics").text)


def test_any_worker_answers_for_all_of_them(run_node: Callable[..., RunningNode], valkey: Valkey) -> None:
    node = run_node(NODE_WORKERS="2", SESSION_STORE="redis", REDIS_URL=valkey.url, **PATIENT)
    browser = node.log_in()

    def served() -> bool:
        """Requests on connections of their own, until both workers have taken some."""
        browser.ask("POST", "/visits")
        return len({line["pid"] for line in node.lines() if line.get("path") == "/visits"}) == 2

    wait_until(served)
    visits = browser.get("/me").json()["visits"]
    for _ in range(6):
        samples = get_samples(node)
        assert samples["node_requests_total{POST,/visits,200}"] == visits
        assert samples["node_session_events_total{created}"] == 1
        # A login of a visitor without a session creates one; every visit after it reads and writes.
        assert samples["node_store_seconds_count{update}"] == visits


def test_counters_survive_replaced_workers_and_no_restart_of_the_node(
    users_file: Path, tmp_path: Path, valkey: Valkey
) -> None:
    folder = tmp_path / "metrics"
    settings = {"NODE_WORKERS": "2", "SESSION_STORE": "redis", "REDIS_URL": valkey.url, **PATIENT}
    with RunningNode(users_file, tmp_path / "node.log", PROMETHEUS_MULTIPROC_DIR=str(folder), **settings) as node:
        wait_until(lambda: {path.name for path in folder.iterdir()} == FILES)
        HttpClient(node.url).get("/me")
        for round_ in (1, 2):
            old = {worker.pid for worker in node.workers()}
            for worker in node.workers():
                worker.send_signal(signal.SIGKILL)
            wait_until(lambda old=old: len({w.pid for w in node.workers()} - old) == 2)  # type: ignore[misc]
            wait_until(node.answers)
            assert get_samples(node)["node_requests_total{GET,/me,200}"] == round_
            HttpClient(node.url).get("/me")
        assert {path.name for path in folder.iterdir()} == FILES
    with RunningNode(users_file, tmp_path / "again.log", PROMETHEUS_MULTIPROC_DIR=str(folder)) as node:
        assert "node_requests_total{GET,/me,200}" not in get_samples(node), "an earlier run's requests are counted"


def test_the_text_is_made_once_a_second_whoever_asks(run_node: Callable[..., RunningNode]) -> None:
    node = run_node(NODE_WORKERS="1", SESSION_STORE="memory")
    started = time.monotonic()
    first = get_samples(node)
    HttpClient(node.url).get("/me")
    second = get_samples(node)
    assert first == second or time.monotonic() - started >= 1
    wait_until(lambda: get_samples(node).get("node_requests_total{GET,/me,200}") == 1)
