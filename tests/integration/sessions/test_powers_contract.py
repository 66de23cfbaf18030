"""What every store with powers beyond the protocol is held to, and how a renewed session keeps its beginning."""

from __future__ import annotations

import threading

import pytest

from nodes.sessions import Changes, Iterable, Lifetime, ListsByUser, Store, Sweepable, find_capability
from tests.support.harness import Harness

HOUR = Lifetime(idle=600, absolute=3600)


@pytest.fixture
def harness(harness: Harness) -> Harness:
    """For stores whose fields can't be any bytes, one that makes them so."""
    made: Harness = getattr(harness, "of_bytes", lambda: harness)()
    return made


def key(number: int) -> str:
    return f"{number:064x}"


def by_user(store: Store) -> ListsByUser:
    return find_capability(store, ListsByUser) or pytest.skip("this store can't list the sessions of a user")


def countable(store: Store) -> Iterable:
    return find_capability(store, Iterable) or pytest.skip("this store can't go through its sessions")


def log_in(store: Store, number: int, owner: str | None = "alice", created: float | None = None) -> None:
    assert store.create(key(number), {}, owner, HOUR, created) is not None


def test_the_sessions_of_a_user_are_found_oldest_first(store: Store) -> None:
    now = store.ping()
    for number, age in ((1, 30), (2, 90), (3, 60)):
        log_in(store, number, created=now - age)
    log_in(store, 4, "bob")
    log_in(store, 5, None)
    assert by_user(store).keys_of("alice") == [key(2), key(3), key(1)]
    assert by_user(store).keys_of("bob") == [key(4)]
    assert by_user(store).keys_of("nobody") == []


@pytest.mark.parametrize("owner", ["alice:@\n é", "Alice", "a" * 200, "../x", "%", "*", "{a}", "\u0130", "ss", "ß"])
def test_owners_of_any_text_are_kept_apart(store: Store, owner: str) -> None:
    log_in(store, 1, owner)
    log_in(store, 2, "alice")
    log_in(store, 3, owner + " ")
    assert by_user(store).keys_of(owner) == [key(1)]
    assert by_user(store).keys_of("alice") == [key(2)]


def test_ended_and_expired_sessions_are_listed_nowhere(harness: Harness) -> None:
    store = harness.store
    users, everyone = by_user(store), countable(store)
    for number in range(1, 5):
        log_in(store, number)
    store.delete(key(1))
    harness.advance(500)
    store.update(key(2), Changes(), HOUR)
    store.update(key(3), Changes(), HOUR)
    harness.advance(200)
    store.quarantine(key(3))
    assert users.keys_of("alice") == [key(2)]
    assert list(everyone.keys()) == [key(2)]
    assert everyone.count() == 1


def test_a_session_that_is_touched_stays_listed(harness: Harness) -> None:
    store = harness.store
    users = by_user(store)
    log_in(store, 1)
    for _ in range(5):
        harness.advance(500)
        store.update(key(1), Changes({"a": b"1"}), HOUR)
    assert users.keys_of("alice") == [key(1)]


def test_logins_at_the_same_time_are_all_listed(store: Store) -> None:
    users = by_user(store)
    threads = [threading.Thread(target=log_in, args=(store, number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(users.keys_of("alice")) == [key(number) for number in range(8)]


def test_a_session_that_moves_is_listed_at_every_moment(store: Store) -> None:
    users = by_user(store)
    log_in(store, 0)
    done = threading.Event()

    def place(number: int) -> str:  # in a folder, not all behind one lock
        return f"{number:02x}{number:062x}"

    def move() -> None:
        for number in range(60):
            store.create(place(number + 1), {}, "alice", HOUR)
            store.delete(place(number))
        done.set()

    thread = threading.Thread(target=move)
    thread.start()
    found = [users.keys_of("alice")]
    while not done.is_set():
        found.append(users.keys_of("alice"))
    thread.join()
    assert [] not in found


def test_all_sessions_are_counted_and_gone_through(store: Store) -> None:
    everyone = countable(store)
    assert (everyone.count(), list(everyone.keys())) == (0, [])
    for number in range(250):
        log_in(store, number, "alice" if number % 2 else None)
    assert everyone.count() == 250
    assert sorted(everyone.keys()) == [key(number) for number in range(250)]


def test_sweeping_removes_what_expired_in_batches_and_nothing_else(harness: Harness) -> None:
    store = harness.store
    sweeper = find_capability(store, Sweepable)
    if sweeper is None:
        pytest.skip("nothing has to be swept in this store")
    for number in range(5):
        log_in(store, number)
    harness.advance(700)
    log_in(store, 10)
    assert [sweeper.sweep(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert store.load(key(10)) is not None
    if users := find_capability(store, ListsByUser):
        assert users.keys_of("alice") == [key(10)]


def test_a_beginning_that_is_given_is_kept_and_counts_for_the_absolute_timeout(harness: Harness) -> None:
    store = harness.store
    began = store.ping() - 3300
    assert store.create(key(1), {"a": b"1"}, "alice", HOUR, began) == pytest.approx(began, abs=0.001)
    record = store.load(key(1))
    assert record is not None
    assert record.created == pytest.approx(began, abs=0.001)
    assert record.final
    assert 298 - getattr(harness, "resolution", 0) < record.ttl <= 300
    harness.advance(301)
    assert store.load(key(1)) is None


def test_a_session_whose_time_was_over_when_it_was_made_is_absent(store: Store) -> None:
    assert store.create(key(1), {"a": b"1"}, None, HOUR, store.ping() - 3601) is not None
    assert store.load(key(1)) is None


def test_the_clock_is_the_one_that_sessions_are_created_by(harness: Harness) -> None:
    before = harness.store.ping()
    created = harness.store.create(key(1), {}, None, HOUR)
    assert created is not None
    assert before - 0.01 <= created <= harness.store.ping() + 0.01
