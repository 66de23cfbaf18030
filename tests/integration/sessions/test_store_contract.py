"""The contract of every store, with the optional capabilities that it has. Each tier imports it for its own stores.

The values are JSON, which is all that one of the stores takes.
"""

import contextlib
import threading
import time
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from nodes.sessions import Changes, Lifetime, Outcome, SessionMark, Store, StoreUnavailable, UnsupportedRecordVersion
from nodes.sessions.capabilities import EndsMany, Iterable, ListsByUser, PagesByUser, Sweepable, find_capability
from nodes.sessions.store import ELSEWHERE, MARK_SECONDS
from tests.support.browser import Browser, View, application
from tests.support.harness import Harness
from tests.support.records import HOUR, KEY, OTHER, fields_of, in_threads, load


def make(store: Store, key: str = KEY, owner: str | None = None, **fields: bytes) -> None:
    assert store.create(key, fields, owner, HOUR) is not None


def test_an_unknown_key_is_absent(store: Store) -> None:
    assert store.load(KEY) is None
    store.delete(KEY)
    assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    assert store.load(KEY) is None


@pytest.mark.parametrize(
    ("values", "owner"),
    [({"a": 1, "@": "\0\xff", "@@x": 1.5, "": "", "ключ": {"deep": [None]}}, "alice:@\n é"), ({}, None)],
    ids=["with fields and owner", "empty"],
)
def test_a_created_session_is_loaded_unchanged(store: Store, values: dict[str, Any], owner: str | None) -> None:
    fields = {name: store.codec.encode(value) for name, value in values.items()}
    created = store.create(KEY, fields, owner, HOUR)
    record = load(store)
    assert (record.fields, record.owner, record.created, record.final) == (fields, owner, created, False)
    assert 599 < record.ttl <= 600


def test_a_taken_key_is_not_created_again(store: Store) -> None:
    make(store, a=b"1")
    assert store.create(KEY, {"a": b"2"}, "mallory", HOUR) is None
    assert (fields_of(store), load(store).owner) == ({"a": b"1"}, None)


def test_a_key_is_free_again_once_its_session_has_expired(harness: Harness) -> None:
    make(harness.store, a=b"1")
    harness.advance(601)
    make(harness.store, b=b"2")
    assert fields_of(harness.store) == {"b": b"2"}


def test_an_update_sets_and_deletes_only_what_it_names(store: Store) -> None:
    created = store.create(KEY, {"a": b"1", "b": b"2", "c": b"3"}, "alice", HOUR)
    make(store, OTHER, a=b"1")
    assert store.update(KEY, Changes({"b": b"20", "d": b"4"}, frozenset({"c", "missing"})), HOUR) is Outcome.APPLIED
    assert fields_of(store) == {"a": b"1", "b": b"20", "d": b"4"}
    assert (load(store).owner, load(store).created) == ("alice", created)
    store.delete(KEY)
    assert fields_of(store, OTHER) == {"a": b"1"}


def test_no_update_revives_a_deleted_session(store: Store) -> None:
    make(store, owner="alice", a=b"1")
    store.delete(KEY)
    for changes in (Changes({"a": b"2"}), Changes(), Changes({"a": b"2"}, expect={"a": b"1"})):
        assert store.update(KEY, changes, HOUR) is Outcome.ABSENT
    assert store.load(KEY) is None


