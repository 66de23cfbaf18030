"""Figures of nodes from their own metrics."""

from __future__ import annotations

from loadtest.console.live_load import NodeFigures
from loadtest.console.node_watch import Counters
from nodes.metrics import Metrics


def serve(metrics: Metrics, count: int, *, seconds: float = 0.004, status: int = 200, route: str = "/me") -> None:
    for _ in range(count):
        metrics.request("GET", route, status, seconds)


def look(metrics: Metrics, at: float) -> Counters:
    return Counters.parse(metrics.exposition().decode(), at)


def test_rates_and_the_median_are_those_between_two_looks() -> None:
    metrics = Metrics()
    serve(metrics, 100, seconds=2.0)
    before = look(metrics, 10.0)
    serve(metrics, 20, seconds=0.004)
    serve(metrics, 4, status=503, seconds=0.004)
    figures = look(metrics, 14.0).since(before)
    assert figures is not None
    assert (figures.rate, figures.failed) == (5.0, 1.0)
    assert 2.5 < figures.p50 < 5.0  # the bucket of 4 ms


def test_health_checks_and_the_watch_itself_are_not_counted() -> None:
    metrics = Metrics()
    before = look(metrics, 0.0)
    for route in ("/live", "/ready", "/metrics"):
        serve(metrics, 10, route=route)
    assert look(metrics, 2.0).since(before) == NodeFigures(rate=0.0, failed=0.0, p50=0.0)


def test_a_median_beyond_the_last_bucket_is_its_begin() -> None:
    metrics = Metrics()
    before = look(metrics, 0.0)
    serve(metrics, 10, seconds=30.0)
    assert look(metrics, 1.0).since(before) == NodeFigures(rate=10.0, failed=0.0, p50=5000.0)


def test_a_restart_between_two_looks_gives_no_figures() -> None:
    metrics = Metrics()
    serve(metrics, 10)
    assert look(Metrics(), 4.0).since(look(metrics, 2.0)) is None
