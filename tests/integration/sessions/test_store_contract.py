"""What every store is held to. A new store is added to `conftest.STORES` and nowhere else."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from nodes.sessions import Changes, Lifetime, Outcome, Store, StoreUnavailable
from tests.support.harness import Harness

KEY, OTHER = "a" * 64, "b" * 64
HOUR = Lifetime(idle=600, absolute=3600)


@pytest.fixture
def harness(harness: Harness) -> Harness:
    """For stores whose fields can't be any bytes, one that makes them so."""
    made: Harness = getattr(harness, "of_bytes", lambda: harness)()
    return made


def early(harness: Harness) -> float:
    """How many seconds too early a session may end, where the store counts in whole ones."""
    return float(getattr(harness, "resolution", 0))


def make(store: Store, key: str = KEY, owner: str | None = None, **fields: bytes) -> None:
    assert store.create(key, fields, owner, HOUR) is not None


def test_an_unknown_key_is_absent(store: Store) -> None:
    assert store.load(KEY) is None
    assert store.delete(KEY) is None
    assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    assert store.load(KEY) is None


def test_what_was_created_is_loaded_as_it_was(harness: Harness) -> None:
    store = harness.store
    fields = {"a": b"1", "@": b"2", "@@x": b"\x00\xff", "": b"", "ключ": b"3"}
    created = store.create(KEY, fields, "alice:@\n é", HOUR)
    record = store.load(KEY)
    assert record is not None
    assert dict(record.fields) == fields
    assert record.owner == "alice:@\n é"
    assert record.created == created
    assert 599 - early(harness) < record.ttl <= 600
    assert not record.final


def test_a_session_without_fields_exists(store: Store) -> None:
    make(store)
    record = store.load(KEY)
    assert record is not None
    assert (dict(record.fields), record.owner) == ({}, None)


def test_a_taken_key_is_not_created_again(store: Store) -> None:
    make(store, a=b"1")
    assert store.create(KEY, {"a": b"2"}, "mallory", HOUR) is None
    record = store.load(KEY)
    assert record is not None
    assert (dict(record.fields), record.owner) == ({"a": b"1"}, None)


def test_a_key_is_free_again_once_its_session_has_expired(harness: Harness) -> None:
    make(harness.store, a=b"1")
    harness.advance(601)
    make(harness.store, b=b"2")
    record = harness.store.load(KEY)
    assert record is not None
    assert dict(record.fields) == {"b": b"2"}


def test_an_update_sets_and_deletes_only_what_it_names(store: Store) -> None:
    make(store, owner="alice", a=b"1", b=b"2", c=b"3")
    assert store.update(KEY, Changes({"b": b"20", "d": b"4"}, frozenset({"c", "missing"})), HOUR) is Outcome.APPLIED
    record = store.load(KEY)
    assert record is not None
    assert dict(record.fields) == {"a": b"1", "b": b"20", "d": b"4"}
    assert record.owner == "alice"


def test_an_update_touches_no_other_session(store: Store) -> None:
    make(store, KEY, a=b"1")
    make(store, OTHER, a=b"1")
    store.update(KEY, Changes({"a": b"2"}), HOUR)
    store.delete(KEY)
    record = store.load(OTHER)
    assert record is not None
    assert dict(record.fields) == {"a": b"1"}


def test_a_deleted_session_is_returned_and_gone_and_no_update_revives_it(store: Store) -> None:
    make(store, owner="alice", a=b"1")
    last = store.delete(KEY)
    assert last is not None
    assert (dict(last.fields), last.owner) == ({"a": b"1"}, "alice")
    for changes in (Changes({"a": b"2"}), Changes(), Changes({"a": b"2"}, expect={"a": b"1"})):
        assert store.update(KEY, changes, HOUR) is Outcome.ABSENT
    assert store.load(KEY) is None


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [
        ({"a": b"1"}, Outcome.APPLIED),
        ({"a": b"1", "missing": None}, Outcome.APPLIED),
        ({"a": b"x"}, Outcome.CONFLICT),
        ({"a": None}, Outcome.CONFLICT),
        ({"missing": b""}, Outcome.CONFLICT),
        ({"a": b"1", "b": b"x"}, Outcome.CONFLICT),
    ],
)
def test_compare_and_set_applies_only_to_what_was_expected(
    store: Store, expected: dict[str, bytes | None], outcome: Outcome
) -> None:
    make(store, a=b"1", b=b"2")
    assert store.update(KEY, Changes({"a": b"new", "c": b"3"}, frozenset({"b"}), expected), HOUR) is outcome
    record = store.load(KEY)
    assert record is not None
    applied = {"a": b"new", "c": b"3"}
    assert dict(record.fields) == (applied if outcome is Outcome.APPLIED else {"a": b"1", "b": b"2"})


