"""Durations, counted in memory that does not grow with their number."""

import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from loadtest.checker import figures
from loadtest.checker.figures import Histogram, percentile

DURATIONS = st.lists(st.floats(0, 400), min_size=1, max_size=30)


def test_the_memory_of_a_histogram_depends_on_the_longest_duration_alone() -> None:
    random_ = random.Random(1)
    tracemalloc.start()
    try:
        times = Histogram()
        for _ in range(20_000):
            times.add(min(random_.lognormvariate(-3, 2), 9.9))
        own = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, figures.__file__)])
        assert sum(one.size for one in own.statistics("filename")) < 24_000
    finally:
        tracemalloc.stop()


@given(DURATIONS, DURATIONS)
def test_a_percentile_of_merged_durations_is_at_most_one_percent_too_high(
    ones: list[float], others: list[float]
) -> None:
    merged = Histogram()
    for durations in (ones, others):
        times = Histogram()
        for duration in durations:
            times.add(duration)
        merged.merge(times)
    assert merged.count == len(ones) + len(others)
    assert merged.largest == round(max(ones + others) * 1000, 3)
    for share in (0.5, 0.99):
        right = percentile(ones + others, share) * 1000
        assert right - 0.001 <= merged.percentiles(share)[0] <= right * 1.01 + 0.002
