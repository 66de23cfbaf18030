"""TLS to the store: the server's certificate is verified, its name too. In front of Valkey stands a few lines of proxy,
since the Valkey of the wheel is built without TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from nodes.sessions.stores.redis.address import Resolver
from tests.support.records import HOUR, KEY, PATIENT, fields_of
from tests.support.servers import tcp_server
from tests.support.valkey import Valkey


class TlsFront:
    """Ends TLS with the certificate of `context` and hands on what is inside to 127.0.0.1:`port`."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context, self._to = context, port
        self.port = 0
        self._open: list[socket.socket] = []

    def serve(self, raw: socket.socket) -> None:
        client = self._context.wrap_socket(raw, server_side=True)
        server = socket.create_connection(("127.0.0.1", self._to))
        self._open += (client, server)
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Ends every connection, as a restart of the server does."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def front(server: Valkey, authority: trustme.CA) -> Iterator[TlsFront]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("store.example", "127.0.0.1").configure_cert(context)
    made = TlsFront(context, server.port)
    with server.client() as client:
        client.flushdb()
    with tcp_server(made.serve) as made.port:
        yield made
    made.cut()


@pytest.mark.parametrize("is_in_the_url", [False, True])
def test_a_session_is_stored_over_tls(front: TlsFront, ca_file: Path, is_in_the_url: bool) -> None:
    url = f"rediss://127.0.0.1:{front.port}/0"
    if is_in_the_url:
        store = RedisStore.from_url(f"{url}?ssl_ca_certs={ca_file}", PATIENT)
    else:
        store = RedisStore.from_url(url, PATIENT, ca_file=ca_file)
    assert store.create(KEY, {"a": b"1" * 50_000}, "alice", HOUR) is not None
    assert fields_of(store) == {"a": b"1" * 50_000}
    store.close()


def test_the_certificate_must_match_the_host_name_of_the_url(front: TlsFront, ca_file: Path) -> None:
    for name, fits in (("store.example", True), ("other.example", False)):
        store = RedisStore.from_url(f"rediss://{name}:{front.port}/0", PATIENT, ca_file=ca_file)
        pool = store._connections.pool  # type: ignore[attr-defined]
        pool.connection_kwargs["resolver"] = Resolver(lambda name, port: ["127.0.0.1"])
        if fits:
            assert store.ping() > 0
        else:
            with pytest.raises(StoreUnavailable, match="certificate"):
                store.ping()
        store.close()


def test_a_certificate_of_an_unknown_authority_is_refused(front: TlsFront) -> None:
    store = RedisStore.from_url(f"rediss://127.0.0.1:{front.port}/0", PATIENT)
    with pytest.raises(StoreUnavailable, match="certificate"):
        store.load(KEY)
    store.close()


def test_a_write_notices_that_the_server_closed_the_tls_connection(front: TlsFront, ca_file: Path) -> None:
    store = RedisStore.from_url(f"rediss://127.0.0.1:{front.port}/0", PATIENT, ca_file=ca_file)
    store.create(KEY, {}, None, HOUR)
    for _ in range(3):
        front.cut()
        assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
        front.cut()
        assert store.load(KEY) is not None
    store.close()


def test_a_server_that_does_not_speak_tls_costs_no_more_than_the_budget(server: Valkey, ca_file: Path) -> None:
    hasty = Budgets(0.3, 0.3, retries=0, deadline=0.3)
    with server.paused():
        store = RedisStore.from_url(f"rediss://127.0.0.1:{server.port}/0", hasty, ca_file=ca_file)
        with pytest.raises(StoreUnavailable):
            store.ping()
        store.close()


def test_a_ca_file_for_a_connection_without_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rediss"):
        RedisStore.from_url("redis://localhost", ca_file=tmp_path / "ca.pem")
