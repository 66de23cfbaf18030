"""The prober's process, on servers that are well, slow, silent, wrong or gone."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from loadtest.history import Outcome, Probe
from loadtest.prober import Endpoint, Prober, ProberError
from loadtest.prober.process import NotHttp, parse
from loadtest.target import TargetError, log_in
from tests.support.node import ROOT
from tests.support.servers import tcp_server
from tests.support.stand_in import ACCOUNTS, StandIn, serving, target
from tests.support.waiting import lives, wait_until

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: node-7\r\n\r\nok"


@contextmanager
def answering(answer: bytes, delay: float = 0.0) -> Iterator[str]:
    """The URL of a server that sends this answer to every request, after `delay` seconds."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        time.sleep(delay)
        connection.sendall(answer)

    with tcp_server(serve) as port:
        yield f"http://127.0.0.1:{port}"


def prober(*urls: str, timeout: float = 5.0, time_limit: float = 60.0) -> Prober:
    endpoints = [Endpoint(name=str(number), url=f"{url}/me") for number, url in enumerate(urls)]
    return Prober(endpoints, interval=0.05, timeout=timeout, time_limit=time_limit)


def some_probes(running: Prober, count: int) -> list[Probe]:
    with running:
        wait_until(lambda: len(running.probes) >= count, f"{count} probes")
        return running.stop()


def interval(probes: list[Probe]) -> float:
    starts = sorted(probe.started for probe in probes)
    return statistics.median(later - earlier for earlier, later in pairwise(starts))


@pytest.mark.parametrize(
    ("answer", "outcome", "status", "node", "error"),
    [
        (GOOD, Outcome.OK, 200, "node-7", ""),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Outcome.FAIL, 502, "", "status 502"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", Outcome.UNKNOWN, 0, "", "the answer stops early"),
        (b"", Outcome.UNKNOWN, 0, "", "the connection was closed without an answer"),
        (b"SSH-2.0-whatever\r\n\r\n", Outcome.UNKNOWN, 0, "", "no HTTP answer"),
    ],
)
def test_a_probe_says_what_the_answer_was(answer: bytes, outcome: Outcome, status: int, node: str, error: str) -> None:
    with answering(answer) as url:
        probes = some_probes(prober(url), 3)
    assert {(one.outcome, one.status, one.node, one.error) for one in probes} == {(outcome, status, node, error)}
    assert all(abs(probe.started - time.time()) < 120 for probe in probes)


def test_no_answer_in_time_is_unknown_and_a_refused_connection_is_a_failure() -> None:
    with answering(GOOD, delay=30) as url:
        slow = some_probes(prober(url, timeout=0.3), 3)
    gone = some_probes(prober(url), 3)
    assert {(probe.outcome, probe.error) for probe in slow} == {(Outcome.UNKNOWN, "no answer within 0.3 s")}
    assert {(probe.outcome, probe.error) for probe in gone} == {(Outcome.FAIL, "ConnectionRefusedError")}


def test_each_endpoint_is_asked_at_the_whole_rate_however_long_the_answers_take() -> None:
    """A closed loop would send one probe in the time in which this one sends many."""
    with answering(GOOD, delay=0.6) as url:
        probes = some_probes(prober(url, url), 60)
    assert all(probe.ended - probe.started >= 0.6 for probe in probes)
    for name in ("0", "1"):
        ours = [probe for probe in probes if probe.target == name]
        assert len(ours) == pytest.approx(len(probes) / 2, abs=2)
        assert interval(ours) == pytest.approx(0.05, abs=0.02)


def test_stopping_waits_for_what_is_in_flight() -> None:
    with answering(GOOD, delay=0.5) as url, prober(url) as running:
        time.sleep(0.3)
        probes = running.stop()
    assert len(probes) >= 3
    assert {probe.outcome for probe in probes} == {Outcome.OK}


def test_an_endpoint_with_a_cookie_sees_the_session() -> None:
    with serving(StandIn()) as url:
        cookie = log_in(target(url))
        account = Endpoint(name="account", url=f"{url}/account", cookie=cookie)
        anonymous = Endpoint(name="anonymous", url=f"{url}/account")
        probes = some_probes(Prober([account, anonymous], time_limit=60), 10)
    assert {(probe.target, probe.status) for probe in probes} == {("account", 200), ("anonymous", 401)}


def test_a_login_that_fails_is_reported_in_one_line() -> None:
    with serving(StandIn()) as url, pytest.raises(TargetError, match=r"cannot log in at .* as alice: status 401"):
        log_in(target(url, {"alice": "wrong"}))
    with pytest.raises(TargetError, match=r"cannot log in at .* as alice: ConnectionRefusedError"):
        log_in(target(url, ACCOUNTS))


def test_it_ends_by_itself_after_its_time_limit() -> None:
    with answering(GOOD) as url, prober(url, time_limit=0.5) as running:
        wait_until(lambda: not lives(running.pid), "the prober to be gone")
        assert 2 <= len(running.stop()) <= 12


def test_it_ends_by_itself_when_its_parent_is_killed() -> None:
    starter = (
        "import sys, time; from loadtest.prober import Endpoint, Prober\n"
        "it = Prober([Endpoint(name='it', url=sys.argv[1])], time_limit=99).__enter__()\n"
        "print(it.pid, flush=True); time.sleep(99)"
    )
    with answering(GOOD) as url:
        command = [sys.executable, "-c", starter, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            parent.kill()
        wait_until(lambda: not lives(pid), "the prober to be gone")


def test_a_prober_that_dies_is_reported_in_one_line() -> None:
    with answering(GOOD) as url, prober(url) as running:
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not lives(running.pid), "the prober to be gone")
        with pytest.raises(ProberError, match=r"ended early \(exit -9\)"):
            running.stop()


def test_orders_that_are_not_valid_are_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "loadtest.prober.process"]
    done = subprocess.run(command, input=b"{}\n", capture_output=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_chunked_answer_is_complete_with_its_last_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert parse(head + b"2\r\nok\r\n0\r\n\r\n").status == 200
    with pytest.raises(NotHttp, match="stops early"):
        parse(head + b"2\r\nok\r\n")
