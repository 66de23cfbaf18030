"""A load that several Locust workers share, against a server whose faults are known."""

import contextlib
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.ports import free_ports
from loadtest.figures import Figures, together
from loadtest.history import Mark, Op, read
from loadtest.old_generator import Generator, GeneratorError
from loadtest.protocol import Start
from tests.support.stand_in import ACCOUNTS, StandIn, serving

USERS, WORKERS = 12, 3


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(StandIn()) as url:
        yield url


def start(url: str, **more: object) -> Start:
    usual: dict[str, object] = {
        "url": url,
        "accounts": ACCOUNTS,
        "users": USERS,
        "spawn_rate": 30.0,
        "phase": "arriving",
        "wait": (0.02, 0.05),
        "time_limit": 60.0,
        "workers": WORKERS,
    }
    return Start(**{**usual, **more})  # type: ignore[arg-type]


def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def arrived(generator: Generator, users: int = USERS) -> Callable[[], bool]:
    def everybody() -> bool:
        generator.check()
        return generator.progress is not None and generator.progress.figures.users == users

    return everybody


def children(generator: Generator) -> list[psutil.Process]:
    return psutil.Process(generator.pid).children(recursive=True)


def test_all_users_are_different_and_every_phase_is_counted_once(url: str, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl.gz"
    with Generator() as generator:
        generator.start(start(url, history=str(history)))
        until(arrived(generator))
        assert len(children(generator)) == WORKERS
        generator.enter("load")
        until(lambda: generator.progress is not None and generator.progress.figures.requests > 300)
        arriving, load = generator.stop()
        latencies = generator.latencies
    assert (arriving.phase, load.phase) == ("arriving", "load")
    assert arriving.users == load.users == USERS
    assert (load.failed, load.wrong) == (0, 0)
    events = list(read(history))
    assert len({op.who for op in events if isinstance(op, Op)}) == USERS
    assert {op.account for op in events if isinstance(op, Op)} == set(ACCOUNTS)
    assert [mark.name for mark in events if isinstance(mark, Mark)] == ["arriving", "load", "end"]
    counted = sum(isinstance(op, Op) and not op.error for op in events)
    assert arriving.requests + load.requests == counted
    for figures, latency in zip((arriving, load), latencies, strict=True):
        assert latency.total.requests == figures.requests == sum(row.requests for row in latency.rows)
        assert latency.total.p50 <= latency.total.p90 <= latency.total.p99 <= latency.total.p999
        assert figures.p99 == latency.total.p99
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl.gz"]


def test_weights_say_who_comes_and_the_page_is_locusts_own(url: str) -> None:
    (port,) = free_ports(1)
    with Generator() as generator:
        generator.start(start(url, weights={"Visitor": 1}, web=port))
        until(arrived(generator))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert b"Locust" in page.read()
        generator.stop()
        (latency,) = generator.latencies
    assert {row.name for row in latency.rows} == {"/login", "/me", "/visits", "/account"}


def test_one_process_alone_can_have_weights_and_a_page_as_well(url: str) -> None:
    (port,) = free_ports(1)
    with Generator() as generator:
        generator.start(start(url, workers=1, weights={"Shopper": 1}, web=port))
        until(arrived(generator))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=10) as statistics:
            assert b"/cart" in statistics.read()
        generator.stop()
        (latency,) = generator.latencies
    assert "/account" not in {row.name for row in latency.rows}


def test_a_worker_that_is_lost_ends_the_load_in_one_line(url: str) -> None:
    with Generator() as generator:
        generator.start(start(url))
        children(generator)[1].kill()
        with pytest.raises(GeneratorError, match=r"worker \d of the load generator ended early \(exit -9\)$"):
            until(arrived(generator, users=-1))


def test_workers_end_with_the_process_that_started_them(url: str) -> None:
    with Generator() as generator:
        generator.start(start(url))
        workers = children(generator)
        assert len(workers) == WORKERS
        os.kill(generator.pid, signal.SIGKILL)
        assert psutil.wait_procs(workers, timeout=20)[1] == []


def test_workers_end_with_the_time_limit_of_their_load(url: str) -> None:
    with Generator() as generator, contextlib.suppress(GeneratorError):
        generator.start(start(url, time_limit=6.0))
        workers = children(generator)
        assert psutil.wait_procs(workers, timeout=30)[1] == []
        with pytest.raises(GeneratorError, match=r"time limit|ended early"):
            generator.check()


def test_what_several_processes_saw_adds_up() -> None:
    one = Figures(phase="load", seconds=2.0, users=3, requests=10, nodes={"node-1": 10}, p99=5.0, generator_cpu=0.2)
    other = Figures(phase="load", seconds=2.1, users=2, requests=7, nodes={"node-1": 3, "node-2": 4}, p99=9.0, failed=1)
    both = together([one, other])
    assert (both.seconds, both.users, both.requests, both.failed) == (2.1, 5, 17, 1)
    assert both.nodes == {"node-1": 13, "node-2": 4}
    assert (both.p99, both.generator_cpu) == (9.0, 0.2)
    assert together([one, other], p50=1.0, p99=7.0).p99 == 7.0
