"""Which late requests a node refuses."""

from __future__ import annotations

from typing import Any

from nodes.late import LATE, PATIENCE, LateGuard


def make() -> tuple[LateGuard, list[float]]:
    now = [100.0]

    def application(_environ: Any, _start_response: Any) -> list[bytes]:
        return [b""]

    return LateGuard(application, lambda: now[0]), now


def test_late_requests_are_served_for_a_while_and_then_refused() -> None:
    guard, now = make()
    assert not guard.is_too_late(5)
    now[0] += PATIENCE
    assert not guard.is_too_late(5)
    now[0] += 0.1
    assert guard.is_too_late(5)
    assert guard.is_too_late(LATE + 0.01)


def test_one_request_in_time_ends_the_refusals() -> None:
    guard, now = make()
    guard.is_too_late(5)
    now[0] += PATIENCE + 1
    assert not guard.is_too_late(LATE)
    assert not guard.is_too_late(5)
