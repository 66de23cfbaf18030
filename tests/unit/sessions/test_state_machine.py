"""Random histories of several browsers on memory, plain and encrypted; and that the machine notices broken stores."""

import pytest
from hypothesis import Phase
from msgspec.structs import replace

from nodes.sessions import MemoryStore, Outcome
from tests.integration.sessions.test_state_machine import run, test_every_history_agrees_with_the_model
from tests.support.harnesses import store_names
from tests.support.harnesses.memory import MemoryHarness

__all__ = ["test_every_history_agrees_with_the_model"]

store_name = store_names("memory", "encrypted", "encrypting")


@pytest.mark.parametrize("broken", ["expiry", "logout", "compare-and-set"])
def test_the_machine_notices_a_store_that_breaks_a_promise(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "expiry":
        monkeypatch.setattr(MemoryStore, "_live", lambda self, key: self._entries.get(key))
    elif broken == "logout":
        monkeypatch.setattr(MemoryStore, "retire", lambda *_: Outcome.APPLIED)
    else:
        update = MemoryStore.update
        forgetful = lambda self, key, changes, lifetime: update(self, key, replace(changes, expect={}), lifetime)  # noqa: E731
        monkeypatch.setattr(MemoryStore, "update", forgetful)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(MemoryHarness(), 2000, (Phase.generate,))  # it ends at the first failure
