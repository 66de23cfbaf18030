"""connect-redis's format, beyond the store contract: the bytes, and writes of Express between a read and its swap."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from nodes.sessions import Changes, Outcome
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.redis.connection import Command
from tests.support.records import HOUR, PATIENT, fields_of, load
from tests.support.valkey import Valkey

KEY = "Zk3-_" * 6 + "ab"
NAME = f"sess:{KEY}"
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}


class Shared:
    """The store, and Express beside it."""

    def __init__(self, server: Valkey) -> None:
        self.client: Any = server.client()
        self.client.flushdb()
        self.store = ExpressStore.from_url(server.url, PATIENT)

    def before_swap(self, act: Callable[[], object]) -> None:
        """Call `act` once, after the next read of an update and before its swap."""
        client, run = self.store._client, self.store._client.run

        def act_and_run(commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
            client.run = run  # type: ignore[method-assign]
            act()
            return run(commands, idempotent)

        client.run = act_and_run  # type: ignore[method-assign]

    def put(self, seconds: int = 600, **values: Any) -> None:
        self.client.set(NAME, json.dumps({"cookie": COOKIE} | values), ex=seconds)


@pytest.fixture
def shared(server: Valkey) -> Iterator[Shared]:
    made = Shared(server)
    yield made
    made.store.close()


def test_a_new_session_has_the_bytes_that_express_writes(shared: Shared) -> None:
    created = shared.store.create(KEY, {"visits": b"1"}, "alice", HOUR)
    assert created is not None
    expected = {"cookie": COOKIE, "user": "alice", "visits": 1, "_created": round(created * 1000)}
    assert shared.client.get(NAME).decode() == json.dumps(expected, separators=(",", ":"))


@pytest.mark.parametrize(
    ("age", "seconds"), [(None, 600), (0, 600), (False, 600), (60_000, 60), (10**400, 600), ("x", 600)]
)
def test_the_max_age_of_its_cookie_is_a_sessions_idle_timeout(shared: Shared, age: Any, seconds: float) -> None:
    shared.put(cookie=COOKIE | {"originalMaxAge": age})
    assert shared.store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
    assert shared.client.pttl(NAME) == pytest.approx(seconds * 1000, abs=2000)


def test_values_of_express_keep_their_bytes(shared: Shared) -> None:
    theirs = '"theirs":{"deep":[1,1e21,"\\u2028",null]},"n":1.50'
    shared.client.set(NAME, '{"cookie":{},' + theirs + "}", ex=60)
    assert shared.store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.APPLIED
    assert theirs in shared.client.get(NAME).decode()


def test_a_touch_changes_only_the_time_to_live(shared: Shared) -> None:
    shared.client.set(NAME, '{ "cookie" : {} , "a" : 1 }', ex=60)
    assert shared.store.update(KEY, Changes(), HOUR) is Outcome.APPLIED
    assert shared.client.get(NAME) == b'{ "cookie" : {} , "a" : 1 }'
    assert shared.client.pttl(NAME) > 590_000


def test_a_concurrent_write_of_express_is_merged(shared: Shared) -> None:
    shared.put(a=1, b=1)
    shared.before_swap(lambda: shared.put(a=1, b=2, user="alice"))
    assert shared.store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.APPLIED
    record = load(shared.store, KEY)
    assert (record.owner, dict(record.fields)) == ("alice", {"a": b"3", "b": b"2"})


def test_a_compare_and_set_sees_a_concurrent_write_of_express(shared: Shared) -> None:
    shared.put(a=1)
    shared.before_swap(lambda: shared.put(a=2))
    assert shared.store.update(KEY, Changes({"a": b"3"}, expect={"a": b"1"}), HOUR) is Outcome.CONFLICT
    assert fields_of(shared.store, KEY) == {"a": b"2"}


def test_a_concurrent_logout_of_express_wins(shared: Shared) -> None:
    shared.put(a=1)
    shared.before_swap(lambda: shared.client.delete(NAME))
    assert shared.store.update(KEY, Changes({"a": b"3"}), HOUR) is Outcome.ABSENT
    assert shared.client.exists(NAME) == 0


def test_a_corrupt_record_is_quarantined_and_its_id_is_not_logged(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    shared.client.set(NAME, "{", ex=60)
    with caplog.at_level(logging.ERROR):
        assert shared.store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    assert "is corrupt and was quarantined" in caplog.text
    assert KEY not in caplog.text
    assert shared.client.get(f"damaged:{NAME}") == b"{"
