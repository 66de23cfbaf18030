"""TLS to the store: the server's certificate and its name are verified.

A small proxy ends TLS in front of Valkey, since the Valkey of the wheel is built without TLS.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from nodes.sessions import Budgets, Changes, Outcome, RedisStore, StoreUnavailable
from tests.support.records import HOUR, KEY, fields_of
from tests.support.redis_stores import OpenStore
from tests.support.servers import tcp_server
from tests.support.valkey import Valkey


class TlsProxy:
    """Ends TLS with the certificate of `context` and forwards to 127.0.0.1:`port`."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context = context
        self._server_port = port
        self.port = 0
        self._sockets: list[socket.socket] = []

    def serve(self, raw: socket.socket) -> None:
        client = self._context.wrap_socket(raw, server_side=True)
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._sockets += (client, server)
        threading.Thread(target=self._forward, args=(server, client), daemon=True).start()
        self._forward(client, server)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        _shut_down(source, target)

    def close_connections(self) -> None:
        """Close every connection, as a restart of the server does."""
        _shut_down(*self._sockets)
        self._sockets.clear()


def _shut_down(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def proxy(server: Valkey, authority: trustme.CA) -> Iterator[TlsProxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("store.example", "127.0.0.1").configure_cert(context)
    made = TlsProxy(context, server.port)
    with server.client() as client:
        client.flushdb()
    with tcp_server(made.serve) as made.port:
        yield made
    made.close_connections()


@pytest.fixture
def store(proxy: TlsProxy, ca_file: Path, open_store: OpenStore) -> RedisStore:
    return open_store(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={ca_file}")


def test_a_session_is_stored_over_tls(store: RedisStore) -> None:
    assert store.create(KEY, {"a": b"1" * 50_000}, "alice", HOUR) is not None
    assert fields_of(store) == {"a": b"1" * 50_000}


def test_the_certificate_is_verified_against_the_name_in_the_url(
    proxy: TlsProxy, ca_file: Path, open_store: OpenStore
) -> None:
    right, wrong = (
        open_store(f"rediss://{name}:{proxy.port}/0?ssl_ca_certs={ca_file}", lookup=lambda name, port: ["127.0.0.1"])
        for name in ("store.example", "other.example")
    )
    assert right.ping() > 0
    with pytest.raises(StoreUnavailable, match="certificate"):
        wrong.ping()


def test_a_certificate_of_an_unknown_authority_is_refused(proxy: TlsProxy, open_store: OpenStore) -> None:
    with pytest.raises(StoreUnavailable, match="certificate"):
        open_store(f"rediss://127.0.0.1:{proxy.port}/0").load(KEY)


def test_a_tls_connection_that_the_server_closed_fails_no_operation(store: RedisStore, proxy: TlsProxy) -> None:
    store.create(KEY, {}, None, HOUR)
    for _ in range(3):
        proxy.close_connections()
        assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
        proxy.close_connections()
        assert store.load(KEY) is not None


UPDATE = """
from gevent import monkey; monkey.patch_all()
import sys
from nodes.sessions import Changes, Lifetime, RedisStore
store, hour = RedisStore.from_url(sys.argv[1]), Lifetime(600, 3600)
store.create("a" * 64, {}, None, hour)
print("created", flush=True)
sys.stdin.readline()
print(store.update("a" * 64, Changes({"a": b"1"}), hour))
"""


def test_a_tls_connection_that_the_server_closed_fails_no_write_under_gevent(proxy: TlsProxy, ca_file: Path) -> None:
    url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={ca_file}"
    command = [sys.executable, "-c", UPDATE, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "created\n"
        proxy.close_connections()
        assert process.communicate("\n", timeout=30)[0] == "Outcome.APPLIED\n"


def test_a_server_that_does_not_answer_in_tls_costs_the_budget(
    server: Valkey, ca_file: Path, open_store: OpenStore
) -> None:
    hasty = Budgets(0.3, 0.3, retries=0, deadline=0.3)
    with server.paused(), pytest.raises(StoreUnavailable):
        open_store(f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={ca_file}", hasty).ping()
