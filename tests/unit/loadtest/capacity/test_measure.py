"""The memory of a write's token, on a store whose other memory changes meanwhile."""

from types import SimpleNamespace
from typing import Any

import pytest

from loadtest.capacity.measure import measure_token


def bed(*used: float) -> Any:
    """A cluster whose store has these bytes, one after the other."""
    values = iter(used)
    contents = SimpleNamespace(memory=lambda: (next(values), 0.0))
    return SimpleNamespace(contents=contents, run=lambda *_: None)


def test_where_other_memory_is_freed_meanwhile_the_token_is_measured_again() -> None:
    assert measure_token(bed(10_000, 9_000, 9_000, 10_500), 10) == pytest.approx(150)


def test_writes_that_leave_nothing_have_no_token() -> None:
    assert measure_token(bed(*[10_000] * 6), 10) == 0
