"""The bound of a session's bytes in Redis, which is exact although most updates do not read the session."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.sessions import Changes, Outcome, RedisStore
from tests.support.records import HOUR
from tests.support.redis_stores import OpenStore
from tests.support.valkey import Valkey

KEY = "e" * 64
DIGITS = st.integers(min_value=-(2**63), max_value=2**63 - 1).map(str)
"""What Redis keeps as a number, in as little as half of the bytes."""
NAMES = st.one_of(DIGITS, st.text("@abc\u00e9", min_size=1, max_size=70))
VALUES = st.one_of(DIGITS.map(str.encode), st.binary(max_size=70), st.integers(0, 3000).map(bytes))
FIELDS = st.dictionaries(NAMES, VALUES, max_size=12)


def size_of(fields: dict[str, bytes]) -> int:
    return sum(len(name.encode()) + len(value) for name, value in fields.items())


@pytest.fixture(params=["MEMORY is permitted", "MEMORY is denied"])
def store(request: pytest.FixtureRequest, server: Valkey, client: Any, open_store: OpenStore) -> RedisStore:
    if request.param == "MEMORY is permitted":
        return open_store(server)
    client.execute_command("ACL", "SETUSER", "limited", "on", ">password", "~*", "&*", "+@all", "-memory", "-hlen")
    return RedisStore.from_url(server.url.replace("//", "//limited:password@"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=FIELDS, new=FIELDS.filter(bool), deleted=st.sets(NAMES), beyond=st.integers(-3, 400), exactly=st.booleans()
)
def test_an_update_applies_exactly_within_the_bound(
    store: RedisStore, before: dict[str, bytes], new: dict[str, bytes], deleted: set[str], beyond: int, exactly: bool
) -> None:
    deleted = (deleted | set(list(before)[:1])) - set(new)
    after = {name: value for name, value in (before | new).items() if name not in deleted}
    most = max(1, size_of(after) + (min(beyond, 0) if exactly else beyond))
    store.delete(KEY)
    store.create(KEY, before, None, HOUR)
    outcome = store.update(KEY, Changes(new, frozenset(deleted), max_bytes=most), HOUR)
    assert outcome is (Outcome.APPLIED if size_of(after) <= most else Outcome.TOO_LARGE)
    record = store.load(KEY)
    assert record.fields == (after if outcome is Outcome.APPLIED else before)  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.55, 0.7, 0.999])
def test_digits_that_redis_keeps_as_numbers_count_in_full(store: RedisStore, share: float) -> None:
    fields = {str(-(2**63) + number): b"%d" % (-(2**62) - number) for number in range(100)}
    store.create(KEY, fields, None, HOUR)
    most = int(size_of(fields) * share)
    assert store.update(KEY, Changes({"a": b"1"}, max_bytes=most), HOUR) is Outcome.TOO_LARGE


def test_a_session_of_thousands_of_fields_is_written_whole(store: RedisStore) -> None:
    fields = {f"f{number}": b"%d" % number for number in range(6000)}
    store.create(KEY, fields, None, HOUR)
    more = {f"f{number}": b"x" for number in range(3000, 9001)}
    assert store.update(KEY, Changes(more), HOUR) is Outcome.APPLIED
    assert store.load(KEY).fields == fields | more  # type: ignore[union-attr]


def test_most_updates_do_not_read_the_session(server: Valkey, client: Any, open_store: OpenStore) -> None:
    store = open_store(server)
    store.create(KEY, {f"text{number}": b"x" * 300 for number in range(100)}, None, HOUR)
    client.config_resetstat()
    assert store.update(KEY, Changes({"a": b"1"}, max_bytes=65536), HOUR) is Outcome.APPLIED
    assert "cmdstat_hgetall" not in client.info("commandstats")
