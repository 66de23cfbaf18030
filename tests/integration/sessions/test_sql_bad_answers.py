"""A database that answers nonsense, slowly, too much or twice: unavailable, in time."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from nodes.sessions import Budgets, StoreUnavailable
from nodes.sessions.stores.sql import SqlStore
from tests.support.records import KEY
from tests.support.servers import tcp_server

HASTY = Budgets(0.3, 0.3, retries=0, deadline=0.6)
GREETINGS = {
    "nonsense": random.Random(1).randbytes(5000),
    "a short greeting of MySQL": b"\x05\x00\x00\x00\x0a8.0\x00",
    "a greeting without a version": b"\x10\x00\x00\x00\x0a\xff\xff\x00" + bytes(12),
    "an empty packet": bytes(4),
}


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_database_that_answers_nonsense_is_unavailable(kind: str, greeting: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(greeting)
        connection.recv(1000)

    with tcp_server(serve) as port, closing(SqlStore.from_url(f"{kind}://u:p@127.0.0.1:{port}/db", HASTY)) as store:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            store.load(KEY)
        assert len(str(caught.value)) < 300
        assert time.monotonic() - started < 2


# ---- servers that answer each packet with what a test says


def drip(connection: socket.socket, first: bytes) -> None:
    """Send `first`, and then a byte each 0.05 s, within each timeout of a socket, for 5 s or until the client goes."""
    connection.sendall(first)
    for _ in range(100):
        time.sleep(0.05)
        connection.sendall(b"x")


def _packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


# Protocol 10, an id, a salt, capabilities (4.1, transactions, salt of 20 bytes, plugins), utf8mb4, autocommit.
_GREETING = _packet(
    0,
    b"\x0a8.0.36\0" + b"\1\0\0\0" + b"saltsalt\0" + b"\x08\xa2\x2d\2\0\x08\0\x15" + bytes(10)
    + b"saltsaltsalt\0mysql_native_password\0",
)  # fmt: skip
GREETING_WITH_TLS = _GREETING.replace(b"\x08\xa2", b"\x08\xaa")
_OK = b"\0\0\0\2\0\0\0"


@contextmanager
def fake_mysql(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let each client log in, and call `answer` after each command. Yield the URL."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(_GREETING)
        connection.recv(1000)
        connection.sendall(_packet(2, _OK))
        while connection.recv(1000):
            answer(connection)

    with tcp_server(serve) as port:
        yield f"mysql://u:p@127.0.0.1:{port}/db"


@contextmanager
def fake_postgresql(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let each client log in, and call `answer` after each command. Yield the URL."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\5I")
        while connection.recv(1000):
            answer(connection)

    with tcp_server(serve) as port:
        yield f"postgresql://u:p@127.0.0.1:{port}/db?sslmode=disable"


@contextmanager
def fake_pooler(commands: list[bytes]) -> Iterator[str]:
    """Refuse the parameter `options` of the start, as PgBouncer does, and end the connection after the first command.

    Yield the URL.
    """

    def serve(connection: socket.socket) -> None:
        if b"\0options\0" in connection.recv(1000):
            refusal = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            connection.sendall(b"E" + struct.pack("!I", 4 + len(refusal)) + refusal)
            return
        connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\5I")
        command = connection.recv(1000)
        commands.append(command)
        connection.sendall(b"C\0\0\0\x08SET\0" * command.count(b"SET ") + b"Z\0\0\0\5I")
        connection.recv(1000)

    with tcp_server(serve) as port:
        yield f"postgresql://u:p@127.0.0.1:{port}/db?sslmode=disable"


def test_limits_of_postgresql_are_set_after_connecting_since_poolers_refuse_options() -> None:
    commands: list[bytes] = []
    with fake_pooler(commands) as url:
        assert "unsupported startup parameter" not in fail_to_load(url)
    assert commands
    assert all(b"SET statement_timeout = 300;SET idle_in_transaction" in command for command in commands)


def fail_to_load(url: str) -> str:
    """Return the error of a load, which must come in time."""
    with closing(SqlStore.from_url(url, HASTY)) as store:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            store.load(KEY)
        assert time.monotonic() - started < 2
        return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "first"),
    [("mysql", b"\xff\xff\x3f\0"), ("mysql", b""), ("postgresql", b"E\0\0\x70\0")],
    ids=["mysql", "mysql, its length", "postgresql"],
)
def test_a_handshake_that_comes_byte_by_byte_is_given_up_in_time(kind: str, first: bytes) -> None:
    with tcp_server(lambda connection: drip(connection, first)) as port:
        fail_to_load(f"{kind}://u:p@127.0.0.1:{port}/db" + ("?sslmode=disable" if kind == "postgresql" else ""))


def test_an_answer_of_mysql_that_comes_byte_by_byte_is_given_up_in_time() -> None:
    with fake_mysql(lambda connection: drip(connection, b"\xff\xff\x3f\1")) as url:
        assert "timed out" in fail_to_load(url)


def test_an_answer_of_postgresql_that_comes_byte_by_byte_is_given_up_in_time() -> None:
    with fake_postgresql(lambda connection: drip(connection, b"T\0\0\x70\0")) as url:
        assert "timeout" in fail_to_load(url)


def test_an_answer_of_mysql_above_the_bound_is_refused_when_it_is_announced() -> None:
    with fake_mysql(lambda connection: connection.sendall(b"\xff\xff\xff\1")) as url:
        assert "an answer of more than 8454144 bytes" in fail_to_load(url)


def test_an_answer_of_mysql_without_rows_is_unavailable() -> None:
    with fake_mysql(lambda connection: connection.sendall(_packet(1, _OK))) as url:
        assert "an answer that can't be read" in fail_to_load(url)


def test_what_comes_with_the_greeting_of_mysql_is_not_the_answer_to_the_login() -> None:
    # With TLS, what comes before its handshake may be another's.
    def serve(connection: socket.socket) -> None:
        connection.sendall(_GREETING + _packet(2, _OK))
        connection.recv(1000)
        while connection.recv(1000):
            connection.sendall(_packet(1, _OK))

    with tcp_server(serve) as port:
        assert "bytes that no command has asked for" in fail_to_load(f"mysql://u:p@127.0.0.1:{port}/db")


def test_an_answer_of_mysql_that_comes_twice_is_not_given_to_the_next_command() -> None:
    with fake_mysql(lambda connection: connection.sendall(2 * _packet(1, _OK))) as url:
        assert "bytes that no command has asked for" in fail_to_load(url)
