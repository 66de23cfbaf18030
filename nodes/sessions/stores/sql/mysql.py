"""Connections to MySQL and MariaDB whose lookup and exchanges have deadlines, and whose answers a bound.

PyMySQL has the system's resolver look the name up, without a timeout. So it gets a socket that is connected. It also
reads the system's certificates first, 24 ms of work: while the server is down, that would slow down all requests.

Its timeout for reading starts again with each piece that arrives, so a byte each 0.15 s would hold a request for as
long as they come, and it reads answers of any size. Here an exchange has one deadline. A packet is announced with its
length, so one that would exceed the bound is refused before it is read.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pymysql
from pymysql.constants import CR

from ...store import Budgets
from ..name_lookup import Resolver
from ..receive import receive, start_tls

_PORT = 3306
_NO_CONNECTION = 2003
_PIECE = 64 * 1024


_Connection: Any = pymysql.Connection  # the overridden methods are not in its types


class MySqlConnection(_Connection):  # type: ignore[misc]
    """A connection whose handshake is one exchange, and each command another one. It is closed after a failure.

    An exchange takes at most `answer_timeout` seconds. Its answer may have a record of `most` bytes, and what is around
    it.
    """

    answer_timeout: float
    ctx: Any
    """PyMySQL's context of TLS, if it asks for that."""

    def __init__(self, most: int, **parameters: Any) -> None:
        self._most = most + _PIECE
        self.answer_timeout = parameters["read_timeout"]
        super().__init__(**parameters)

    def _begin(self) -> None:
        self._until = time.monotonic() + self.answer_timeout
        self._received = 0

    def _get_server_information(self) -> None:
        self._begin()
        self._piece = bytearray(_PIECE)
        self._unread = bytearray()
        super()._get_server_information()
        self._refuse_unread()  # it would be taken for a part of TLS, which begins now

    def _request_authentication(self) -> None:
        if self.ssl:
            self.ctx = _TlsContext(self.ctx, self._until)
        super()._request_authentication()

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self._refuse_unread()
        self._begin()
        super()._execute_command(command, sql)

    def _read_bytes(self, num_bytes: int) -> bytes:
        self._received += num_bytes
        if self._received > self._most:
            self._fail(f"an answer of more than {self._most} bytes")
        while len(self._unread) < num_bytes:
            self._receive()
        data = bytes(self._unread[:num_bytes])
        del self._unread[:num_bytes]
        return data

    def _receive(self) -> None:
        try:
            size = receive(self._sock, self._piece, self._until - time.monotonic())
        except OSError as error:
            self._fail(str(error), error)
        except BaseException:  # also an exit or a timeout of gevent: the answer is still to come
            self._force_close()
            raise
        if not size:
            self._fail("the server has closed the connection")
        self._unread += self._piece[:size]

    def _refuse_unread(self) -> None:
        if self._unread:
            self._fail("bytes that no command has asked for")

    def _fail(self, why: str, cause: OSError | None = None) -> None:
        """Close the connection. Always raises OperationalError."""
        self._force_close()
        raise pymysql.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server ({why})") from cause


class _TlsContext:
    """The context from which PyMySQL gets a socket with TLS. Its handshake ends at the time `until`."""

    def __init__(self, context: ssl.SSLContext, until: float) -> None:
        self._context = context
        self._until = until

    def wrap_socket(self, sock: socket.socket, server_hostname: str) -> ssl.SSLSocket:
        return start_tls(self._context, sock, server_hostname, self._until - time.monotonic())


def make_connector(budgets: Budgets, resolver: Resolver) -> Callable[[dict[str, Any]], Any]:
    """Return a function that connects with parameters of PyMySQL. It raises pymysql.Error."""

    def connect(parameters: dict[str, Any]) -> Any:
        if "unix_socket" in parameters:
            return MySqlConnection(budgets.max_reply, **parameters)
        host, port = parameters.get("host", "localhost"), parameters.get("port", _PORT)
        opened = _open(host, port, resolver, budgets.connect_timeout)
        try:
            connection: Any = MySqlConnection(budgets.max_reply, **parameters, defer_connect=True)
            connection.connect(opened)
        except BaseException:
            opened.close()
            raise
        return connection

    return connect


def _open(host: str, port: int, resolver: Resolver, seconds: float) -> socket.socket:
    """Return a socket to the server, with the options that PyMySQL sets."""
    failure = OSError(f"{host} has no address")
    try:
        for address, share in resolver.in_turn(host, port, seconds):
            try:
                opened = socket.create_connection((address, port), share)
            except OSError as error:
                failure = error
            else:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return opened
    except OSError as error:
        failure = error
    raise pymysql.OperationalError(_NO_CONNECTION, f"can't connect to {host}:{port}: {failure}") from failure
