"""The demo's verdicts, table and record. The figures are planted."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from loadtest.checker import Findings, Kind, PhaseFigures, check
from loadtest.claims.claim import Timing, Verdict
from loadtest.demo import BY_NAME, SCENES, make_record, show_scenes
from loadtest.experiment import ARRIVAL, Case, Experiment
from loadtest.history import End
from loadtest.results import Result
from loadtest.runner import Run
from loadtest.suite import evaluate_run, make_result

Figures = dict[str, Any]
CLEAN: Figures = {
    "seconds": 2.0, "users": 30, "operations": 1200, "as_logged_in": 1000, "p50": 4.0, "p99": 1100.0,
    "nodes": {f"node-{number}": 240 for number in range(1, 6)},
}  # fmt: skip
EMPTY = check([End(0, 0)])
NO_TIMES = Timing(**dict.fromkeys(Timing.__struct_fields__, 0.0))
# What each scene is to show, phase by phase.
SHOWN: dict[str, list[Figures]] = {
    "one-worker": [{}],
    "two-workers": [{"logged_out": 502, "users_logged_out": 30, "found": {Kind.SESSION_LOST: 30}}],
    "three-nodes": [{"logged_out": 661, "users_logged_out": 30, "found": {Kind.SESSION_LOST: 30}}],
    "sticky-kill": [{}, {"logged_out": 11, "users_logged_out": 10, "found": {Kind.SESSION_LOST: 10}}],
    "redis-kill": [{}, {"failed": 1, "failed_writes": 1, "failures": {"POST /visits: status 502": 1}}],
    "scale": [{}, {}, {}],
}


def run_scene(scene: Experiment, phases: Sequence[Figures], arrival: Figures | None = None) -> Result:
    case = Case(scene, scene.variants[0])
    figures = zip((ARRIVAL, *(phase.name for phase in case.phases)), (arrival or {}, *phases), strict=True)
    shown = {name: PhaseFigures(**{**CLEAN, **changes}) for name, changes in figures}
    findings: Findings = msgspec.structs.replace(EMPTY, phases=shown)
    run = Run(findings, NO_TIMES, {})
    return make_result(case, run, evaluate_run(case, run, Path(), steady=False), 1, 30, "")


def as_expected() -> list[Result]:
    return [run_scene(BY_NAME[name], phases) for name, phases in SHOWN.items()]


def render(results: Sequence[Result], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(show_scenes(results, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def record(results: Sequence[Result]) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(msgspec.json.encode(make_record(results, 30, 6.0)))
    return document


def test_each_scene_holds_with_the_figures_it_is_to_show() -> None:
    assert [result.name for result in as_expected()] == [scene.name for scene in SCENES]
    assert [result.reason for result in as_expected()] == [""] * 6
    assert {result.verdict for result in as_expected()} == {Verdict.HOLDS}


LOST = {"logged_out": 1, "found": {Kind.SESSION_LOST: 1}}
FAILED_GET = {"failed": 1, "failed_gets": 1, "failures": {"GET /me: status 502": 1}}
FAILED_POST = {"failed": 1, "failures": {"POST /visits: status 502": 1}}
THREE_NODES = {"nodes": {"node-1": 400, "node-2": 400, "node-3": 400}}


@pytest.mark.parametrize(
    ("name", "phase", "changes"),
    [
        *((name, 0, SHOWN["two-workers"][0]) for name in ("one-worker", "sticky-kill", "redis-kill", "scale")),
        *((name, 0, CLEAN | {"logged_out": 0, "users_logged_out": 0}) for name in ("two-workers", "three-nodes")),
        ("sticky-kill", 1, {"logged_out": 0, "users_logged_out": 0}),
        ("sticky-kill", 1, FAILED_GET),
        ("redis-kill", 1, FAILED_GET),
        ("scale", 1, FAILED_POST),
        ("scale", 1, THREE_NODES),
    ],
)
def test_a_scene_is_broken_by_what_must_not_happen_in_a_phase(name: str, phase: int, changes: Figures) -> None:
    phases = [dict(figures) for figures in SHOWN[name]]
    phases[phase] |= changes
    assert run_scene(BY_NAME[name], phases).verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", ["one-worker", "sticky-kill", "redis-kill", "scale"])
def test_a_session_lost_while_users_arrive_breaks_a_scene(name: str) -> None:
    result = run_scene(BY_NAME[name], SHOWN[name], LOST)
    assert (result.verdict, result.reason) == (Verdict.BROKEN, "arriving: 1 x session lost; expected none")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_is_complete_at_any_width_from_80(width: int) -> None:
    text = render(as_expected(), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for cell in ("502 50%", "661 66%", "11 1%", "30/30", "10/30", "1,200", "1100", "memory", "redis", "sticky"):
        assert cell in text
    for scene in SCENES:
        assert scene.title in text
    for number in range(1, 7):
        assert any(line.startswith(f"{number} ✓") for line in text.splitlines())


def test_larger_figures_fit_80_columns_as_well() -> None:
    large = {"operations": 48_000, "seconds": 600.0, "as_logged_in": 40_000, "logged_out": 20_123}
    large |= {"users": 400, "users_logged_out": 400}
    text = render([run_scene(BY_NAME["two-workers"], [large])], 80)
    assert "…" not in text
    assert "20k 50%" in text
    assert "48k" in text


@pytest.mark.parametrize(
    ("name", "changes", "mark", "text"),
    [
        (
            "three-nodes",
            {},
            "1 ✗",
            "Not as predicted: steady: 0% of the requests found the user logged out; expected",
        ),
        ("one-worker", {"users": 3}, "1 ?", "Too little data: steady: 3 users; 12 are needed."),
        ("one-worker", {"generator_cpu": 0.95}, "1 ✓", "The load generator was busy"),
    ],
)
def test_what_did_not_hold_or_was_disturbed_is_explained_below_the_table(
    name: str, changes: Figures, mark: str, text: str
) -> None:
    result = run_scene(BY_NAME[name], [changes])
    shown = render([result], 80)
    assert mark in shown
    assert text in " ".join(shown.split())
    (scene,) = record([result])["scenes"]
    assert scene["verdict"] == result.verdict


def test_each_scene_says_what_its_users_lost_over_the_whole_run() -> None:
    total: Figures = {"users": 30, "operations": 1200, "logged_out": 11, "users_logged_out": 10, "failed": 113}
    result = run_scene(BY_NAME["sticky-kill"], SHOWN["sticky-kill"])
    assert result.findings is not None
    findings = msgspec.structs.replace(result.findings, total=PhaseFigures(seconds=5.0, **total))
    text = render([msgspec.structs.replace(result, findings=findings)], 80)
    assert "10 of 30 users were logged out; 113 requests failed" in " ".join(text.split())


def test_a_write_in_flight_on_the_killed_node_is_shown() -> None:
    text = " ".join(render(as_expected(), 80).split())
    assert "In flight on the killed node, and not repeated because they write: 1 x POST /visits: status 502." in text
    assert "The load generator was busy" not in text


def test_the_record_has_all_figures_of_all_phases_and_the_verdicts() -> None:
    document = record(as_expected())
    assert (document["version"], document["users"], document["seconds"], document["holds"]) == (2, 30, 6.0, True)
    assert [scene["name"] for scene in document["scenes"]] == list(SHOWN)
    sticky = document["scenes"][3]
    assert [sticky[key] for key in ("nodes", "store", "balancing", "verdict")] == [3, "memory", "sticky", "holds"]
    assert [phase["phase"] for phase in sticky["phases"]] == ["arriving", "steady", "node-2 killed"]
    killed = sticky["phases"][2]
    assert (killed["users_logged_out"], killed["share_logged_out"], killed["requests_per_second"]) == (10, 0.011, 600.0)