def test_a_writer_that_expects_another_lifetime_does_not_end_the_session(store: Store, harness: Harness) -> None:
    store.create(KEY, {"a": b"1"}, "alice", Lifetime(idle=100, absolute=1000))
    harness.advance(50)
    assert (
        store.update(KEY, Changes({"a": b"2"}, expect={"a": None}), Lifetime(idle=10, absolute=20)) is Outcome.CONFLICT
    )
    assert load(store).fields == {"a": b"1"}


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [
        ({"a": b"1"}, Outcome.APPLIED),
        ({"a": b"1", "missing": None}, Outcome.APPLIED),
        ({"a": b"2"}, Outcome.CONFLICT),
        ({"a": None}, Outcome.CONFLICT),
        ({"missing": b""}, Outcome.CONFLICT),
        ({"a": b"1", "b": b"1"}, Outcome.CONFLICT),
    ],
)
def test_compare_and_set_applies_only_to_what_was_expected(
    store: Store, expected: dict[str, bytes | None], outcome: Outcome
) -> None:
    make(store, a=b"1", b=b"2")
    assert store.update(KEY, Changes({"a": b"10", "c": b"3"}, frozenset({"b"}), expected), HOUR) is outcome
    applied = {"a": b"10", "c": b"3"}
    assert fields_of(store) == (applied if outcome is Outcome.APPLIED else {"a": b"1", "b": b"2"})


def test_an_update_past_the_bound_changes_nothing(harness: Harness) -> None:
    store, more = harness.store, getattr(harness, "overhead", 0)
    if more is None:
        pytest.skip("what a value takes depends on who wrote it: tests/unit/sessions/test_encryption.py")
    make(store, a=b"12345", b=b"1")

    def update(changes: Changes, most: int, fields: int) -> Outcome:
        return store.update(KEY, replace(changes, max_bytes=most + fields * more), HOUR)

    assert update(Changes({"b": b"12345"}), 12, fields=2) is Outcome.APPLIED
    assert update(Changes({"b": b"123456"}), 12, fields=2) is Outcome.TOO_LARGE
    assert update(Changes({"c": b"1"}), 13, fields=3) is Outcome.TOO_LARGE
    assert update(Changes({"c": b"1234567"}, frozenset({"a"})), 14, fields=2) is Outcome.APPLIED
    assert update(Changes(delete=frozenset({"c"})), 1, fields=0) is Outcome.APPLIED
    assert fields_of(store) == {"b": b"12345"}


def test_a_session_expires_when_idle(harness: Harness) -> None:
    make(harness.store, a=b"1")
    harness.advance(599)
    assert harness.store.load(KEY) is not None
    harness.advance(1.1)
    assert harness.store.load(KEY) is None
    assert harness.store.update(KEY, Changes(), HOUR) is Outcome.ABSENT
    harness.store.delete(KEY)
    assert harness.store.load(KEY) is None


def test_a_touch_restarts_the_idle_timeout_and_a_load_does_not(harness: Harness) -> None:
    make(harness.store)
    harness.advance(400)
    assert 199 < load(harness.store).ttl <= 200
    assert harness.store.update(KEY, Changes(), HOUR) is Outcome.APPLIED
    harness.advance(400)
    assert harness.store.load(KEY) is not None


def test_no_touch_carries_a_session_past_its_absolute_timeout(harness: Harness) -> None:
    make(harness.store, a=b"1")
    for _ in range(7):
        harness.advance(500)
        assert harness.store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.APPLIED
    assert load(harness.store).final
    assert 98 < load(harness.store).ttl <= 100
    harness.advance(101)
    assert harness.store.load(KEY) is None


def test_a_shortened_absolute_timeout_ends_old_sessions_at_their_next_update(harness: Harness) -> None:
    make(harness.store)
    harness.advance(300)
    assert harness.store.update(KEY, Changes({"a": b"1"}), Lifetime(100, 200)) is Outcome.ABSENT


def test_a_given_time_of_creation_counts_for_the_absolute_timeout(harness: Harness) -> None:
    store = harness.store
    began = store.ping() - 3300
    assert store.create(KEY, {"a": b"1"}, "alice", HOUR, began) == pytest.approx(began, abs=0.001)
    assert load(store).created == pytest.approx(began, abs=0.001)
    assert load(store).final
    assert 298 < load(store).ttl <= 300
    harness.advance(301)
    assert store.load(KEY) is None


def test_a_session_created_after_its_absolute_timeout_is_absent(store: Store) -> None:
    assert store.create(KEY, {"a": b"1"}, None, HOUR, store.ping() - 3601) is not None
    assert store.load(KEY) is None


