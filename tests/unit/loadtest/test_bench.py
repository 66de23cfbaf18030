"""The bench's tables and its JSON."""

import io

from rich.console import Console

from loadtest.bench.measure import Measured, Samples, Use
from loadtest.bench.table import ratios, tables, to_json


def test_what_a_session_adds_is_compared_with_its_own_framework() -> None:
    def samples(read: float, none: float) -> dict[Use, Samples]:
        return {
            Use.READ: Samples([read, read - 1, read + 1], [700.0, 600.0, 900.0]),
            Use.WRITE: Samples([read * 2], [300.0]),
            Use.NONE: Samples([none], [1000.0]),
        }

    measured: Measured = {
        "redis": samples(150, 100),
        "flask-session": samples(300, 100),
        "flask-alone": {Use.NONE: Samples([100], [1.0])},
        "express-session": samples(300, 200),
        "express-alone": {Use.NONE: Samples([200], [1.0])},
    }
    assert [(ratio, aim) for _, ratio, aim in ratios(measured)] == [(0.25, 0.25), (0.5, 0.5), (0.4, 0.4)]
    written = io.StringIO()
    console = Console(width=80, file=written)
    sizes = {"redis": 496, "flask-session": 448, "express-session": 512}
    console.print(tables(measured, sizes, {"memory": "it was ill"}))
    text = written.getvalue()
    assert "150 ±1" in text
    assert "700 ±150" in text  # requests a second
    assert "a read, beside Flask-Session 0.8: 0.25 of what it adds there (aim: 0.25, met)" in text
    assert "bytes, beside Flask-Session 0.8: 496 to 448 (aim: fewer, missed)" in text
    assert "bytes, beside express-session: 496 to 512 (aim: fewer, met)" in text
    assert "this layer, memory: not measured, it was ill" in text
    record = to_json(measured, sizes, {})
    assert record["rows"][0]["read"] == {
        "cpu_us": [150, 149, 151],
        "cpu_us_median": 150,
        "cpu_us_spread": 1,
        "requests_per_second": [700.0, 600.0, 900.0],
        "requests_per_second_median": 700,
        "requests_per_second_spread": 150,
        "added_us": 50,
    }
    assert record["ratios"][0]["is_met"] is True
    assert [(each["session_cluster"], each["reference"], each["is_met"]) for each in record["bytes"]] == [
        (496, 448, False),
        (496, 512, True),
    ]
