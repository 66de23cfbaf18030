"""The fault proxy between two sockets of this machine: what passes, when, and what happens to it when it must not."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deploy.errors import ClusterError
from deploy.link import ProxyLink
from tests.support.waiting import lives, until

ROOT = Path(__file__).parents[3]


@contextmanager
def echoing() -> Iterator[int]:
    """The port of a server that sends back whatever it gets."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client:
                try:
                    while data := client.recv(65536):
                        client.sendall(data)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def link() -> Iterator[ProxyLink]:
    with echoing() as target:
        made = ProxyLink.to(target)
        try:
            yield made
        finally:
            made.close()


def connect(link: ProxyLink) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=10)


def asked(client: socket.socket, text: bytes = b"ping") -> tuple[bytes, float]:
    """What comes back, and after how many seconds."""
    began = time.monotonic()
    client.sendall(text)
    answer = b""
    while len(answer) < len(text):
        if not (data := client.recv(65536)):
            raise ConnectionResetError("closed")
        answer += data
    return answer, time.monotonic() - began


def test_bytes_pass_in_both_directions_and_large_ones_whole(link: ProxyLink) -> None:
    text = os.urandom(3_000_000)
    with connect(link) as client:
        assert asked(client)[0] == b"ping"
        sender = threading.Thread(target=client.sendall, args=(text,))
        sender.start()
        got = b""
        while len(got) < len(text):
            got += client.recv(1 << 20)
        sender.join()
    assert got == text


def test_answers_are_late_by_as_much_as_was_said_and_no_longer_afterwards(link: ProxyLink) -> None:
    with connect(link) as client:
        asked(client)
        link.slow(0.3)
        assert asked(client)[1] >= 0.3
        link.mend()
        assert min(asked(client)[1] for _ in range(5)) < 0.2


def test_late_is_not_slower_many_answers_are_on_their_way_at_a_time(link: ProxyLink) -> None:
    with connect(link) as client:
        asked(client)
        link.slow(0.5)
        began = time.monotonic()
        for number in range(8):
            client.sendall(b"%d" % number)
            time.sleep(0.02)  # so that each is a packet of its own
        answer = b""
        while len(answer) < 8:
            answer += client.recv(100)
        assert answer == b"01234567"
        assert time.monotonic() - began < 8 * 0.5


def test_silence_keeps_connections_and_answers_when_it_is_over(link: ProxyLink) -> None:
    with connect(link) as client:
        asked(client)
        link.silence()
        client.sendall(b"anybody?")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        with connect(link) as newcomer:  # accepted, as by a kernel whose process is stopped
            newcomer.sendall(b"me too")
            link.mend()
            client.settimeout(10)
            assert client.recv(100) == b"anybody?"
            assert newcomer.recv(100) == b"me too"


def test_a_cut_resets_what_is_open_and_refuses_what_comes_until_it_is_mended(link: ProxyLink) -> None:
    port = link.port
    with connect(link) as client:
        asked(client)
        link.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(link)
    link.mend()
    assert link.port == port
    with connect(link) as client:
        assert asked(client)[0] == b"ping"


def test_silence_and_delay_end_with_a_cut(link: ProxyLink) -> None:
    with connect(link) as client:
        link.silence()
        client.sendall(b"lost")
        link.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    link.mend()
    with connect(link) as client:
        assert asked(client)[1] < 5


def test_the_end_of_either_side_is_passed_on(link: ProxyLink) -> None:
    with connect(link) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        got = b""
        while data := client.recv(100):
            got += data
    assert got == b"last words"


def test_a_target_that_is_gone_resets_its_clients() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    link = ProxyLink.to(port)
    try:
        with connect(link) as client, pytest.raises(ConnectionError):
            asked(client)
    finally:
        link.close()


@pytest.mark.parametrize(("seconds", "said"), [(-1.0, "latency -1.0 cannot be"), (61.0, "latency 61.0 cannot be")])
def test_what_cannot_be_is_refused_and_changes_nothing(link: ProxyLink, seconds: float, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        link.slow(seconds)
    with connect(link) as client:
        assert asked(client)[0] == b"ping"


def test_it_has_ended_when_it_is_closed(link: ProxyLink) -> None:
    with connect(link) as client:
        asked(client)
        link.close()
        assert not lives(link.pid)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        with pytest.raises(ClusterError, match="has ended"):
            link.mend()


def test_it_does_not_outlive_whoever_started_it_not_even_by_sigkill() -> None:
    program = "from deploy.link import ProxyLink; link = ProxyLink.to(9); print(link.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.Process(pid).is_running()
        parent.send_signal(signal.SIGKILL)
    until(lambda: not lives(pid), "the fault proxy has ended")
