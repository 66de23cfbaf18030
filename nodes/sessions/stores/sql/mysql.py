"""Connections to MySQL and MariaDB whose lookup of the host is within the budget, too.

PyMySQL has the system's resolver look the name up, without a timeout. So it gets a socket that is connected. It also
reads the system's certificates first, 24 ms of work: while the server is down, that would slow down all requests.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pymysql

from ...store import Budgets
from ..lookup import Resolver

_PORT = 3306
_NO_CONNECTION = 2003


def make_connector(budgets: Budgets, resolver: Resolver) -> Callable[[dict[str, Any]], Any]:
    """Return a function that connects with parameters of PyMySQL. It raises pymysql.Error."""

    def connect(parameters: dict[str, Any]) -> Any:
        if "unix_socket" in parameters:
            return pymysql.connect(**parameters)
        host, port = parameters.get("host", "localhost"), parameters.get("port", _PORT)
        opened = _open(host, port, resolver, budgets.connect_timeout)
        try:
            connection: Any = pymysql.connect(**parameters, defer_connect=True)
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
