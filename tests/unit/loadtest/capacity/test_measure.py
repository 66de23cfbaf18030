"""The bounds of a measurement, and the memory of a write's token while other memory of the store changes."""

from types import SimpleNamespace
from typing import Any

import pytest

from loadtest.capacity.measure import copy_replicas, fit_memory, measure_token


def bed(*used: float) -> Any:
    """A cluster whose store has these bytes, one after the other."""
    values = iter(used)
    contents = SimpleNamespace(memory=lambda: (next(values), 0.0))
    return SimpleNamespace(contents=contents, run=lambda *_: None)


def test_where_other_memory_is_freed_meanwhile_the_token_is_measured_again() -> None:
    assert measure_token(bed(10_000, 9_000, 9_000, 10_500), 10) == pytest.approx(150)


def test_writes_that_leave_nothing_have_no_token() -> None:
    assert measure_token(bed(*[10_000] * 6), 10) == 0


class Slow:
    """A store that is filled, or copied, at some speed, and its clock."""

    def __init__(self, store: str = "redis", rate: float = 1.0, copy: float = 1.0) -> None:
        self.store, self.now, self.count = store, 0.0, 0
        self.contents: Any = self
        self.replicas = ["store-2", "store-3"]
        self.timeouts: list[float] = []
        self._rate, self._copy = rate, copy

    def clock(self) -> float:
        return self.now

    def fill(self, count: int) -> None:
        self.now += (count - self.count) / self._rate
        self.count = count

    def memory(self) -> tuple[float, float]:
        return 1000.0 + 700.0 * self.count, 1100.0 * self.count

    def end_replica(self, _: str) -> None:
        pass

    def resync(self, _: str, timeout: float) -> float:
        self.timeouts.append(timeout)
        self.now += self._copy
        return self._copy


@pytest.mark.parametrize("store", ["redis", "redis-cluster", "sql"])
@pytest.mark.parametrize(
    ("rate", "least", "most"), [(1e5, 200_000, 200_000), (1000, 25_000, 30_000), (100, 8000, 8000)]
)
def test_a_slow_machine_fills_a_smaller_store(store: str, rate: float, least: int, most: int) -> None:
    bed: Any = Slow(store, rate)
    memory, (quarter, sessions) = fit_memory(bed, 200_000, bed.clock)
    assert least <= sessions <= most
    assert bed.count == sessions == pytest.approx(4 * quarter, abs=3)
    assert bed.now <= max(31.0, 8000 / rate)
    assert memory.predict(10) == pytest.approx(8000)


def test_a_redis_cluster_is_filled_further_where_there_is_time() -> None:
    bed: Any = Slow("redis-cluster", 1e5)
    assert fit_memory(bed, 20_000, bed.clock)[1] == (25_000, 100_000)
    bed = Slow("redis", 1e5)
    assert fit_memory(bed, 20_000, bed.clock)[1] == (5_000, 20_000)


@pytest.mark.parametrize(("copy", "timeouts"), [(2, [75, 73, 71]), (45, [75, 30]), (70, [75, 20])])
def test_slow_copies_are_fewer_and_have_less_time(copy: float, timeouts: list[float]) -> None:
    contents: Any = Slow(copy=copy)
    assert copy_replicas(contents, contents.clock) == [copy] * len(timeouts)
    assert contents.timeouts == timeouts
