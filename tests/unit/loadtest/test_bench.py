"""The bench's tables and its JSON."""

import io

import pytest
from rich.console import Console

from loadtest.bench.measure import FIRST_PACE, FIRST_SECONDS, Measured, Pace, Samples, Use
from loadtest.bench.table import ratios, tables, to_json


def samples(read: float, none: float) -> dict[Use, Samples]:
    return {
        Use.READ: Samples([read, read - 1, read + 1], [9.0, 9.0, 9.0], [700.0, 600.0, 900.0]),
        Use.WRITE: Samples([read * 2] * 3, [20.0] * 3, [300.0] * 3),
        Use.NONE: Samples([none] * 3, [0.0] * 3, [1000.0] * 3),
    }


def alone(none: float) -> dict[Use, Samples]:
    return {Use.NONE: Samples([none] * 3, [0.0] * 3, [1.0] * 3)}


MEASURED: Measured = {
    "redis": samples(150, 100),
    "flask-session": samples(300, 100),
    "flask-alone": alone(100),
    "redis-01db56e": {
        Use.READ: Samples([200.0] * 3, [12.0] * 3, [1.0] * 3),
        Use.WRITE: Samples([400.0] * 3, [46.0] * 3, [1.0] * 3),
    },
    "node": {Use.READ: Samples([600.0] * 3, [9.0] * 3, [1.0] * 3)},
    "node-01db56e": {Use.READ: Samples([800.0] * 3, [9.0] * 3, [1.0] * 3)},
    "express-session": samples(180, 140),
    "express-alone": alone(140),
}
SIZES = {"redis": 496, "flask-session": 448, "express-session": 512}


def test_the_cost_of_a_session_is_compared_with_its_own_framework() -> None:
    found = [(ratio.value, ratio.goal.bound, ratio.goal.is_met(ratio.value)) for ratio in ratios({4: MEASURED})]
    assert found == [
        (0.25, 0.25, True),
        (0.4, 0.4, True),
        (1.2, 1.1, True),
        (0.75, 0.7, False),  # of a node as a whole
        (0.5, 0.6, True),  # of the Redis, for a read and a write
    ]
    assert [ratio.goal.connections for ratio in ratios({1: MEASURED, 2: MEASURED})] == [1] * 5
    read = ratios({4: MEASURED})[0]
    assert 0.24 < read.low < read.value < read.high < 0.26


def test_an_application_that_was_not_measured_leaves_its_ratios_out() -> None:
    some = {name: measured for name, measured in MEASURED.items() if name != "flask-session"}
    assert [ratio.goal.other for ratio in ratios({4: some})] == ["express-session", "node-01db56e", "redis-01db56e"]


def test_the_tables_have_every_row_and_each_ratio_with_its_goal() -> None:
    written = io.StringIO()
    Console(width=80, file=written).print(tables({4: MEASURED}, SIZES, {"memory": "it was ill"}))
    text = " ".join(written.getvalue().split())
    assert "150 ±1" in text
    assert "700 ±150" in text  # requests a second
    read = "a read adds, beside Flask-Session 0.8, 4 connections"
    assert f"{read}: 0.25 (0.25 to 0.25; goal: at most 0.25, met)" in text
    assert "beside express-session, 4 connections: 1.20 (1.20 to 1.20; goal: at least 1.1, met)" in text
    assert "CPU of GET /me, beside a node of 01db56e, 4 connections: 0.75 (0.75 to 0.75; goal: at most 0.7" in text
    assert "bytes, beside Flask-Session 0.8: 496 to 448, 1.11 (goal: at most 1, missed)" in text
    assert "bytes, beside express-session: 496 to 512, 0.97 (goal: at most 1, met)" in text
    assert "this layer, memory: not measured, it was ill" in text


def test_figures_of_a_slow_and_noisy_machine_fit_a_terminal() -> None:
    noisy = Samples([1000.0, 1234.0, 3456.0], [1000.0] * 3, [1000.0, 1234.0, 3456.0])
    written = io.StringIO()
    Console(width=80, file=written).print(tables({1: {"redis": dict.fromkeys(Use, noisy)}}, SIZES, {}))
    assert written.getvalue().count("1234 ±1228") == 2 * len(Use)


def test_the_record_has_every_sample() -> None:
    record = to_json({4: MEASURED}, SIZES, {})
    assert record["rows"][0]["read"] == {
        "cpu_us": [150, 149, 151],
        "cpu_us_median": 150,
        "cpu_us_spread": 1,
        "redis_cpu_us": [9.0, 9.0, 9.0],
        "requests_per_second": [700.0, 600.0, 900.0],
        "requests_per_second_median": 700,
        "requests_per_second_spread": 150,
        "added_us": 50,
    }
    assert record["rows"][0]["connections"] == 4
    assert record["ratios"][0]["is_met"] is True
    assert [(each["session_cluster"], each["reference"], each["is_met"]) for each in record["bytes"]] == [
        (496, 448, False),
        (496, 512, True),
    ]


def test_the_time_that_is_left_follows_the_pace_of_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = Pace(100 * FIRST_PACE)
    assert pace.ends_at == now + 100
    now += 15 * FIRST_SECONDS
    pace.add(int(7 * FIRST_SECONDS * FIRST_PACE))  # about half as fast as expected
    assert pace.ends_at == pytest.approx(now + 2 * (100 - 7 * FIRST_SECONDS))
    pace.add(int((100 - 7 * FIRST_SECONDS) * FIRST_PACE))
    assert pace.ends_at == now
