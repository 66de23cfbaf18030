"""A database that answers nonsense: unavailable, in time."""

from __future__ import annotations

import random
import socket
import time
from contextlib import closing

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
