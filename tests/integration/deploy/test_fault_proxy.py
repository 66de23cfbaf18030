"""The fault proxy between two sockets of this machine: what passes, when, and what happens to it when it must not."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from deploy import ClusterError
from deploy.fault_proxy import FaultProxy
from tests.support.node import ROOT
from tests.support.servers import tcp_server
from tests.support.waiting import lives, wait_until


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with tcp_server(echo) as target:
        made = FaultProxy.to(target)
        try:
            yield made
        finally:
            made.close()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def asked(client: socket.socket, text: bytes = b"ping") -> tuple[bytes, float]:
    """Return the answer, and after how many seconds it came."""
    began = time.monotonic()
    client.sendall(text)
    answer = b""
    while len(answer) < len(text):
        if not (data := client.recv(65536)):
            raise ConnectionResetError("closed")
        answer += data
    return answer, time.monotonic() - began


def test_bytes_pass_in_both_directions(proxy: FaultProxy) -> None:
    text = os.urandom(3_000_000)
    with connect(proxy) as client:
        assert asked(client)[0] == b"ping"
        sender = threading.Thread(target=client.sendall, args=(text,))
        sender.start()
        got = b""
        while len(got) < len(text):
            got += client.recv(1 << 20)
        sender.join()
    assert got == text


def test_latency_delays_answers_until_the_proxy_is_reset(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        asked(client)
        proxy.latency(0.3)
        assert asked(client)[1] >= 0.3
        proxy.reset()
        assert min(asked(client)[1] for _ in range(5)) < 0.2


def test_latency_does_not_reduce_throughput(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        asked(client)
        proxy.latency(0.5)
        began = time.monotonic()
        for number in range(8):
            client.sendall(b"%d" % number)
            time.sleep(0.02)  # so that each is a packet of its own
        answer = b""
        while len(answer) < 8:
            answer += client.recv(100)
        assert answer == b"01234567"
        assert time.monotonic() - began < 8 * 0.5


def test_a_blackhole_keeps_connections_and_delivers_afterwards(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        asked(client)
        proxy.blackhole()
        client.sendall(b"anybody?")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        with connect(proxy) as newcomer:  # accepted, as by a kernel whose process is stopped
            newcomer.sendall(b"me too")
            proxy.reset()
            client.settimeout(10)
            assert client.recv(100) == b"anybody?"
            assert newcomer.recv(100) == b"me too"


def test_down_resets_connections_and_refuses_new_ones_until_the_proxy_is_reset(proxy: FaultProxy) -> None:
    port = proxy.port
    with connect(proxy) as client:
        asked(client)
        proxy.down()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.reset()
    assert proxy.port == port
    with connect(proxy) as client:
        assert asked(client)[0] == b"ping"


def test_down_ends_a_blackhole_and_drops_its_bytes(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.blackhole()
        client.sendall(b"lost")
        proxy.down()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    proxy.reset()
    with connect(proxy) as client:
        assert asked(client)[1] < 5


def test_the_end_of_a_connection_is_passed_on(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        got = b""
        while data := client.recv(100):
            got += data
    assert got == b"last words"


def test_clients_of_a_target_that_refuses_are_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    proxy = FaultProxy.to(port)
    try:
        with pytest.raises(ConnectionError), connect(proxy) as client:  # the reset may come before connect returns
            asked(client)
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1.0, "latency must be between 0 and 60 seconds, not -1.0"), (61.0, "61.0")]
)
def test_a_latency_out_of_range_is_refused_and_changes_nothing(proxy: FaultProxy, seconds: float, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        proxy.latency(seconds)
    with connect(proxy) as client:
        assert asked(client)[0] == b"ping"


def test_a_closed_proxy_has_ended(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        asked(client)
        proxy.close()
        assert not lives(proxy.pid)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        with pytest.raises(ClusterError, match="has ended"):
            proxy.reset()


def test_the_proxy_ends_when_its_parent_is_killed() -> None:
    program = "from deploy.fault_proxy import FaultProxy; p = FaultProxy.to(9); print(p.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.Process(pid).is_running()
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not lives(pid), "the fault proxy has ended")
