"""The check of a prediction: stores filled to sizes that it was not fitted to, under a mix that was not measured.

The cluster that was measured and those that are checked run at one time and are measured in turns, so a slow moment of
the machine affects all of them. Medians are compared.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from loadtest.capacity.figures import Figure, MachineFigures, Part, RequestKind
from loadtest.capacity.measure import Memory, Sampling, Watch, demands
from loadtest.capacity.quantities import show_count
from loadtest.capacity.testbed import LoadSample, Testbed
from loadtest.claims.claim import Verdict
from loadtest.report.tables import MARKS, Column, Table

MEMORY_BOUND, CPU_BOUND = 0.10, 0.20
"""The most that a prediction may differ from what is measured, as a share of it."""


@dataclass(frozen=True)
class Prediction:
    """A predicted and a measured value."""

    what: str
    sessions: int
    unit: str
    predicted: float
    measured: float
    bound: float

    @property
    def difference(self) -> float:
        """The difference, as a share of what was measured."""
        return self.predicted / self.measured - 1

    @property
    def holds(self) -> bool:
        return abs(self.difference) <= self.bound


def usual_sizes(fitted: tuple[int, int]) -> tuple[int, int]:
    """Return a size between those that the prediction was fitted to, and one beyond them."""
    return fitted[1] * 3 // 5, fitted[1] * 2


def check(
    bed: Testbed,
    figures: MachineFigures,
    memory: Memory,
    others: Sequence[Testbed],
    sizes: Sequence[int],
    writes: float,
    sampling: Sampling,
    watch: Watch,
) -> tuple[Prediction, ...]:
    """Fill other clusters, one for each of `sizes`, and compare them with two predictions: with that of the sheet, from
    `figures`, and with that of `bed`, which is measured again in turns with them.

    `writes` is the share of writes in the mix. Raises ClusterError, redis.RedisError, OSError.
    """
    with ExitStack() as stack:
        for other, size in zip(others, sizes, strict=True):
            watch(f"fills a store with {show_count(size)} sessions", "requests in turns")
            stack.enter_context(other)
            other.contents.fill(size)
        found = [
            Prediction("memory", size, "MB", memory.predict(size) / 1e6, other.contents.memory()[0] / 1e6, MEMORY_BOUND)
            for other, size in zip(others, sizes, strict=True)
        ]
        watch("rests", "requests in turns")
        for one in (bed, *others):
            one.rest()
            one.run(RequestKind.READ, 60, writes)  # warms up
        fitted: dict[RequestKind, list[LoadSample]] = {RequestKind.READ: [], RequestKind.WRITE: []}
        mixes: dict[Testbed, list[LoadSample]] = {one: [] for one in others}
        turns = [bed, *others]
        for number in range(1, sampling.checked_rounds + 1):
            watch(f"round {number} of {sampling.checked_rounds} of requests in turns", "")
            random.shuffle(turns)
            for one in turns:
                if one is bed:
                    for kind, samples in fitted.items():
                        samples.append(bed.run(kind, sampling.requests))
                else:
                    mixes[one].append(one.run(RequestKind.READ, sampling.requests, writes))
    for other, size in zip(others, sizes, strict=True):
        found += compare("CPU", figures.demands, mixes[other], writes, size)
        found += compare("CPU again", demands(fitted), mixes[other], writes, size)
    return tuple(found)


def compare(
    what: str,
    costs: Mapping[Part, Mapping[RequestKind, Figure]],
    checked: Sequence[LoadSample],
    writes: float,
    size: int,
) -> list[Prediction]:
    """Return the predictions of the CPU of a request of the mix: the mean of reads and writes by their shares."""
    found = []
    for part, cost in costs.items():
        predicted = (1 - writes) * cost[RequestKind.READ].value + writes * cost[RequestKind.WRITE].value
        measured = median(run.cpu[part] for run in checked)
        found.append(Prediction(f"{what}, {part}", size, "us", predicted, measured, CPU_BOUND))
    return found


def show_check(predictions: Sequence[Prediction]) -> RenderableType:
    """Return a row for each prediction, and a last line."""
    table = Table(
        [
            Column("prediction", number=False),
            *(Column(name) for name in ("sessions", "predicted", "measured", "diff.")),
            Column("verdict", number=False),
        ]
    )
    for one in predictions:
        mark, words, style = MARKS[Verdict.HOLDS if one.holds else Verdict.BROKEN]
        table.add(
            [
                f"{one.what}, {one.unit}",
                show_count(one.sessions),
                f"{one.predicted:,.1f}",
                f"{one.measured:,.1f}",
                f"{one.difference:+.1%}",
                (Text(f"{mark} {words}", style), words),
            ]
        )
    broken = sum(not one.holds for one in predictions)
    last = f"{broken} of {len(predictions)} predictions do not hold." if broken else "All predictions hold."
    notes = (
        "CPU: predicted from the sheet. CPU again: from the measured cluster, again in turns with the checked ones. "
        f"Bounds: memory {MEMORY_BOUND:.0%}, CPU {CPU_BOUND:.0%}."
    )
    return Group(table.render(), Text(""), Text(last, "bold red" if broken else "bold"), Text(notes, "dim"))


def to_json(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    return [
        {
            "what": one.what,
            "sessions": one.sessions,
            "unit": one.unit,
            "predicted": one.predicted,
            "measured": one.measured,
            "difference": one.difference,
            "bound": one.bound,
            "holds": one.holds,
        }
        for one in predictions
    ]
