"""Figures of a machine that makes the arithmetic easy."""

from dataclasses import replace
from typing import Any

from loadtest.capacity.figures import Figure, MachineFigures, Part, RequestKind, Traffic
from loadtest.capacity.plan import CapacityPlan, ExpectedLoad

READ, WRITE, LOGIN = RequestKind


def demands(read: float, write: float, login: float) -> dict[RequestKind, Figure]:
    return {READ: Figure((read,)), WRITE: Figure((write,)), LOGIN: Figure((login,))}


MACHINE = MachineFigures(
    demands={
        Part.PROXY: demands(50, 50, 50),
        Part.NODE: demands(400, 600, 40_000),
        Part.STORE: demands(20, 60, 200),
    },
    traffic={READ: Traffic(1000, 500, 0), WRITE: Traffic(1000, 900, 500), LOGIN: Traffic(1500, 3000, 1500)},
    session_bytes=1000,
    index_bytes=176,
    resident_bytes=1100,
    token_bytes=200,
    worker_bytes=80e6,
    resync_seconds=Figure((4.0, 5.0, 9.0)),
    writer_seconds=None,
    data_bytes=300,
    fitted=(50_000, 200_000),
    sessions=200_000,
    cores=2,
    foreign_share=0.01,
    versions={"valkey": "9.1.2"},
)
WORKLOAD = ExpectedLoad(sessions=100_000_000, active=5_000_000, rate=0.03)


def make_plan(store: str = "redis-cluster", figures: dict[str, Any] | None = None, **workload: Any) -> CapacityPlan:
    """Return the plan for `WORKLOAD` on `MACHINE`, with changes of both."""
    return CapacityPlan(replace(WORKLOAD, **workload), replace(MACHINE, **(figures or {})), store)
