"""Metrics of one application and its store."""

import itertools
import threading
import time

import pytest
from flask.testing import FlaskClient

from nodes.metrics import MeasuredStore, Metrics, NodeState
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


class Scripted(MemoryStore):
    """A store that answers, or not, as its test says."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def ping(self) -> float:
        self.asked += 1
        self.answers.wait(10)
        if self.failing:
            raise StoreUnavailable("down")
        return super().ping()

    def used_share(self) -> float:
        return 0.25


def state_of(store: Scripted, seconds: float = 5) -> NodeState:
    return NodeState("node-7", MeasuredStore(store, Metrics()), seconds)


def gauges(state: NodeState) -> dict[str, float]:
    return {sample.name: sample.value for family in state.collect() for sample in family.samples}


def test_the_text_has_the_name_of_the_node_and_the_state_of_its_store(client: FlaskClient) -> None:
    samples = samples_in(client.get("/metrics").text)
    assert samples["node_info{node-2}"] == 1
    assert samples["node_store_up{}"] == 1
    assert samples["node_store_used_ratio{}"] == 0  # of the memory store, without sessions


def test_a_store_that_fails_is_down_and_its_used_share_is_absent() -> None:
    state = state_of(store := Scripted())
    assert gauges(state) == {"node_info": 1, "node_store_up": 1, "node_store_used_ratio": 0.25}
    store.failing = True
    assert gauges(state) == {"node_info": 1, "node_store_up": 0}
    store.failing = False
    assert gauges(state)["node_store_up"] == 1


def test_a_silent_store_holds_the_text_up_for_a_moment_and_is_asked_once() -> None:
    state = state_of(store := Scripted(), seconds=0.02)
    store.answers.clear()
    start = time.monotonic()
    assert [gauges(state)["node_store_up"] for _ in range(3)] == [0, 0, 0]
    assert time.monotonic() - start < 5
    assert store.asked == 1
    store.answers.set()
    assert gauges(state_of(store))["node_store_up"] == 1


def test_a_store_without_a_bound_has_no_used_share() -> None:
    class Unbounded(Scripted):
        def used_share(self) -> float:
            return None  # type: ignore[return-value]

    state = state_of(Unbounded())
    assert gauges(state) == {"node_info": 1, "node_store_up": 1}