def test_ping_returns_the_clock_that_sessions_are_created_by(store: Store) -> None:
    before = store.ping()
    created = store.create(KEY, {}, None, HOUR)
    assert created is not None
    assert before - 0.01 <= created <= store.ping() + 0.01


def test_a_record_of_a_later_version_is_unknown_and_kept_until_it_is_deleted(harness: Harness) -> None:
    store = harness.store
    set_format = getattr(harness, "set_format", None) or pytest.skip("the records of this store have no version")
    make(store, a=b"1")
    set_format(KEY, 2)
    for call in (
        lambda: store.load(KEY),
        lambda: store.update(KEY, Changes({"a": b"2"}), HOUR),
        lambda: store.update(KEY, Changes(), HOUR),
    ):
        with pytest.raises(UnsupportedRecordVersion):
            call()
    with contextlib.suppress(UnsupportedRecordVersion):
        assert store.create(KEY, {}, None, HOUR) is None
    set_format(KEY, 1)
    assert fields_of(store) == {"a": b"1"}
    set_format(KEY, 2)
    store.delete(KEY)
    make(store, b=b"2")


def test_a_retired_session_leaves_its_mark_and_no_update_revives_it(store: Store) -> None:
    make(store, owner="alice", a=b"1")
    assert store.retire(KEY, SessionMark(b"next")) is Outcome.APPLIED
    assert store.load(KEY) == SessionMark(b"next")
    for changes in (Changes({"a": b"2"}), Changes(), Changes({"a": b"2"}, expect={"a": b"1"})):
        assert store.update(KEY, changes, HOUR) is Outcome.ENDED
    assert store.load(KEY) == SessionMark(b"next")


def test_the_first_mark_stays(store: Store) -> None:
    make(store)
    store.retire(KEY, SessionMark(b"next"))
    assert store.retire(KEY, SessionMark()) is Outcome.ENDED
    assert store.retire(KEY, SessionMark(b"next")) is Outcome.ENDED
    assert store.load(KEY) == SessionMark(b"next")


def test_the_mark_of_a_session_that_was_ended_elsewhere_gives_way_once(store: Store) -> None:
    make(store)
    assert store.retire(KEY, SessionMark(ELSEWHERE)) is Outcome.APPLIED
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.ENDED
    assert store.load(KEY) == SessionMark(ELSEWHERE)
    outcomes: list[Outcome] = []
    marks = [SessionMark(b"%d" % number) for number in range(4)]
    in_threads(*(partial(lambda mark: outcomes.append(store.retire(KEY, mark)), mark) for mark in marks))
    assert sorted(outcomes, key=str) == [Outcome.ABSENT, *[Outcome.ENDED] * 3]
    assert store.load(KEY) in marks
    assert store.retire(KEY, SessionMark(ELSEWHERE)) is Outcome.ENDED


def test_a_mark_stays_where_there_was_no_session(harness: Harness) -> None:
    make(harness.store, OTHER)
    record = load(harness.store, OTHER)
    harness.advance(601)
    assert harness.store.retire(KEY, SessionMark(b"next")) is Outcome.ABSENT
    assert harness.store.retire(OTHER, SessionMark(b"next"), record) is Outcome.ABSENT
    assert (harness.store.load(KEY), harness.store.load(OTHER)) == (SessionMark(b"next"), SessionMark(b"next"))


