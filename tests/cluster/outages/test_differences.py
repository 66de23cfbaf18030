"""Nodes that differ: in their clocks, in when they started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.outages.rows import CREDENTIALS, AliceBrowser
from tests.support.http_client import HttpClient
from tests.support.node import RunningNode
from tests.support.valkey import Valkey
from tests.support.waiting import wait_until

WRONG_CLOCK = """
import os, time
right, wrong = time.time, float(os.environ["NODE_CLOCK_IS_WRONG_BY"])
time.time = lambda: right() + wrong
time.time_ns = lambda: int(time.time() * 1e9)
"""
DAY = 86400

Start = Callable[..., RunningNode]


@pytest.fixture
def start_one(run_node: Start, valkey: Valkey) -> Start:
    """Return a function that starts a node for the test, on the Valkey of the module."""
    redis = {"SESSION_STORE": "redis", "REDIS_URL": valkey.url, "STORE_READ_TIMEOUT": "2", "STORE_DEADLINE": "4"}
    return lambda **settings: run_node(**redis, **settings)


def users_of(browser: AliceBrowser, nodes: list[RunningNode]) -> list[object]:
    return [browser.get(f"{node.url}/me").json()["user"] for node in nodes]


def left(valkey: Valkey, browser: AliceBrowser) -> float:
    """Return the seconds until the store ends the browser's session."""
    with valkey.client() as client:
        return float(client.pttl(f"session:{{{browser.session_key()}}}")) / 1000


def test_clocks_that_differ_by_days_end_no_session_and_lengthen_none(
    start_one: Start, tmp_path: Path, valkey: Valkey
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK)
    wrong = [start_one(PYTHONPATH=str(tmp_path), NODE_CLOCK_IS_WRONG_BY=str(by)) for by in (DAY, -DAY)]
    for node in wrong:
        HttpClient(node.url).get("/me")
    days = {node.lines()[-1]["time"][:10] for node in wrong}
    assert len(days) == 2  # they are wrong indeed, as their own logs say
    nodes = [start_one(), *wrong]
    for home in nodes:
        browser = AliceBrowser(home)
        assert users_of(browser, nodes) == ["alice"] * 3
        since = [browser.get(f"{node.url}/account").json()["since"] for node in nodes]
        assert len(set(since)) == 1
        for node in nodes:  # a login made a moment ago is fresh everywhere
            assert browser.delete(f"{node.url}/sessions").status_code == 200
            assert browser.post(f"{node.url}/visits", json={}).status_code == 200
            assert 1700 < left(valkey, browser) <= 1800


def test_a_node_starts_while_its_store_is_away_and_serves_when_it_is_back(start_one: Start, valkey: Valkey) -> None:
    browser = AliceBrowser(start_one())
    valkey.kill()
    late = start_one()
    browser.url = late.url
    ready = HttpClient(late.url).get("/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert HttpClient(late.url).get("/live").status_code == 200
    assert HttpClient(late.url).get("/me").json()["user"] is None
    assert (browser.observe("read"), browser.observe("login"), browser.observe("logout")) == ("503",) * 3
    # A cookie that no node set needs no store: its sender is anonymous even now.
    for value in ("x" * 7000, "", browser.cookies["session"] + "A"):
        answer = HttpClient(late.url).get("/me", headers={"Cookie": f"session={value}"})
        assert (answer.status_code, answer.json()["user"]) == (200, None)
    valkey.start()
    wait_until(lambda: HttpClient(late.url).get("/ready").status_code == 200)
    assert browser.is_logged_in()
    assert HttpClient(late.url).post("/login", json=CREDENTIALS).status_code == 200
