"""A record that can't be read: read once more, and quarantined only where the same bytes come again."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from nodes.sessions import Changes, EncryptedStore, MemoryStore, Outcome, Record, SessionMark, Store
from nodes.sessions.outage_log import OutageLog
from nodes.sessions.store import StoreWrapper
from tests.support.browser import Browser, application
from tests.support.records import HOUR, KEY, OTHER, load

Alter = Callable[[Record], Record]


def with_value(value: bytes) -> Alter:
    """Return the alteration of a read that finds this value in every field."""
    return lambda record: replace(record, fields=dict.fromkeys(record.fields, value))


def unaltered(record: Record) -> Record:
    return record


class AlteringStore(StoreWrapper):
    """`store`, whose next reads are altered, and count how often it reconnects."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.next: list[Alter] = []
        self.reads = self.reconnections = 0

    def load(self, key: str) -> Record | SessionMark | None:
        self.reads += 1
        found = self.wraps.load(key)
        alter = self.next.pop(0) if self.next else unaltered
        return alter(found) if isinstance(found, Record) else found

    def reconnect(self) -> None:
        self.reconnections += 1


@pytest.fixture
def inner() -> AlteringStore:
    return AlteringStore(MemoryStore())


@pytest.fixture(params=["plain", "encrypted"])
def browser(request: pytest.FixtureRequest, inner: AlteringStore, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """With a session that has a value. No line was logged before."""
    monkeypatch.setattr("nodes.sessions.corrupt.outage_log", OutageLog())
    made = Browser(application(inner if request.param == "plain" else EncryptedStore(inner, [b"k" * 32])))
    made.put(a=1)
    inner.reads = 0
    return made


BAD, WORSE = with_value(b"\xc1"), with_value(b"\xc1\xc1")


def test_a_good_read_is_one_read(inner: AlteringStore, browser: Browser) -> None:
    assert browser.visit(dict).value == {"a": 1}
    assert (inner.reads, inner.reconnections) == (1, 0)


def test_a_second_read_counts_where_it_is_good(
    inner: AlteringStore, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    inner.next = [BAD]
    assert browser.visit(dict).value == {"a": 1}
    assert (inner.reads, inner.reconnections) == (2, 1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "two reads of a record differ, and only the second can be decoded" in caplog.text


def test_two_bad_reads_that_differ_are_the_fault_of_the_store(inner: AlteringStore, browser: Browser) -> None:
    inner.next = [BAD, WORSE]
    assert browser.visit(dict).status == 503
    assert browser.visit(dict).value == {"a": 1}


def test_two_equal_bad_reads_are_a_corrupt_record(
    inner: AlteringStore, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    inner.next = [BAD, BAD]
    with caplog.at_level(logging.ERROR):
        assert browser.visit(dict).value == {}
    assert "is corrupt and was quarantined" in caplog.text
    assert (browser.visit(dict).value, inner.reads) == ({}, 3)


def test_a_change_of_an_encrypted_record_of_another_form_outlives_a_bad_read(inner: AlteringStore) -> None:
    """It is read to compare its values, which another key has encrypted."""
    EncryptedStore(inner, [b"o" * 32]).create(KEY, {"a": b"1"}, None, HOUR)
    store = EncryptedStore(inner, [b"n" * 32, b"o" * 32])
    inner.next = [BAD]
    assert store.update(KEY, Changes({"b": b"2"}, expect={"a": b"1"}), HOUR) is Outcome.APPLIED
    inner.next = [BAD]
    assert store.retire(KEY, SessionMark(), load(store, KEY)) is Outcome.APPLIED


def test_a_record_with_another_owner_is_read_again(inner: AlteringStore) -> None:
    store = EncryptedStore(inner, [b"k" * 32])
    store.create(OTHER, {"a": b"1"}, "alice", HOUR)
    inner.next = [lambda record: replace(record, owner="alicf")]
    assert load(store, OTHER).owner == "alice"
