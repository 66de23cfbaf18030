"""Metrics of one application and its store."""

import itertools

import pytest
from flask.testing import FlaskClient

from nodes.metrics import MeasuredStore, Metrics
from nodes.sessions import Lifetime, MemoryStore, StoreUnavailable
from tests.support.node_app import ALICE, samples_in


def test_requests_are_counted_by_method_route_and_status(client: FlaskClient) -> None:
    client.get("/me")
    client.get("/me")
    client.get("/account")
    for path in ("/a", "/b", "/c"):
        client.get(path)
    client.open("/me", method="BREW")
    samples = samples_in(client.get("/metrics").text)
    assert samples["node_requests_total{GET,/me,200}"] == 2
    assert samples["node_requests_total{GET,/account,401}"] == 1
    assert samples["node_requests_total{GET,none,404}"] == 3
    assert samples["node_requests_total{other,none,405}"] == 1
    assert samples["node_request_seconds_count{/me}"] == 2


def test_session_events_are_counted(client: FlaskClient) -> None:
    before = samples_in(client.get("/metrics").text)
    assert [before[f"node_session_events_total{{{event}}}"] for event in ("created", "conflict")] == [0, 0]
    client.post("/visits")
    client.post("/login", json=ALICE)
    cookie = client.get_cookie("session")
    assert cookie
    client.post("/logout")
    client.set_cookie("session", cookie.value)
    client.get("/me")
    samples = samples_in(client.get("/metrics").text)
    for event in ("created", "renewed", "ended", "absent"):
        assert samples[f"node_session_events_total{{{event}}}"] == 1, event
    assert samples["node_session_events_total{expired}"] == 0  # it was ended


def test_applications_in_one_process_count_apart(client: FlaskClient) -> None:
    client.post("/visits")
    assert "node_requests_total{" not in Metrics().exposition().decode()


def test_the_store_is_measured_by_operation_and_failures_are_counted() -> None:
    class Down(MemoryStore):
        def ping(self) -> float:
            raise StoreUnavailable("down")

    metrics = Metrics()
    store = MeasuredStore(Down(), metrics, clock=itertools.count(step=0.25).__next__)
    key = "a" * 64
    store.create(key, {"visits": b"\x01"}, None, Lifetime(60, 60))
    assert store.load(key) is not None
    store.delete(key)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.ping()
    samples = samples_in(metrics.exposition().decode())
    assert samples["node_store_seconds_sum{load}"] == 0.25
    assert samples["node_store_seconds_count{create}"] == 1
    assert samples["node_store_seconds_count{ping}"] == 2
    assert samples["node_store_failures_total{ping}"] == 2
    assert samples["node_store_failures_total{load}"] == 0
