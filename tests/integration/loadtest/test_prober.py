"""The prober's process, on servers that are well, slow, silent, wrong or gone."""

import asyncio
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.certificate import make_certificate
from loadtest.history import OpOutcome, Probe, now
from loadtest.prober.client import Prober, ProberError
from loadtest.prober.process import INTERVAL, Endpoint, probe
from loadtest.target import log_in
from tests.support.node import ROOT
from tests.support.servers import tcp_server
from tests.support.stand_in import StandIn, serving, target
from tests.support.waiting import child_with, lives, wait_until

MODULE = "loadtest.prober.process"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: node-7\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"


@contextmanager
def answering(answer: bytes, delay: float = 0.0) -> Iterator[str]:
    """Send this answer to every request, after `delay` seconds. Yield the server's URL."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        time.sleep(delay)
        connection.sendall(answer)

    with tcp_server(serve) as port:
        yield f"http://127.0.0.1:{port}"


def prober(*urls: str) -> Prober:
    return Prober([Endpoint(name=str(number), url=f"{url}/me") for number, url in enumerate(urls)])


def some_probes(running: Prober, count: int) -> list[Probe]:
    probes: list[Probe] = []

    def have_come() -> bool:
        probes.extend(running.take())
        return len(probes) >= count

    with running:
        wait_until(have_come, f"{count} probes")
        running.stop()
    return [*probes, *running.take()]


@pytest.mark.parametrize(
    ("answer", "outcome", "status", "node", "error"),
    [
        (GOOD, OpOutcome.OK, 200, "node-7", ""),
        (CHUNKED + b"0\r\n\r\n", OpOutcome.OK, 200, "", ""),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", OpOutcome.FAIL, 502, "", "status 502"),
        (GOOD[:-1], OpOutcome.UNKNOWN, 0, "", "the answer stops early"),
        (CHUNKED, OpOutcome.UNKNOWN, 0, "", "the answer stops early"),
        (b"", OpOutcome.UNKNOWN, 0, "", "the connection was closed without an answer"),
        (b"SSH-2.0-whatever\r\n\r\n", OpOutcome.UNKNOWN, 0, "", "no HTTP answer"),
    ],
)
def test_a_probe_says_what_the_answer_was(
    answer: bytes, outcome: OpOutcome, status: int, node: str, error: str
) -> None:
    with answering(answer) as url:
        probes = some_probes(prober(url), 3)
    assert {(one.outcome, one.status, one.node, one.error) for one in probes} == {(outcome, status, node, error)}
    assert all(abs(probe.started - time.time()) < 120 for probe in probes)


def test_no_answer_in_time_is_unknown_and_a_refused_connection_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.prober.process.TIMEOUT", 0.3)
    with answering(GOOD, delay=30) as url:
        slow = asyncio.run(probe(Endpoint(name="0", url=url), now()))
    gone = some_probes(prober(url), 3)
    assert (slow.outcome, slow.error) == (OpOutcome.UNKNOWN, "no answer within 0.3 s")
    assert {(probe.outcome, probe.error) for probe in gone} == {(OpOutcome.FAIL, "ConnectionRefusedError")}


def test_a_probe_sends_the_headers_and_the_cookie_that_it_is_given() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(GOOD)

    with tcp_server(serve) as port:
        given = {"Accept": "text/html", "X-Tenant": "7"}
        endpoint = Endpoint(name="0", url=f"http://127.0.0.1:{port}/me", cookie="sid=1", headers=given)
        asyncio.run(probe(endpoint, now()))
    lines = seen[0].decode().split("\r\n")
    assert [line for line in lines if line.startswith(("Accept", "X-Tenant", "Cookie"))] == [
        "Accept: text/html", "X-Tenant: 7", "Cookie: sid=1"
    ]  # fmt: skip


def test_a_certificate_of_a_private_authority_is_trusted_by_its_file_or_not_checked(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    def serve(connection: socket.socket) -> None:
        with suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)
            wrapped.sendall(GOOD)

    with tcp_server(serve) as port:
        url = f"https://127.0.0.1:{port}/me"
        endpoints = [
            Endpoint(name="trusted", url=url, authority=str(made.authority)),
            Endpoint(name="insecure", url=url, insecure=True),
            Endpoint(name="unknown", url=url),
        ]
        probes = some_probes(Prober(endpoints), 6)
    found = {(one.target, one.outcome, one.status) for one in probes}
    assert found == {
        ("trusted", OpOutcome.OK, 200), ("insecure", OpOutcome.OK, 200), ("unknown", OpOutcome.UNKNOWN, 0)
    }  # fmt: skip


def test_each_endpoint_is_probed_at_the_whole_rate_however_long_the_answers_take() -> None:
    """A closed loop would send one probe in the time in which this one sends many."""
    with answering(GOOD, delay=0.6) as url:
        probes = some_probes(prober(url, url), 60)
    assert all(probe.ended - probe.started >= 0.6 for probe in probes)
    for name in ("0", "1"):
        starts = sorted(probe.started for probe in probes if probe.target == name)
        assert len(starts) == pytest.approx(len(probes) / 2, abs=2)
        interval = statistics.median(later - earlier for earlier, later in pairwise(starts))
        assert interval == pytest.approx(INTERVAL, abs=0.02)


def test_stopping_waits_for_probes_in_flight() -> None:
    with serving(behaviour := StandIn(delay=0.5)) as url, prober(url) as running:
        wait_until(lambda: behaviour.requests >= 3, "three requests")
        running.stop()
    probes = running.take()
    assert len(probes) >= 3
    assert {probe.outcome for probe in probes} == {OpOutcome.OK}


def test_an_endpoint_with_a_cookie_sees_the_session() -> None:
    with serving(StandIn()) as url:
        cookie = log_in(target(url))
        account = Endpoint(name="account", url=f"{url}/account", cookie=cookie)
        anonymous = Endpoint(name="anonymous", url=f"{url}/account")
        probes = some_probes(Prober([account, anonymous]), 10)
    assert {(probe.target, probe.status) for probe in probes} == {("account", 200), ("anonymous", 401)}


def test_the_prober_ends_when_its_parent_is_killed() -> None:
    starter = (
        "import sys, time; from loadtest.prober.client import Prober; from loadtest.prober.process import Endpoint\n"
        "it = Prober([Endpoint(name='it', url=sys.argv[1])]).__enter__()\n"
        "print('started', flush=True); time.sleep(99)"
    )
    with answering(GOOD) as url:
        command = [sys.executable, "-c", starter, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "started\n"
            process = child_with(MODULE, parent.pid)
            parent.kill()
        wait_until(lambda: not lives(process.pid), "the prober to be gone")


def test_a_prober_that_dies_is_reported_in_one_line() -> None:
    with answering(GOOD) as url, prober(url) as running:
        process = child_with(MODULE)
        process.kill()
        wait_until(lambda: not lives(process.pid), "the prober to be gone")
        with pytest.raises(ProberError, match=r"ended early \(exit -9\)"):
            running.stop()
