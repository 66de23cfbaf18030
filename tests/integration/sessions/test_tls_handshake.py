"""A handshake of TLS that comes byte by byte is given up in time under gevent, whose own timeout starts again."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.integration.sessions.test_sql_bad_answers import GREETING_WITH_TLS, drip
from tests.support.servers import tcp_server

LOAD = """
from gevent import monkey; monkey.patch_all()
import sys, time
from nodes.sessions import Budgets, RedisStore, SqlStore, StoreUnavailable

hasty = Budgets(0.3, 0.3, retries=0, deadline=0.6)
store = (RedisStore if sys.argv[1].startswith("rediss") else SqlStore).from_url(sys.argv[1], hasty)
started = time.monotonic()
try:
    store.load("a" * 64)
except StoreUnavailable:
    print(time.monotonic() - started)
"""


@pytest.mark.parametrize("url", ["rediss://127.0.0.1:{}", "mysql://u:p@127.0.0.1:{}/db"])
def test_a_tls_handshake_that_comes_byte_by_byte_is_given_up_in_time(url: str) -> None:
    def serve(connection: socket.socket) -> None:
        if url.startswith("mysql"):
            connection.sendall(GREETING_WITH_TLS)
            connection.recv(1000)
        drip(connection, b"\x16\x03\x03\x40\x00")

    with tcp_server(serve) as port:
        command = [sys.executable, "-c", LOAD, url.format(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    assert float(done.stdout) < 2
