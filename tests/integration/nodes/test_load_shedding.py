"""A worker that is behind refuses what waited too long, and one that stood still serves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.node import RunningNode, store_settings

RunNode = Callable[..., RunningNode]

SLOW = """
from gevent import monkey
block, done = monkey.get_original("time", "sleep"), []

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        block(0.1)  # nothing else of this worker goes on, as in a write to a slow disk
        done.append(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(done)).encode()]
"""


@pytest.fixture
def node(run_node: RunNode, tmp_path: Path) -> RunningNode:
    """A node whose `/slow` blocks its only worker for 0.1 s, and whose `/` tells how often it did."""
    (tmp_path / "slow.py").write_text(SLOW)
    return run_node(NODE_APP="slow:app", NODE_APP_FOLDER=str(tmp_path), **store_settings("file", tmp_path))


def send(node: RunningNode, path: str, count: int) -> list[tuple[requests.Response, float]]:
    """Send so many requests at a time, and return the answers with the seconds that each took."""

    def ask(_: int) -> tuple[requests.Response, float]:
        start = time.monotonic()
        answer = requests.get(node.url + path, timeout=30)
        return answer, time.monotonic() - start

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_a_worker_that_is_behind_refuses_what_waited_too_long_but_not_monitors(node: RunningNode) -> None:
    with ThreadPoolExecutor(1) as pool:
        sent, monitored = pool.submit(send, node, "/slow", 60), set()
        while not sent.done():
            monitored.add(requests.get(f"{node.url}/live", timeout=30).status_code)
    answers = sent.result()
    refused = [answer for answer, _ in answers if answer.status_code == 503]
    served = [answer for answer, _ in answers if answer.status_code == 200]
    assert {(answer.headers["Retry-After"], answer.headers["Cache-Control"]) for answer in refused} == {
        ("1", "no-store")
    }
    assert len(served) >= 5
    assert len(refused) >= 20
    assert max(seconds for _, seconds in answers) < 4  # 6 without a refusal
    assert requests.get(node.url, timeout=30).text == str(len(served))  # and no other one was begun
    assert monitored == {200}


def test_a_worker_that_stood_still_serves_what_waited_meanwhile(node: RunningNode) -> None:
    (worker,) = node.workers()
    worker.suspend()
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(send, node, "/", 4)
        time.sleep(1.6)  # until all of them are late, and longer than a worker may be behind
        worker.resume()
        assert {answer.status_code for answer, _ in answers.result()} == {200}
