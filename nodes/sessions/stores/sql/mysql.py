"""Connections to MySQL and MariaDB whose lookup of the host is within the budget, too.

PyMySQL has the system's resolver look the name up, without a timeout. So it gets a connected socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pymysql

from ..lookup import Resolver

_NO_CONNECTION = 2003


def make_connector(resolver: Resolver) -> Callable[[dict[str, Any]], Any]:
    """Return a function that connects with parameters of PyMySQL. It raises pymysql.Error."""

    def connect(parameters: dict[str, Any]) -> Any:
        connection: Any = pymysql.connect(**parameters, defer_connect=True)
        connection.connect(None if connection.unix_socket else _open(connection, resolver))
        return connection

    return connect


def _open(connection: Any, resolver: Resolver) -> socket.socket:
    """Return a socket to the server, with the options that PyMySQL sets."""
    host, port = connection.host, connection.port
    source = None if connection.bind_address is None else (connection.bind_address, 0)
    failure = OSError(f"{host} has no address")
    try:
        for address, seconds in resolver.in_turn(host, port, connection.connect_timeout):
            try:
                opened = socket.create_connection((address, port), seconds, source)
            except OSError as error:
                failure = error
            else:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return opened
    except OSError as error:
        failure = error
    raise pymysql.OperationalError(_NO_CONNECTION, f"can't connect to {host}:{port}: {failure}") from failure
