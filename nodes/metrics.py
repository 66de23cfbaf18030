"""Metrics of a node, added up over its workers.

With several workers, each writes its own files in PROMETHEUS_MULTIPROC_DIR, and the worker that is asked adds them up.
The files are named by the worker's number (NODE_WORKER, set by gunicorn.conf.py), not by its pid as prometheus-client
does by default: a worker that takes the place of a dead one goes on counting in the same files. So counters never fall,
and restarts make neither the folder nor the response time grow.

What is not counted, such as whether the store answers, is found out when Prometheus asks (`NodeState`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .gunicorn_hooks import METRICS_DIR, WORKER
from .sessions import (
    Sessions,
    Store,
    StoreUnavailable,
    find_capability,
    session_absent,
    session_conflict,
    session_created,
    session_ended,
    session_expired,
    session_refused,
    session_renewed,
)
from .sessions.capabilities import MeasuresSpace, PingsAtOnce
from .sessions.store import StoreWrapper

T = TypeVar("T")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_STORE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_EVENTS = {
    "created": session_created,
    "renewed": session_renewed,
    "ended": session_ended,
    "absent": session_absent,
    "expired": session_expired,
    "refused": session_refused,
    "conflict": session_conflict,
}

_TEXT_SECONDS = 1.0
"""How long a worker keeps the text for Prometheus: while it adds up the files it answers no other request."""
_STORE_SECONDS = 1.0
"""How long the text waits for the store, whatever the store's budgets are: Prometheus must not give the node up."""

_WORKER = os.environ.get(WORKER, "0")
if METRICS_DIR in os.environ:
    values.ValueClass = values.MultiProcessValue(lambda: _WORKER)  # type: ignore[no-untyped-call]


class Metrics:
    """The counters of one application. Labels hold names of the node's own only, so their number is bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._text, self._text_until = b"", clock()
        self._registry = CollectorRegistry()
        self._state: NodeState | None = None
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._requests = counter(
            "node_requests_total", "Requests answered, by method, route and status.", ("method", "route", "status")
        )
        self._request_seconds = histogram(
            "node_request_seconds", "Seconds until the response began, by route.", ("route",), buckets=_REQUEST_BUCKETS
        )
        # The library looks a child up under a lock, by labels that it makes text of: half of the cost of counting.
        self._requests_by_labels: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._events = counter(
            "node_session_events_total",
            "Sessions created, renewed (login), ended (logout), expired (as far as a sweep finds them), absent (a"
            " cookie came without one) and refused (without a login); conflict: a compare-and-set retried.",
            ("event",),
        )
        self.store_seconds = histogram(
            "node_store_seconds",
            "Seconds that the session store took, by operation.",
            ("operation",),
            buckets=_STORE_BUCKETS,
        )
        self.store_failures = counter(
            "node_store_failures_total", "Operations in which the session store was unavailable.", ("operation",)
        )
        for event in _EVENTS:
            self._events.labels(event)  # present from the start, so that a rate over the first event is right

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response. `route` is the rule that matched, never the path, which clients choose."""
        method = method if method in METHODS else "other"
        child = self._requests_by_labels.get((method, route, status))
        if child is None:
            child = self._requests.labels(method, route, str(status)), self._request_seconds.labels(route)
            self._requests_by_labels[method, route, status] = child
        counter, histogram = child
        counter.inc()
        histogram.observe(seconds)

    def listen_to(self, sessions: Sessions) -> None:
        """Count the events of this extension's sessions."""
        for event, signal in _EVENTS.items():
            signal.connect(partial(_count, self._events.labels(event)), sender=sessions, weak=False)

    def add_state(self, node: str, store: MeasuredStore) -> None:
        """Add the node's name and the state of its store to the text."""
        self._state = NodeState(node, store)
        self._registry.register(self._state)

    def exposition(self) -> bytes:
        """Return the text for Prometheus, of all workers of this node; it may be a second old."""
        if METRICS_DIR not in os.environ:
            return generate_latest(self._registry)
        if self._clock() >= self._text_until:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            if self._state is not None:
                registry.register(self._state)
            self._text, self._text_until = generate_latest(registry), self._clock() + _TEXT_SECONDS
        return self._text


def _count(counter: Counter, _sender: Sessions, **_: str) -> None:
    counter.inc()


class MeasuredStore(StoreWrapper):
    """Wrapper of a store that counts the latency and the failures of each operation."""

    def __init__(self, store: Store, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(store)
        self._metrics = metrics
        self._clock = clock
        for operation in ("load", "create", "update", "retire", "delete", "quarantine", "ping"):
            setattr(self, operation, self._measured(operation, partial(getattr, store, operation)))

    def ping_at_once(self) -> float:
        """Ping without waiting for a primary, as far as the store can."""
        store = find_capability(self.wraps, PingsAtOnce)
        return float(self._measured("ping", lambda: store.ping_at_once if store is not None else self.wraps.ping)())

    def _measured(self, operation: str, find: Callable[[], Callable[..., T]]) -> Callable[..., T]:
        """Return the operation that `find` returns, measured. Its metrics are present from now on."""
        clock, seconds = self._clock, self._metrics.store_seconds.labels(operation)
        failures = self._metrics.store_failures.labels(operation)

        def measured(*arguments: Any, **options: Any) -> T:
            start = clock()
            try:
                return find()(*arguments, **options)
            except StoreUnavailable:
                failures.inc()
                raise
            finally:
                seconds.observe(clock() - start)

        return measured


class NodeState(Collector):
    """The node's name, whether its store answers and how full that is, found out at each scrape.

    Two round trips (TIME and INFO memory in Redis; the second to each primary), in a thread of their own, because a
    store's budgets may be longer than Prometheus waits.
    """

    def __init__(self, node: str, store: MeasuredStore, seconds: float = _STORE_SECONDS) -> None:
        self._node = node
        self._store = store
        self._space = find_capability(store, MeasuresSpace)
        self._seconds = seconds
        self._answers = False
        self._used: float | None = None
        self._question: threading.Thread | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        info = GaugeMetricFamily("node_info", "1, with the name of this node.", labels=["node"])
        info.add_metric([self._node], 1)
        yield info
        answers, used = self._ask()
        yield GaugeMetricFamily("node_store_up", "Whether the session store answers: 1 or 0.", value=float(answers))
        if used is not None:
            yield GaugeMetricFamily(
                "node_store_used_ratio",
                "Used share of the session store's memory, of its fullest primary; absent without a bound.",
                value=used,
            )

    def _ask(self) -> tuple[bool, float | None]:
        """Return whether the store answers in time, and its used share. An open question is not repeated."""
        if self._question is None or not self._question.is_alive():
            self._question = threading.Thread(target=self._find_out, name="metrics", daemon=True)
            self._question.start()
        self._question.join(self._seconds)
        return (False, None) if self._question.is_alive() else (self._answers, self._used)

    def _find_out(self) -> None:
        self._answers, self._used = False, None
        try:
            self._store.ping_at_once()
            self._answers = True
            self._used = self._space.used_share() if self._space is not None else None
        except StoreUnavailable:
            pass
