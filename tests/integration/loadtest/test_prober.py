"""The prober's process, on servers that are well, slow, silent, wrong or gone."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from loadtest.ledger import Outcome
from loadtest.prober import Prober, ProberError, Target, cookie_of
from loadtest.prober.process import NotHttp, parse
from tests.integration.loadtest.test_generator import until
from tests.support.stand_in import ACCOUNTS, StandIn, serving

ROOT = Path(__file__).parents[3]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: node-7\r\n\r\nok"


@contextmanager
def answering(answer: bytes, delay: float = 0.0) -> Iterator[str]:
    """The URL of a server that says this to everybody, after so many seconds."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.recv(65536)
                time.sleep(delay)
                connection.sendall(answer)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def target(url: str, name: str = "it", cookie: str = "") -> Target:
    return Target(name=name, url=f"{url}/me", cookie=cookie)


def prober(*targets: Target, timeout: float = 5.0, time_limit: float = 60.0) -> Prober:
    return Prober(targets, interval=0.05, timeout=timeout, time_limit=time_limit)


def test_good_answers_are_good_and_name_the_node() -> None:
    with answering(GOOD) as url, prober(target(url)) as running:
        until(lambda: len(running.probes) >= 20, "20 probes")
        probes = running.stop()
    assert {probe.outcome for probe in probes} == {Outcome.OK}
    assert {(probe.target, probe.status, probe.node, probe.error) for probe in probes} == {("it", 200, "node-7", "")}
    assert all(abs(probe.started - time.time()) < 120 for probe in probes)


def test_it_keeps_its_rate_whatever_the_answers_take() -> None:
    """A closed loop would send one probe in the time in which this one sends many."""
    with answering(GOOD, delay=0.6) as url, prober(target(url)) as running:
        until(lambda: len(running.probes) >= 20, "20 probes")
        probes = sorted(running.stop(), key=lambda probe: probe.started)
    steps = [later.started - earlier.started for earlier, later in pairwise(probes)]
    assert statistics.median(steps) == pytest.approx(0.05, abs=0.02)
    assert all(probe.ended - probe.started >= 0.6 for probe in probes)


def test_each_target_has_the_whole_rate() -> None:
    with answering(GOOD) as url, prober(target(url, "a"), target(url, "b")) as running:
        until(lambda: len(running.probes) >= 60, "60 probes")
        probes = running.stop()
    for name in ("a", "b"):
        starts = sorted(probe.started for probe in probes if probe.target == name)
        assert len(starts) == pytest.approx(len(probes) / 2, abs=2)
        assert statistics.median(b - a for a, b in pairwise(starts)) == pytest.approx(0.05, abs=0.02)


def test_nobody_there_is_a_failure() -> None:
    with answering(GOOD) as url:
        pass
    with prober(target(url)) as running:
        until(lambda: len(running.probes) >= 5, "5 probes")
        probes = running.stop()
    assert {(probe.outcome, probe.error) for probe in probes} == {(Outcome.FAIL, "ConnectionRefusedError")}


@pytest.mark.parametrize(
    ("answer", "outcome", "error"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Outcome.FAIL, "status 502"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", Outcome.UNKNOWN, "the answer stops early"),
        (b"", Outcome.UNKNOWN, "the connection was closed without an answer"),
        (b"SSH-2.0-whatever\r\n\r\n", Outcome.UNKNOWN, "no HTTP answer"),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(answer: bytes, outcome: Outcome, error: str) -> None:
    with answering(answer) as url, prober(target(url)) as running:
        until(lambda: len(running.probes) >= 3, "3 probes")
        probes = running.stop()
    assert {(probe.outcome, probe.error) for probe in probes} == {(outcome, error)}


def test_no_answer_in_time_is_unknown() -> None:
    with answering(GOOD, delay=30) as url, prober(target(url), timeout=0.3) as running:
        until(lambda: len(running.probes) >= 3, "3 probes")
        probes = running.stop()
    assert {(probe.outcome, probe.error) for probe in probes} == {(Outcome.UNKNOWN, "no answer within 0.3 s")}


def test_stopping_waits_for_what_is_in_flight() -> None:
    with answering(GOOD, delay=0.5) as url, prober(target(url)) as running:
        time.sleep(0.3)
        probes = running.stop()
    assert len(probes) >= 3
    assert {probe.outcome for probe in probes} == {Outcome.OK}


def test_a_cookie_is_sent_along() -> None:
    with serving(StandIn()) as url:
        cookie = cookie_of(url, "alice", ACCOUNTS["alice"])
        account = Target(name="account", url=f"{url}/account", cookie=cookie)
        nobody = Target(name="nobody", url=f"{url}/account")
        with prober(account, nobody) as running:
            until(lambda: len(running.probes) >= 10, "10 probes")
            probes = running.stop()
    assert {(probe.target, probe.status) for probe in probes} == {("account", 200), ("nobody", 401)}


def test_whoever_cannot_log_in_is_told_so_in_one_line() -> None:
    with serving(StandIn()) as url, pytest.raises(ProberError, match=r"cannot log in at .* as alice: .*401"):
        cookie_of(url, "alice", "wrong")
    with pytest.raises(ProberError, match="cannot log in"):
        cookie_of(url, "alice", ACCOUNTS["alice"])


def test_it_ends_by_itself_after_its_time_limit() -> None:
    with answering(GOOD) as url, prober(target(url), time_limit=0.5) as running:
        until(lambda: not alive(running), "the prober to be gone")
        assert 2 <= len(running.stop()) <= 12


def test_it_ends_by_itself_when_whoever_started_it_is_killed() -> None:
    with answering(GOOD) as url:
        starter = (
            "import sys, time; from loadtest.prober import Prober, Target\n"
            "it = Prober([Target(name='it', url=sys.argv[1])], time_limit=99).__enter__()\n"
            "print(it.pid, flush=True); time.sleep(99)"
        )
        command = [sys.executable, "-c", starter, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            parent.kill()
        until(lambda: not psutil.pid_exists(pid), "the prober to be gone")


def test_one_that_dies_is_reported_in_one_line() -> None:
    with answering(GOOD) as url, prober(target(url)) as running:
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: not alive(running), "the prober to be gone")
        with pytest.raises(ProberError, match=r"ended early \(exit -9\)"):
            running.stop()


def test_orders_that_make_no_sense_are_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.prober.process"], input=b"{}\n", capture_output=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_chunked_answers_are_whole_with_their_last_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert parse(head + b"2\r\nok\r\n0\r\n\r\n").status == 200
    with pytest.raises(NotHttp, match="stops early"):
        parse(head + b"2\r\nok\r\n")


def alive(running: Prober) -> bool:
    return psutil.pid_exists(running.pid) and psutil.Process(running.pid).status() != psutil.STATUS_ZOMBIE
