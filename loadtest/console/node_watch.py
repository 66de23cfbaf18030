"""The nodes' own figures, where the answers to the console's users do not tell which node was tried.

The nodes count their requests, so those of all clients are in the figures, and none that no node answered.
"""

import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from deploy import MemberState, Role
from deploy.compose.watched import WatchedCluster
from deploy.waiting import look_until
from loadtest.console.live_load import SECONDS_OF_NODES, NodeFigures

INTERVAL = 2.0
TIMEOUT = 2.0
_OWN_ROUTES = frozenset({"/live", "/ready", "/metrics"})
"""What health checks and this watch ask."""


@dataclass(frozen=True)
class Counters:
    """The counters of one node at a time (seconds of a monotonic clock).

    `seconds` has the upper end of each bucket of the histogram -> requests that took at most as long.
    """

    at: float
    answered: float = 0.0
    failed: float = 0.0
    seconds: Mapping[float, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, at: float) -> "Counters":
        """Read what a node answers to GET /metrics. Raises ValueError."""
        answered = failed = 0.0
        seconds: dict[float, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("route") in _OWN_ROUTES:
                    continue
                if sample.name == "node_requests_total":
                    is_error = sample.labels["status"] >= "500"
                    answered, failed = answered + (not is_error) * sample.value, failed + is_error * sample.value
                elif sample.name == "node_request_seconds_bucket":
                    seconds[float(sample.labels["le"])] += sample.value
        return cls(at, answered, failed, seconds)

    def since(self, before: "Counters") -> NodeFigures | None:
        """Return the figures of the time between two looks; None if the node was restarted in it."""
        time_between = self.at - before.at
        answered, failed = self.answered - before.answered, self.failed - before.failed
        if time_between <= 0 or answered < 0 or failed < 0:
            return None
        counts = {end: count - before.seconds.get(end, 0.0) for end, count in self.seconds.items()}
        return NodeFigures(
            rate=round(answered / time_between, 2),
            failed=round(failed / time_between, 2),
            p50=round(_median(counts) * 1000, 1),
        )


def _median(counts: Mapping[float, float]) -> float:
    """Return the median in seconds, estimated within its bucket; 0 without requests."""
    half, begin, below = max(counts.values(), default=0.0) / 2, 0.0, 0.0
    for end, count in sorted(counts.items()):
        if half and count >= half:
            is_open = end == float("inf")
            return begin if is_open else begin + (end - begin) * (half - below) / (count - below)
        begin, below = end, count
    return 0.0


class NodeWatch(threading.Thread):
    """Asks each node for its metrics and whether it reaches the store, every INTERVAL seconds."""

    def __init__(self, cluster: WatchedCluster) -> None:
        super().__init__(name="nodes", daemon=True)
        self._cluster = cluster
        self._counters: dict[str, list[Counters]] = {}
        self.figures: Mapping[str, NodeFigures] = {}
        """Of each node whose counters were seen twice."""
        self.reaching: Mapping[str, bool] = {}
        """Whether a node reaches the store; absent where it did not say."""
        self.stopping = threading.Event()

    def run(self) -> None:
        for _ in look_until(self.stopping, lambda took: max(INTERVAL, 4 * took)):
            self.look()

    def look(self) -> None:
        """Ask all nodes once."""
        nodes = [one for one in self._cluster.members() if one.role is Role.NODE and one.state is MemberState.RUNNING]
        with ThreadPoolExecutor(max_workers=8) as pool:
            metrics = {one.name: pool.submit(_ask, one.address, "/metrics") for one in nodes}
            ready = {one.name: pool.submit(_ask, one.address, "/ready") for one in nodes}
        self.reaching = {name: found.result()[0] == 200 for name, found in ready.items() if found.result()[0]}
        figures = {}
        for name, found in metrics.items():
            status, text = found.result()
            if status != 200:
                continue
            try:
                counters = Counters.parse(text, time.monotonic())
            except ValueError:
                continue  # another application answers there
            kept = self._counters.get(name, [])
            kept = [one for one in kept if one.at >= counters.at - SECONDS_OF_NODES - INTERVAL] or kept[-1:]
            self._counters[name] = [*kept, counters]
            if kept and (one := counters.since(kept[0])) is not None:
                figures[name] = one
            elif kept:
                self._counters[name] = [counters]
        self._counters = {name: kept for name, kept in self._counters.items() if name in metrics}
        self.figures = figures


def _ask(address: str, path: str) -> tuple[int, str]:
    """Return status and body; 0 without an answer."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
