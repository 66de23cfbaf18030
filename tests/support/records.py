"""Helpers for tests of stores: keys, a lifetime, records, parallel calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from nodes.sessions import Budgets, Lifetime, Record, Store

KEY, OTHER = "a" * 64, "b" * 64
HOUR = Lifetime(idle=600, absolute=3600)
PATIENT = Budgets(5, 5, retries=0, deadline=5)
"""For a server that answers, on a busy machine."""


def load(store: Store, key: str = KEY) -> Record:
    record = store.load(key)
    assert isinstance(record, Record)
    return record


def fields_of(store: Store, key: str = KEY) -> dict[str, bytes]:
    return dict(load(store, key).fields)


def in_threads(*calls: Callable[[], object]) -> None:
    """Run the calls in parallel, each in a thread of its own. Raises what one of them raises."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


@contextmanager
def during(*calls: Callable[[], object]) -> Iterator[None]:
    """Run the calls in threads beside the block, and wait for them at its end."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