def test_a_mark_expires(harness: Harness) -> None:
    store = harness.store
    make(store)
    store.retire(KEY, SessionMark(b"next"))
    harness.advance(MARK_SECONDS - 10)
    assert store.load(KEY) == SessionMark(b"next")
    harness.advance(11)
    assert store.load(KEY) is None
    assert store.update(KEY, Changes({"a": b"2"}), HOUR) is Outcome.ABSENT
    assert store.retire(KEY, SessionMark(b"later")) is Outcome.ABSENT
    assert store.load(KEY) == SessionMark(b"later")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        (Changes(), Outcome.APPLIED),
        (Changes({"b": b"2"}), Outcome.CONFLICT),
        (Changes({"a": b"2"}), Outcome.CONFLICT),
        (Changes(delete=frozenset({"a"})), Outcome.CONFLICT),
    ],
    ids=["touched", "added", "changed", "removed"],
)
def test_a_session_is_retired_only_as_it_was_expected(store: Store, changes: Changes, outcome: Outcome) -> None:
    store.create(KEY, {"a": b"1", "@": b"0", "": b"3"}, "alice", HOUR)
    record = load(store)
    store.update(KEY, changes, HOUR)
    assert store.retire(KEY, SessionMark(b"next"), record) is outcome
    assert (store.load(KEY) == SessionMark(b"next")) is (outcome is Outcome.APPLIED)
    if outcome is Outcome.CONFLICT:
        assert store.retire(KEY, SessionMark(b"next"), load(store)) is Outcome.APPLIED


def test_a_session_under_the_key_of_a_mark_hides_it(store: Store) -> None:
    store.retire(KEY, SessionMark(b"next"))
    if store.create(KEY, {"a": b"1"}, None, HOUR) is None:
        pytest.fail("only a session makes a key taken")
    assert fields_of(store) == {"a": b"1"}
    assert store.retire(KEY, SessionMark(b"other")) is Outcome.APPLIED
    assert store.load(KEY) == SessionMark(b"other")


def test_of_concurrent_calls_one_retires_a_session(store: Store) -> None:
    make(store, a=b"1")
    record, barrier = load(store), threading.Barrier(4)
    outcomes: dict[bytes, Outcome] = {}

    def retire(successor: bytes) -> None:
        barrier.wait()
        outcomes[successor] = store.retire(KEY, SessionMark(successor), record)

    in_threads(*(lambda name=name: retire(name) for name in (b"1", b"2", b"3", b"4")))
    winner = next(name for name, outcome in outcomes.items() if outcome is Outcome.APPLIED)
    assert outcomes == dict.fromkeys(outcomes, Outcome.ENDED) | {winner: Outcome.APPLIED}
    assert store.load(KEY) == SessionMark(winner)


def test_a_quarantined_session_is_absent(store: Store) -> None:
    make(store, a=b"1")
    store.quarantine(KEY)
    store.quarantine(KEY)
    assert store.load(KEY) is None
    assert store.update(KEY, Changes({"a": b"1"}), HOUR) is Outcome.ABSENT
    make(store, b=b"2")


