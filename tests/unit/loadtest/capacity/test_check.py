"""The check of a prediction: of the sheet's figures, and of those that are measured again in turns."""

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from loadtest.capacity.check import CPU_BOUND, Prediction, check, compare, show_check
from loadtest.capacity.figures import Figure, Part, RequestKind
from loadtest.capacity.measure import QUICK, Memory
from loadtest.capacity.testbed import LoadSample
from tests.unit.loadtest.capacity.figures import MACHINE, READ, WRITE, demands


def run(cpu: float) -> LoadSample:
    return LoadSample({Part.NODE: cpu}, 0, 0, 0)


class Bed:
    """A cluster whose node takes this time for a read, and twice as long for a write."""

    def __init__(self, read: float, used: float = 0.0) -> None:
        self._read = read
        self.contents = SimpleNamespace(fill=lambda _: None, memory=lambda: (used, used))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def rest(self) -> None:
        pass

    def run(self, kind: RequestKind, _: int, writes: float | None = None) -> LoadSample:
        share = float(kind is WRITE) if writes is None else writes
        return run(self._read * (1 + share))


def found(sheet: float, in_turns: float, measured: float) -> dict[str, bool]:
    """Return which predictions hold where a read takes these times."""
    bed: Any = Bed(in_turns)
    others: list[Any] = [Bed(measured, 1000.0 + size) for size in (100, 400)]
    figures = replace(MACHINE, demands={Part.NODE: demands(sheet, 2 * sheet, 0)})
    predictions = check(bed, figures, Memory(1000.0, 1.0, 1.0), others, (100, 400), 0.25, QUICK, lambda *_: None)
    assert [one.sessions for one in predictions] == [100, 400] + [100] * 2 + [400] * 2
    return {one.what: one.holds for one in predictions}


def test_the_figures_of_the_sheet_are_judged_beside_those_that_are_measured_again() -> None:
    both = {"memory", "CPU, node", "CPU again, node"}
    assert found(100, 100, 100) == dict.fromkeys(both, True)
    assert found(130, 100, 100) == {**dict.fromkeys(both, True), "CPU, node": False}
    assert found(100, 130, 100) == {**dict.fromkeys(both, True), "CPU again, node": False}


def test_the_cpu_of_a_mix_is_predicted_from_medians_of_its_parts() -> None:
    costs = {Part.NODE: {READ: Figure((100, 90, 500)), WRITE: Figure((200, 180, 1000))}}
    (one,) = compare("CPU", costs, [run(125), run(900), run(120)], 0.25, 1000)
    assert (one.predicted, one.measured) == (0.75 * 100 + 0.25 * 200, 125)
    assert one.holds


@pytest.mark.parametrize(("predicted", "holds"), [(119, True), (121, False), (81, True), (79, False)])
def test_a_prediction_holds_within_its_bound_of_what_is_measured(predicted: float, holds: bool) -> None:
    one = Prediction("CPU again, store", 1_200_000, "us", predicted, 100, CPU_BOUND)
    assert one.holds is holds
    out = io.StringIO()
    Console(file=out, width=80).print(show_check([one]))
    shown = out.getvalue()
    assert ("All predictions hold." in shown) is holds
    assert ("1 of 1 predictions do not hold." in shown) is not holds
    assert max(map(len, shown.splitlines())) <= 80
    assert "CPU again, store, us" in shown
    assert "…" not in shown
