"""Totals over time answer like a list of all points, whatever they have forgotten."""

import random

import pytest

from loadtest.checker import sums
from loadtest.checker.sums import FOREVER, MOST_STEPS, NEVER, Greatest, Latest, Sums

seeds = pytest.mark.parametrize("seed", range(20))


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what can be forgotten at once."""
    monkeypatch.setattr(sums, "_MANY", 0)


@seeds
def test_sums_answer_for_the_kept_times_and_from_then_on(seed: int) -> None:
    rng = random.Random(seed)
    made, points = Sums(), []
    kept = [rng.randrange(20) for _ in range(rng.randrange(4))]
    for since in range(0, 20, 3):
        for _ in range(rng.randrange(6)):
            points.append((rng.randrange(since, 22), rng.randint(1, 3)))
            made.add(*points[-1])
        made.forget(since, kept)
        for time in {*kept, *range(since, 22)}:
            assert made.before(time) == sum(amount for at, amount in points if at < time)
            assert made.until(time) == sum(amount for at, amount in points if at <= time)
    assert len(made._times) <= 2 * len(kept) + 1 + sum(at >= 18 for at, _ in points)


@seeds
def test_the_latest_answers_from_the_forgotten_time_on(seed: int) -> None:
    rng = random.Random(seed)
    made, points = Latest(), []
    for since in range(0, 20, 3):
        for _ in range(rng.randrange(6)):
            points.append((rng.randrange(since, 22), rng.randrange(9)))
            made.add(*points[-1])
        made.forget(since)
        for time in range(since, 22):
            assert made.before(time) == max((value for at, value in points if at < time), default=-FOREVER)
            assert made.before(time) in [*made.values, -FOREVER]
    assert len(made.values) <= 1 + sum(at >= 18 for at, _ in points)


@seeds
def test_the_greatest_answers_for_times_that_only_rise(seed: int) -> None:
    rng = random.Random(seed)
    made, points = Greatest(), []
    for time in sorted(rng.randrange(20) for _ in range(12)):
        for _ in range(rng.randrange(4)):
            points.append((rng.randrange(9), rng.randrange(22)))
            made.add(*points[-1])
        assert made.after(time) == max((value for value, at in points if at > time), default=NEVER)


def test_the_greatest_keeps_its_ends_when_it_has_too_many_steps() -> None:
    made = Greatest()
    for number in range(1000):
        made.add(1000 - number, number)
    assert len(made._steps) == MOST_STEPS
    assert (made.after(-1), made.after(998)) == (1000, 1)