@pytest.mark.parametrize("use", [dict, lambda session: session.update(b=2)], ids=["read", "write"])
def test_a_record_that_is_corrupt_in_one_of_two_reads_is_kept(
    harness: Harness, use: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, browser = harness.store, Browser(application(harness.store))
    browser.put(a=1)
    (key,) = harness.keys()
    fields = fields_of(store, key)

    def heal(*_: object) -> None:
        """Put the sound record back between the two reads, where a store would reconnect."""
        store.delete(key)
        assert store.create(key, fields, None, HOUR) is not None

    monkeypatch.setattr("nodes.sessions.corrupt.find_capability", heal)
    harness.damage(key)
    assert browser.visit(use).status == 200
    assert browser.data["a"] == 1
    assert harness.keys() == {key}


def test_a_session_holds_many_and_large_fields(store: Store) -> None:
    fields = {f"field-{number}": store.codec.encode(f"{number:0100}") for number in range(5000)}
    assert store.create(KEY, fields, None, HOUR) is not None
    changed = dict.fromkeys(fields, b"1")
    assert store.update(KEY, Changes(changed, expect=dict(fields), max_bytes=10**6), HOUR) is Outcome.APPLIED
    assert fields_of(store) == changed


def test_concurrent_updates_of_different_fields_all_win(store: Store) -> None:
    make(store)

    def write(number: int) -> None:
        for turn in range(20):
            assert store.update(KEY, Changes({f"{number}-{turn}": b"1"}), HOUR) is Outcome.APPLIED

    in_threads(*(lambda number=number: write(number) for number in range(8)))
    assert len(fields_of(store)) == 160


def test_of_concurrent_compare_and_sets_exactly_one_wins(store: Store) -> None:
    make(store, n=b"0")
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def write(number: int) -> None:
        barrier.wait()
        outcomes.append(store.update(KEY, Changes({"n": b"%d" % number}, expect={"n": b"0"}), HOUR).value)

    in_threads(*(lambda number=number: write(number) for number in range(1, 5)))
    assert sorted(outcomes) == ["applied", "conflict", "conflict", "conflict"]


def test_a_store_out_of_reach_is_unavailable_and_never_absent(harness: Harness) -> None:
    make(harness.store, a=b"1")
    with harness.outage():
        started = time.monotonic()
        for call in (
            lambda: harness.store.load(KEY),
            lambda: harness.store.create(OTHER, {}, None, HOUR),
            lambda: harness.store.update(KEY, Changes(), HOUR),
            lambda: harness.store.delete(KEY),
            lambda: harness.store.retire(KEY, SessionMark()),
            lambda: harness.store.quarantine(KEY),
            lambda: harness.store.ping(),
        ):
            with pytest.raises(StoreUnavailable):
                call()
        assert time.monotonic() - started < 3
    harness.store.ping()


# ---- optional capabilities


def key(number: int) -> str:
    return f"{number:064x}"


def by_user(store: Store) -> ListsByUser:
    return find_capability(store, ListsByUser) or pytest.skip("this store can't list the sessions of a user")


def iterable(store: Store) -> Iterable:
    return find_capability(store, Iterable) or pytest.skip("this store can't go through its sessions")


def log_in(store: Store, number: int, owner: str | None = "alice", created: float | None = None) -> None:
    assert store.create(key(number), {}, owner, HOUR, created) is not None


def test_the_sessions_of_a_user_are_listed_oldest_first(store: Store) -> None:
    now = store.ping()
    for number, age in ((1, 30), (2, 90), (3, 60)):
        log_in(store, number, created=now - age)
    log_in(store, 4, "bob")
    log_in(store, 5, None)
    assert by_user(store).keys_of("alice") == [key(2), key(3), key(1)]
    assert by_user(store).keys_of("bob") == [key(4)]
    assert by_user(store).keys_of("nobody") == []


def test_a_page_of_a_users_sessions_has_the_newest_first(store: Store) -> None:
    pages = find_capability(store, PagesByUser) or pytest.skip("this store lists all sessions of a user at once")
    now = store.ping()
    for number, age in ((1, 30), (2, 90), (3, 60)):
        log_in(store, number, created=now - age)
    log_in(store, 4, "bob")
    assert [pages.page_of("alice", first, 2) for first in (0, 2, 4)] == [[key(1), key(3)], [key(2)], []]
    assert pages.page_of("nobody", 0, 2) == []


LOOK_ALIKES = ["Alice", "alicé", "ali\u0301ce", " alice", "\u0130", "ss", "ß"]


@pytest.mark.parametrize("owner", [*LOOK_ALIKES, "alice:@\n é", "a" * 200, "../x", "%", "*", "{a}"])
def test_owners_of_any_text_are_kept_apart(store: Store, owner: str) -> None:
    log_in(store, 1, owner)
    log_in(store, 2, "alice")
    log_in(store, 3, owner + " ")
    assert by_user(store).keys_of(owner) == [key(1)]
    assert by_user(store).keys_of("alice") == [key(2)]


def test_ended_and_expired_sessions_are_not_listed(harness: Harness) -> None:
    store = harness.store
    users, everyone = by_user(store), iterable(store)
    for number in range(1, 5):
        log_in(store, number)
    store.delete(key(1))
    harness.advance(500)
    for number in (2, 3):
        store.update(key(number), Changes({"a": b"1"}), HOUR)
    harness.advance(200)
    store.quarantine(key(3))
    log_in(store, 5)
    store.retire(key(5), SessionMark(b"next"))
    assert users.keys_of("alice") == list(everyone.keys()) == [key(2)]
    assert everyone.count() == 1


def test_many_sessions_are_ended_at_once_as_each_one_is(harness: Harness) -> None:
    store = harness.store
    many = find_capability(store, EndsMany) or pytest.skip("this store ends sessions one by one")
    for number in range(8):
        log_in(store, number)
    store.retire(key(5), SessionMark(b"next"))
    store.retire(key(6), SessionMark(ELSEWHERE))
    log_in(store, 6)  # beside the mark
    store.delete(key(7))
    harness.damage(key(1))
    keys = [key(number) for number in range(1, 9)]
    assert set(many.end_many(keys)) in ({*keys[1:4], key(6)}, {*keys[0:4], key(6)})  # a damaged one is found, or not
    assert many.end_many(keys) == []
    assert [store.load(key(number)) for number in range(2, 7)] == [
        *[SessionMark(ELSEWHERE)] * 3,
        SessionMark(b"next"),
        SessionMark(ELSEWHERE),
    ]
    assert store.update(key(2), Changes({"a": b"1"}), HOUR) is Outcome.ENDED
    assert by_user(store).keys_of("alice") == [key(0)]
    assert harness.keys() == {key(0)}
    harness.advance(MARK_SECONDS + 1)
    assert store.load(key(2)) is None


def test_concurrent_logins_are_all_listed(store: Store) -> None:
    users = by_user(store)
    in_threads(*(lambda number=number: log_in(store, number) for number in range(8)))
    assert sorted(users.keys_of("alice")) == [key(number) for number in range(8)]


def test_a_session_that_moves_is_listed_at_every_moment(store: Store) -> None:
    users = by_user(store)
    done = threading.Event()

    def place(number: int) -> str:  # in a folder, not all behind one lock
        return f"{number:02x}{number:062x}"

    def move() -> None:
        for number in range(60):
            store.create(place(number + 1), {}, "alice", HOUR)
            store.retire(place(number), SessionMark(b"next"))
        done.set()

    log_in(store, 0)
    thread = threading.Thread(target=move)
    thread.start()
    found = [users.keys_of("alice")]
    while not done.is_set():
        found.append(users.keys_of("alice"))
    thread.join()
    assert [] not in found


def test_all_sessions_are_counted_and_gone_through(store: Store) -> None:
    everyone = iterable(store)
    assert (everyone.count(), list(everyone.keys())) == (0, [])
    for number in range(250):
        log_in(store, number, "alice" if number % 2 else None)
    assert everyone.count() == 250
    assert sorted(everyone.keys()) == [key(number) for number in range(250)]


def test_a_sweep_removes_expired_sessions_in_batches_and_reports_each(harness: Harness) -> None:
    store = harness.store
    sweeper = find_capability(store, Sweepable)
    if sweeper is None:
        pytest.skip("the server removes expired sessions itself")
    for number in range(5):
        log_in(store, number)
    harness.advance(700)
    log_in(store, 10)
    expired: list[str] = []
    assert [sweeper.sweep(2, expired.append) for _ in range(4)] == [2, 2, 1, 0]
    assert sorted(expired) == [key(number) for number in range(5)]
    assert store.load(key(10)) is not None
    assert by_user(store).keys_of("alice") == [key(10)]


def test_a_sweep_reports_no_mark(harness: Harness) -> None:
    sweeper = find_capability(harness.store, Sweepable)
    if sweeper is None:
        pytest.skip("the server removes marks itself")
    make(harness.store)
    harness.store.retire(KEY, SessionMark())
    harness.advance(MARK_SECONDS + 1)
    expired: list[str] = []
    sweeper.sweep(10, expired.append)
    assert expired == []
