"""The bench in short form, on the real servers; and that it notices what does not do what it is measured for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadtest.bench.apps import TEXTS
from loadtest.bench.client import load, request_for
from loadtest.bench.measure import Measured, Samples, Use, counter, measure, start_session
from loadtest.bench.servers import APPLICATIONS, Application, BenchError, Running
from loadtest.bench.table import ratios, table, to_json

ROOT = Path(__file__).parents[3]


def bench(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "session_cluster", "bench", *arguments]
    environment = {**os.environ, "COLUMNS": "80", **environ}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)


def test_a_short_run_has_every_row_with_figures_that_can_be(tmp_path: Path) -> None:
    done = bench("--requests", "100", "--repeat", "1", "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    record = json.loads((tmp_path / "bench.json").read_text())
    rows = {row["application"]: row for row in record["rows"]}
    assert list(rows) == [application.name for application in APPLICATIONS]
    measured = [row for row in rows.values() if "missing" not in row]
    for row in measured:
        uses = [use for use in ("read", "write", "unused", "none") if use in row]
        assert uses == (["none"] if row["application"].endswith("alone") else ["read", "write", "unused", "none"])
        for use in uses:
            assert 10 < row[use]["cpu_us_median"] < 50_000
            assert 10 < row[use]["requests_per_second"][0] < 100_000
            assert (row[use]["cpu_us_spread"], row[use]["requests_per_second_spread"]) == (0, 0)  # of one repetition
    for name in ("redis", "flask-session"):
        assert 300 < rows[name]["session_bytes"] < 1500
    assert [each["what"] for each in record["ratios"]][:1] == ["a read, beside Flask-Session 0.8"]
    assert record["bytes"][0]["aim"] == "fewer"
    assert "requests a second" in done.stdout
    assert re.search(r"bytes, beside Flask-Session 0\.8: \d+ to \d+ \(aim: fewer, (met|missed)\)", done.stdout)


def test_without_node_its_rows_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("env", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    done = bench(
        "--requests", "20", "--repeat", "1", "--only", "flask-alone", "--only", "express-alone", PATH=str(folder)
    )
    assert done.returncode == 0, done.stderr
    assert "Express alone" in done.stdout
    assert "there is no `node` in PATH" in " ".join(done.stdout.split())


def test_wrong_usage_is_answered_in_a_line() -> None:
    done = bench("--only", "django")
    assert done.returncode == 2
    assert "django" in done.stderr.splitlines()[-1]


# ---- what it notices


class Fake(Running):
    """An application of the test's own, in this process."""

    def __init__(self, port: int) -> None:
        self.application = Application("fake", "the fake", "flask-alone")
        self.port = port

    def cpu_seconds(self) -> float:
        return 0.0


@contextmanager
def serving(answers: dict[str, tuple[int, dict[str, str]]]) -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers = answers.get(self.path, (404, {}))
            self.send_response(status)
            for name, value in {"Content-Length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Fake(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


SEEN = {"X-Seen": f"{sum(map(len, TEXTS.values()))} 0"}
COOKIE = {"Set-Cookie": "session=x; Path=/"}


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({"/start": (200, {}), "/read": (200, SEEN)}, "set no cookie"),
        ({"/start": (200, COOKIE), "/read": (200, {})}, "does not know its session"),
        ({"/start": (200, COOKIE), "/read": (200, {"X-Seen": "7 0"})}, "does not know its session"),
        ({"/start": (200, COOKIE), "/read": (200, {"X-Seen": f"{SEEN['X-Seen'][:-1]}5"})}, "did not keep"),
    ],
)
def test_a_session_that_is_none_is_not_measured(answers: dict[str, Any], complaint: str) -> None:
    with serving(answers) as fake, pytest.raises(BenchError, match=complaint):
        start_session(fake)


def test_a_write_that_writes_nothing_is_not_measured() -> None:
    with serving({"/write": (200, {"X-Seen": "60 0"}), "/read": (200, SEEN)}) as fake:
        assert counter(fake, "session=x") == 0
        with pytest.raises(BenchError, match="did not write"):
            measure(fake, Use.WRITE, "session=x", 8, Samples())


def test_an_answer_that_has_not_seen_the_session_is_not_measured() -> None:
    with (
        serving({"/read": (200, {"X-Seen": "0 0"})}) as fake,
        pytest.raises(BenchError, match="an answer that did not see the session"),
    ):
        measure(fake, Use.READ, "session=x", 8, Samples())


def test_an_application_that_fails_is_not_measured() -> None:
    with serving({"/read": (500, SEEN)}) as fake, pytest.raises(BenchError, match="500"):
        measure(fake, Use.READ, "session=x", 8, Samples())
    with serving({}) as fake, pytest.raises(ConnectionError, match="404"):
        load(fake.port, request_for("/read"), 8, 4, seen=0)


def test_ratios_are_of_what_the_sessions_add() -> None:
    def of(read: float, none: float) -> dict[Use, Samples]:
        return {
            Use.READ: Samples([read, read - 1, read + 1], [700.0, 600.0, 900.0]),
            Use.WRITE: Samples([read * 2], [300.0]),
            Use.NONE: Samples([none], [1000.0]),
        }

    measured: Measured = {
        "redis": of(150, 100),
        "flask-session": of(300, 100),
        "flask-alone": {Use.NONE: Samples([100], [1.0])},
        "express-session": of(300, 200),
        "express-alone": {Use.NONE: Samples([200], [1.0])},
    }
    assert [(ratio, aim) for _, ratio, aim in ratios(measured)] == [(0.25, 0.25), (0.5, 0.5), (0.4, 0.4)]
    console = Console(width=80, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    sizes = {"redis": 496, "flask-session": 448, "express-session": 512}
    console.print(table(measured, sizes, {"memory": "it was ill"}))
    text = console.export_text()
    assert "150 ±1" in text
    assert "700 ±150" in text  # requests a second
    assert "a read, beside Flask-Session 0.8: 0.25 of what it adds there (aim: 0.25, met)" in text
    assert "bytes, beside Flask-Session 0.8: 496 to 448 (aim: fewer, missed)" in text
    assert "bytes, beside express-session: 496 to 512 (aim: fewer, met)" in text
    assert "memory: not measured, it was ill" in text
    record = to_json(measured, sizes, {}, {"requests": 1})
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
    assert [(each["ours"], each["theirs"], each["is_met"]) for each in record["bytes"]] == [
        (496, 448, False),
        (496, 512, True),
    ]
