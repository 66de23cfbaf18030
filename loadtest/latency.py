"""Locust's statistics as the rest of the program reads them. Brings Locust along: for the generator's process alone."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from locust.stats import RequestStats, calculate_response_time_percentile

from loadtest.protocol import Counted, Latency, Row

_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))


class Statistics:
    """The requests of one phase, counted by Locust's own code; response times are rounded to its two digits."""

    def __init__(self) -> None:
        self._stats: Any = RequestStats(use_response_times_cache=False)

    def count(
        self, method: str, name: str, milliseconds: float, length: int, exception: BaseException | str | None
    ) -> None:
        """One request that has ended."""
        self._stats.log_request(method, name, milliseconds, length)
        if exception:
            self._stats.log_error(method, name, exception)

    def percentile(self, share: float) -> float:
        """Of all requests, in ms."""
        return float(self._stats.total.get_response_time_percentile(share))

    def counted(self) -> tuple[Counted, ...]:
        """Every row, without their total."""
        return tuple(
            Counted(
                method=entry.method,
                name=entry.name,
                requests=entry.num_requests,
                failed=entry.num_failures,
                times=dict(entry.response_times),
            )
            for entry in self._stats.entries.values()
        )


def latency(counted: Iterable[Counted]) -> Latency:
    """The percentiles of all that was counted, by one process or by several at the same time."""
    rows: dict[tuple[str, str], list[Counted]] = {}
    for one in counted:
        rows.setdefault((one.name, one.method), []).append(one)
    all_of_them = [one for parts in rows.values() for one in parts]
    return Latency(
        rows=tuple(_row(method, name, parts) for (name, method), parts in sorted(rows.items())),
        total=_row("", "all", all_of_them),
    )


def _row(method: str, name: str, parts: list[Counted]) -> Row:
    times: Counter[int] = Counter()
    for one in parts:
        times.update(one.times)
    requests = sum(one.requests for one in parts)
    return Row(
        method=method,
        name=name,
        requests=requests,
        failed=sum(one.failed for one in parts),
        **{name: float(calculate_response_time_percentile(times, requests, share)) for name, share in _SHARES},
    )
