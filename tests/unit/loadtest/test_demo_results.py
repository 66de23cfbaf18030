"""What the demo makes of figures: verdicts, the table, the JSON. The figures are planted."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadtest import Figures
from loadtest.demo.claims import Verdict
from loadtest.demo.record import to_json, write
from loadtest.demo.run import Effort
from loadtest.demo.scenes import BY_NAME, SCENES, Outcome, Scene, outcome
from loadtest.demo.table import result


def figures(**changes: Any) -> Figures:
    clean = {
        "phase": "steady",
        "seconds": 2.0,
        "users": 30,
        "requests": 1200,
        "as_logged_in": 1000,
        "p50": 4.0,
        "p99": 1100.0,
        "nodes": {f"node-{number}": 240 for number in range(1, 6)},
    }
    return Figures(**{**clean, **changes})


# What each scene is to show, phase by phase.
SHOWN: dict[str, list[dict[str, Any]]] = {
    "one-worker": [{}],
    "two-workers": [{"logged_out": 502, "users_logged_out": 30}],
    "three-nodes": [{"logged_out": 661, "users_logged_out": 30}],
    "sticky-kill": [{}, {"logged_out": 11, "users_logged_out": 10}],
    "redis-kill": [{}, {"failed": 1, "failures": {"POST /visits: status 502": 1}}],
    "scale": [{}, {}, {}],
}


def came_to(scene: Scene, phases: Sequence[dict[str, Any]], arrival: dict[str, Any] | None = None) -> Outcome:
    return outcome(scene, figures(**(arrival or {})), *(figures(**phase) for phase in phases))


def as_expected() -> list[Outcome]:
    return [came_to(BY_NAME[name], phases) for name, phases in SHOWN.items()]


def rendered(outcomes: Sequence[Outcome], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(result(outcomes, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_scene_holds_with_the_figures_it_is_to_show() -> None:
    assert [one.scene for one in as_expected()] == list(SCENES)
    assert [one.ruling.verdict for one in as_expected()] == [Verdict.HOLDS] * 6


@pytest.mark.parametrize("name", SHOWN)
def test_each_scene_is_contradicted_by_the_figures_of_another_kind(name: str) -> None:
    loses = any("logged_out" in phase for phase in SHOWN[name])
    opposite = {} if loses else {"logged_out": 500, "users_logged_out": 30}
    assert came_to(BY_NAME[name], [opposite] * len(SHOWN[name])).ruling.verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", SHOWN)
def test_no_scene_passes_without_data(name: str) -> None:
    nothing = {"requests": 0, "as_logged_in": 0, "users": 0, "logged_out": 0, "users_logged_out": 0}
    assert came_to(BY_NAME[name], [nothing] * len(SHOWN[name])).ruling.verdict is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize("name", ["one-worker", "sticky-kill", "redis-kill", "scale"])
def test_a_session_lost_while_users_arrive_contradicts_too_and_says_when(name: str) -> None:
    ruling = came_to(BY_NAME[name], SHOWN[name], {"logged_out": 1, "users_logged_out": 1}).ruling
    assert (ruling.verdict, ruling.reason) == (Verdict.BROKEN, "arriving: 1 found logged out; expected none")


@pytest.mark.parametrize("name", ["sticky-kill", "redis-kill"])
def test_a_get_that_fails_when_a_node_dies_contradicts(name: str) -> None:
    steady, killed = SHOWN[name]
    failed = {**killed, "failed": 1, "failed_gets": 1, "failures": {"GET /me: status 502": 1}}
    assert came_to(BY_NAME[name], [steady, failed]).ruling.verdict is Verdict.BROKEN


def test_a_failed_request_while_scaling_contradicts() -> None:
    failed = {"failed": 1, "failures": {"POST /visits: status 502": 1}}
    assert came_to(BY_NAME["scale"], [{}, failed, {}]).ruling.verdict is Verdict.BROKEN


def test_new_nodes_that_never_answer_contradict_the_scaling() -> None:
    idle = {"nodes": {"node-1": 400, "node-2": 400, "node-3": 400}}
    assert came_to(BY_NAME["scale"], [{}, idle, {}]).ruling.verdict is Verdict.BROKEN


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_is_complete_at_any_width_from_80(width: int) -> None:
    text = rendered(as_expected(), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for cell in ("502 50%", "661 66%", "11 1%", "30/30", "10/30", "1,200", "1100", "memory", "redis", "sticky"):
        assert cell in text
    for one in as_expected():
        assert one.scene.title in text
    for number in range(1, 7):
        assert any(line.startswith(f"{number} ✓") for line in text.splitlines())


def test_larger_figures_fit_80_columns_as_well() -> None:
    large = {"requests": 48_000, "seconds": 600.0, "as_logged_in": 40_000, "logged_out": 20_123}
    large |= {"users": 400, "users_logged_out": 400}
    text = rendered([came_to(BY_NAME["two-workers"], [large])], 80)
    assert "…" not in text
    assert "20k 50%" in text
    assert "48k" in text


def test_a_busy_load_generator_is_said_to_be_one() -> None:
    assert "load generator itself" not in rendered(as_expected(), 80)
    assert "load generator itself" in rendered([came_to(BY_NAME["one-worker"], [{"generator_cpu": 0.95}])], 80)


def test_a_contradiction_stands_under_the_table_with_its_reason() -> None:
    text = rendered([came_to(BY_NAME["three-nodes"], [{}])], 120)
    assert "1 ✗" in text
    assert "Broken: steady: 0% of the requests found the user logged out; expected about two thirds" in text


def test_too_little_data_is_said_and_is_no_tick() -> None:
    text = rendered([came_to(BY_NAME["one-worker"], [{"users": 3}])], 80)
    assert "1 ?" in text
    assert "Not enough data: steady: 3 users; 12 are needed." in text


def test_a_post_that_was_in_flight_when_its_node_died_is_shown() -> None:
    text = " ".join(rendered(as_expected(), 80).split())
    assert "In flight on the killed node, and not repeated because they write: 1 x POST /visits: status 502." in text


def test_the_json_has_all_figures_of_all_phases_and_the_verdicts() -> None:
    document = json.loads(to_json(as_expected(), Effort(30, 6.0)))
    assert (document["version"], document["users"], document["seconds"], document["holds"]) == (1, 30, 6.0, True)
    assert [scene["name"] for scene in document["scenes"]] == list(SHOWN)
    sticky = document["scenes"][3]
    assert (sticky["nodes"], sticky["store"], sticky["balancing"], sticky["verdict"]) == (
        3,
        "memory",
        "sticky",
        "holds",
    )
    assert len(sticky["phases"]) == 3, "the arrival, steady, killed"
    killed = sticky["phases"][2]
    assert (killed["users_logged_out"], killed["share_logged_out"], killed["requests_per_second"]) == (10, 0.011, 600.0)


def test_the_json_says_that_a_scene_did_not_hold() -> None:
    document = json.loads(to_json([came_to(BY_NAME["one-worker"], [{"users": 3}])], Effort(3, 6.0)))
    assert document["holds"] is False
    assert document["scenes"][0]["verdict"] == "not enough data"


def test_the_json_replaces_what_was_there_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text("old")
    write(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [path]
