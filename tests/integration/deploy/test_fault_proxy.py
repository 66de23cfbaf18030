"""The fault proxy between two sockets of this machine."""

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


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    """A connection through the proxy to the server that echoes."""
    with connect(proxy) as connection:
        ask(connection)
        yield connection


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def receive(client: socket.socket, length: int) -> bytes:
    """Return this many bytes, or fewer if the connection ends before."""
    received = b""
    while len(received) < length and (data := client.recv(1 << 20)):
        received += data
    return received


def ask(client: socket.socket) -> float:
    """Return the seconds until a message has come back."""
    began = time.monotonic()
    client.sendall(b"ping")
    if receive(client, 4) != b"ping":
        raise ConnectionResetError("closed")
    return time.monotonic() - began


def test_bytes_pass_in_both_directions(client: socket.socket) -> None:
    text = os.urandom(3_000_000)
    sender = threading.Thread(target=client.sendall, args=(text,))
    sender.start()
    assert receive(client, len(text)) == text
    sender.join()


def test_latency_delays_answers_until_the_proxy_is_reset(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.latency(0.3)
    assert ask(client) >= 0.3
    proxy.reset()
    assert min(ask(client) for _ in range(5)) < 0.2


def test_latency_does_not_reduce_throughput(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.latency(0.5)
    began = time.monotonic()
    for number in range(8):
        client.sendall(b"%d" % number)
        time.sleep(0.02)  # so that each is a packet of its own
    assert receive(client, 8) == b"01234567"
    assert time.monotonic() - began < 8 * 0.5


def test_a_blackhole_keeps_connections_and_delivers_afterwards(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.blackhole()
    client.sendall(b"first")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)
    with connect(proxy) as newcomer:  # accepted, as by a kernel whose process is stopped
        newcomer.sendall(b"second")
        proxy.reset()
        client.settimeout(10)
        assert client.recv(100) == b"first"
        assert newcomer.recv(100) == b"second"


def test_a_blackhole_for_one_user_concerns_only_connections_that_log_in_as_it(proxy: FaultProxy) -> None:
    with connect(proxy) as sentinel, connect(proxy) as node, connect(proxy) as late:
        for client, user in ((sentinel, b"sentinel"), (node, b"node")):
            client.sendall(b"AUTH\r\n" + user + b"\r\n")
            assert receive(client, len(user) + 8)
        proxy.blackhole("sentinel")
        ask(node)
        for client, sent in ((sentinel, b"ping"), (late, b"AUTH\r\nsentinel\r\n")):
            client.sendall(sent)
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(100)
            client.settimeout(10)
        proxy.reset()
        assert receive(sentinel, 4) == b"ping"
        assert receive(late, 16) == b"AUTH\r\nsentinel\r\n"


def test_down_resets_connections_and_refuses_new_ones_until_the_proxy_is_reset(
    proxy: FaultProxy, client: socket.socket
) -> None:
    port = proxy.port
    proxy.down()
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.reset()
    assert proxy.port == port
    with connect(proxy) as newcomer:
        ask(newcomer)


def test_down_ends_a_blackhole_and_drops_its_bytes(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.blackhole()
    client.sendall(b"lost")
    proxy.down()
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    proxy.reset()
    with connect(proxy) as newcomer:
        assert ask(newcomer) < 5


def test_a_proxy_whose_process_was_killed_can_be_closed(proxy: FaultProxy) -> None:
    os.kill(proxy.pid, signal.SIGKILL)
    wait_until(lambda: not lives(proxy.pid), "the process has ended")
    with pytest.raises(ClusterError, match="the fault proxy has ended"):
        proxy.down()
    proxy.close()


def test_the_end_of_a_connection_is_passed_on(client: socket.socket) -> None:
    client.sendall(b"the end")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == b"the end"


def test_clients_of_a_target_that_refuses_are_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    proxy = FaultProxy.to(port)
    try:
        with pytest.raises(ConnectionError), connect(proxy) as client:  # the reset may come before connect returns
            ask(client)
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("seconds", "message"), [(-1.0, "latency must be between 0 and 60 seconds, not -1.0"), (61.0, "61.0")]
)
def test_a_latency_out_of_range_is_refused_and_changes_nothing(
    proxy: FaultProxy, client: socket.socket, seconds: float, message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        proxy.latency(seconds)
    ask(client)


def test_a_closed_proxy_has_ended(proxy: FaultProxy, client: socket.socket) -> None:
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