def test_an_update_past_the_bound_changes_nothing(harness: Harness) -> None:
    store, more = harness.store, getattr(harness, "overhead", 0)
    if more is None:
        pytest.skip("what a value takes depends on who wrote it: tests/sessions/test_encryption_of_some.py")
    make(store, a=b"12345", b=b"1")

    def update(changes: Changes, most: int, fields: int) -> Outcome:
        return store.update(KEY, replace(changes, max_bytes=most + fields * more), HOUR)

    assert update(Changes({"b": b"12345"}), 12, fields=2) is Outcome.APPLIED
    assert update(Changes({"b": b"123456"}), 12, fields=2) is Outcome.TOO_LARGE
    assert update(Changes({"c": b""}), 12, fields=3) is Outcome.TOO_LARGE
    assert update(Changes({"c": b"1234567"}, frozenset({"a"})), 14, fields=2) is Outcome.APPLIED
    assert update(Changes(delete=frozenset({"c"})), 1, fields=0) is Outcome.APPLIED
    record = store.load(KEY)
    assert record is not None
    assert dict(record.fields) == {"b": b"12345"}


def test_a_session_expires_when_idle(harness: Harness) -> None:
    make(harness.store, a=b"1")
    harness.advance(599 - early(harness))
    assert harness.store.load(KEY) is not None
    harness.advance(1.1 + early(harness))
    assert harness.store.load(KEY) is None
    assert harness.store.update(KEY, Changes(), HOUR) is Outcome.ABSENT
    assert harness.store.delete(KEY) is None


def test_loading_does_not_keep_a_session_alive_and_a_touch_does(harness: Harness) -> None:
    make(harness.store)
    harness.advance(400)
    record = harness.store.load(KEY)
    assert record is not None
    assert 199 - early(harness) < record.ttl <= 200
    assert harness.store.update(KEY, Changes(), HOUR) is Outcome.APPLIED
    harness.advance(400)
    assert harness.store.load(KEY) is not None


def test_no_touch_carries_a_session_past_its_absolute_timeout(harness: Harness) -> None:
    make(harness.store, a=b"1")
    for _ in range(7):
        harness.advance(500)
        assert harness.store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    record = harness.store.load(KEY)
    assert record is not None
    assert record.final
    assert 98 - early(harness) < record.ttl <= 100
    harness.advance(101)
    assert harness.store.load(KEY) is None


def test_a_shortened_absolute_timeout_ends_old_sessions_at_their_next_update(harness: Harness) -> None:
    make(harness.store)
    harness.advance(300)
    assert harness.store.update(KEY, Changes({"a": b"1"}), Lifetime(100, 200)) is Outcome.ABSENT


def test_created_stays_through_updates(harness: Harness) -> None:
    created = harness.store.create(KEY, {}, None, HOUR)
    harness.store.update(KEY, Changes({"a": b"1"}), HOUR)
    record = harness.store.load(KEY)
    assert record is not None
    assert record.created == created


def test_what_is_set_aside_is_absent(store: Store) -> None:
    make(store, a=b"1")
    store.quarantine(KEY)
    store.quarantine(KEY)
    assert store.load(KEY) is None
    assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    make(store, b=b"2")


def test_many_and_large_fields_fit(store: Store) -> None:
    # No codec writes what begins with 0xE1 and goes on: so much sets apart what is encrypted.
    fields = {f"field-{number}": bytes([number % 0xE1]) * 100 for number in range(5000)}
    assert store.create(KEY, fields, None, HOUR) is not None
    changed = dict.fromkeys(fields, b"x")
    assert store.update(KEY, Changes(changed, expect=dict(fields), max_bytes=10**6), HOUR) is Outcome.APPLIED
    record = store.load(KEY)
    assert record is not None
    assert dict(record.fields) == changed


def test_concurrent_updates_of_different_fields_all_win(store: Store) -> None:
    make(store)

    def write(number: int) -> None:
        for turn in range(20):
            assert store.update(KEY, Changes({f"{number}-{turn}": b"1"}), HOUR) is Outcome.APPLIED

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    record = store.load(KEY)
    assert record is not None
    assert len(record.fields) == 160


def test_of_concurrent_compare_and_sets_exactly_one_wins_each_round(store: Store) -> None:
    make(store, n=b"0")
    barrier = threading.Barrier(4)
    outcomes: list[Outcome] = []

    def write(number: int) -> None:
        barrier.wait()
        outcomes.append(store.update(KEY, Changes({"n": str(number).encode()}, expect={"n": b"0"}), HOUR))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.value for outcome in outcomes) == ["applied", "conflict", "conflict", "conflict"]


def test_a_store_out_of_reach_is_unavailable_and_never_absent(harness: Harness) -> None:
    make(harness.store, a=b"1")
    with harness.outage():
        started = time.monotonic()
        for call in (
            lambda: harness.store.load(KEY),
            lambda: harness.store.create(OTHER, {}, None, HOUR),
            lambda: harness.store.update(KEY, Changes(), HOUR),
            lambda: harness.store.delete(KEY),
            lambda: harness.store.quarantine(KEY),
            lambda: harness.store.ping(),
        ):
            with pytest.raises(StoreUnavailable):
                call()
        assert time.monotonic() - started < 3
    harness.store.ping()


def test_keys_are_all_that_a_store_sees_of_an_id(harness: Harness) -> None:
    make(harness.store, a=b"1")
    assert harness.keys() == {KEY}
