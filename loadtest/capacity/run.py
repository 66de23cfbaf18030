"""One run of the command: a plan from this machine, or from the record of an earlier run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from redis import RedisError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from deploy import ClusterError
from loadtest.capacity.check import Prediction, check, usual_sizes
from loadtest.capacity.measure import QUICK, Sampling, measure
from loadtest.capacity.plan import CapacityPlan, ExpectedLoad
from loadtest.capacity.sheet import read_record
from loadtest.capacity.testbed import Testbed
from loadtest.progress import ProgressLine, Status
from loadtest.results import describe_machine
from proxy.nginx import NginxError

Planned = tuple[CapacityPlan, dict[str, Any], Sequence[Prediction]]
"""A plan, the machine that its figures are of, and what was checked."""


class CapacityError(Exception):
    """The measurement failed; the message is one line."""


@dataclass(frozen=True)
class Options:
    """The options of a measurement. `sizes` are those of the check; empty: the usual ones, None: no check."""

    store: str
    data_bytes: int
    quick: bool
    sizes: tuple[int, ...] | None
    nginx: str | None
    store_server: str | None

    def make_bed(self) -> Testbed:
        """Return a cluster to measure, which does not run yet."""
        return Testbed(self.store, self.data_bytes, self.nginx, self.store_server)


class Steps:
    """Shows the current step of a measurement on a line."""

    def __init__(self, console: Console, title: str, total: int) -> None:
        self._line, self._status = ProgressLine(console), Status(title, 1, total)

    def __enter__(self) -> Self:
        self._line.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._line.__exit__(*error)

    def begin_check(self) -> None:
        self._status.number = 2

    def __call__(self, stage: str, next_stage: str) -> None:
        self._status.enter(stage, next_stage)
        self._line(self._status)


def plan_here(load: ExpectedLoad, options: Options, console: Console) -> Planned:
    """Measure this machine, check the prediction where that is asked for, and return the plan. Raises CapacityError."""
    sampling = QUICK if options.quick else Sampling()
    predictions: Sequence[Prediction] = ()
    try:
        with Steps(console, options.store, 1 if options.sizes is None else 2) as steps:
            steps("starts a cluster", "fills the store")
            with options.make_bed() as bed:
                figures, memory = measure(bed, sampling, steps)
                if options.sizes is not None:
                    steps.begin_check()
                    sizes = options.sizes or usual_sizes(figures.fitted)
                    others = [options.make_bed() for _ in sizes]
                    predictions = check(bed, figures, memory, others, sizes, load.writes, sampling, steps)
    except (ClusterError, NginxError, RedisError, SQLAlchemyError, OSError) as error:
        raise CapacityError(str(error)) from error
    machine = {**describe_machine(), "at": time.strftime("%Y-%m-%d %H:%M")}
    return CapacityPlan(load, figures, options.store), machine, predictions


def plan_from(path: Path, load: ExpectedLoad) -> Planned:
    """Return a plan with the figures of an earlier run. Raises CapacityError."""
    try:
        store, figures, machine = read_record(path)
    except (ValueError, OSError) as error:
        raise CapacityError(str(error)) from error
    return CapacityPlan(load, figures, store, f"measured {machine['at']}"), machine, ()


def describe(plan: CapacityPlan, machine: dict[str, Any]) -> str:
    """Return where and when the figures were measured."""
    programs = ", ".join(f"{name} {version}" for name, version in plan.figures.versions.items())
    what = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']} {machine['release']}"
    return f"{what}, {programs}, {machine['at']}"
