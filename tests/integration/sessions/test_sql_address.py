"""A name in the URL of a database costs no more than the budget, whatever the system's resolver does."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from nodes.sessions import Budgets, StoreUnavailable
from nodes.sessions.stores.sql import SqlStore
from tests.support.records import in_threads


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_a_lookup_without_an_answer_costs_a_request_its_budget(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def wait(*_name: Any, **_options: Any) -> Any:
        over.wait(20)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    store = SqlStore.from_url(
        f"{scheme}://node:secret@store.example/sessions", Budgets(0.2, 0.2, retries=1, deadline=1)
    )

    def ask() -> None:
        with pytest.raises(StoreUnavailable, match=r"no address of store\.example within 0\.2 s"):
            store.ping()

    started = time.monotonic()
    in_threads(*[ask] * 20)
    assert time.monotonic() - started < 4  # two attempts of 0.2 s each, on a machine that may be busy
    over.set()
    store.close()
