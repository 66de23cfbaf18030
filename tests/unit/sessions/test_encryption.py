"""Sessions encrypted at rest: what the store can see, what it can't change unnoticed, and how keys rotate."""

from __future__ import annotations

import pytest

from nodes.sessions import (
    Changes,
    EncryptedStore,
    Lifetime,
    MemoryStore,
    Outcome,
    Record,
    UnknownKey,
)
from nodes.sessions.codec import OVERHEAD
from nodes.sessions.cookie import SignedCookie
from tests.support.browser import Browser, application

KEY, OTHER = "a" * 64, "b" * 64
OLD, NEW = b"o" * 32, b"n" * 32
HOUR = Lifetime(600, 3600)


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


def raw(inner: MemoryStore, key: str = KEY) -> dict[str, bytes]:
    return inner._entries[key].fields


def loaded(store: EncryptedStore, key: str = KEY) -> Record:
    record = store.load(key)
    assert record is not None
    return record


def test_the_store_sees_no_value(inner: MemoryStore) -> None:
    store = EncryptedStore(inner, [NEW])
    store.create(KEY, {"card": b"4111 1111"}, "alice", HOUR)
    store.update(KEY, Changes({"note": b"secret words", "empty": b""}), HOUR)
    dump = b"".join(raw(inner).values())
    assert b"4111" not in dump
    assert b"secret" not in dump
    sizes = {name: len(value) - OVERHEAD for name, value in raw(inner).items()}
    assert sizes == {"card": 9, "note": 12, "empty": 0, "~owner": 5}
    assert dict(loaded(store).fields) == {"card": b"4111 1111", "note": b"secret words", "empty": b""}


@pytest.mark.parametrize("at", [0, 1, 5, 17, -1])
def test_a_changed_byte_is_detected_and_the_record_quarantined(inner: MemoryStore, at: int) -> None:
    store = EncryptedStore(inner, [NEW])
    store.create(KEY, {"a": b"1"}, None, HOUR)
    sealed = bytearray(raw(inner)["a"])
    sealed[at] ^= 1
    raw(inner)["a"] = bytes(sealed)
    if at == 1:  # the id of the encryption key: as if another node had encrypted it with a key of its own
        with pytest.raises(UnknownKey):
            store.load(KEY)
        assert inner.load(KEY) is not None
    else:
        assert store.load(KEY) is None
        assert inner.load(KEY) is None


def test_a_value_is_valid_in_its_own_record_and_field_only(inner: MemoryStore) -> None:
    store = EncryptedStore(inner, [NEW])
    store.create(KEY, {"role": b"admin"}, None, HOUR)
    stolen = raw(inner)["role"]
    store.create(OTHER, {"role": b"guest"}, None, HOUR)
    raw(inner, OTHER)["role"] = stolen
    assert store.load(OTHER) is None
    raw(inner)["name"] = stolen
    assert store.load(KEY) is None


# ---- whose a session is


def test_write_access_to_the_store_cannot_change_the_owner_of_a_session(inner: MemoryStore) -> None:
    store = EncryptedStore(inner, [NEW, OLD])
    for owner, other in (("mallory", "alice"), ("mallory", None), (None, "alice")):
        store.create(KEY, {"n": b"1"}, owner, HOUR)
        assert (loaded(store).owner, loaded(store).fields) == (owner, {"n": b"1"})
        inner._entries[KEY].owner = other
        assert store.load(KEY) is None
        assert inner.load(KEY) is None  # set aside


def test_the_proof_of_another_session_does_not_change_the_owner(inner: MemoryStore) -> None:
    store = EncryptedStore(inner, [NEW])
    store.create(OTHER, {}, "alice", HOUR)
    (proof,) = raw(inner, OTHER)
    for planted in ({proof: raw(inner, OTHER)[proof]}, {}):
        store.create(KEY, {"n": b"1"}, "mallory", HOUR)
        inner._entries[KEY].owner = "alice"
        inner._entries[KEY].fields = {"n": raw(inner)["n"], **planted}
        assert store.load(KEY) is None
        assert store.delete(KEY) is None


def test_the_proof_of_the_owner_is_not_written_as_a_field(inner: MemoryStore) -> None:
    store = EncryptedStore(inner, [NEW])
    store.create(KEY, {}, "alice", HOUR)
    (proof,) = raw(inner)
    with pytest.raises(ValueError, match=proof):
        store.update(KEY, Changes({proof: b"bob"}), HOUR)


def test_encryption_does_not_detect_old_values_missing_fields_and_other_times(inner: MemoryStore) -> None:
    """docs/sessions.md says so: a value of before that is put back, a field that is gone, and other times."""
    store = EncryptedStore(inner, [NEW])
    store.create(KEY, {"n": b"1", "m": b"1"}, "alice", HOUR)
    before = raw(inner)["n"]
    store.update(KEY, Changes({"n": b"2"}), HOUR)
    raw(inner)["n"] = before
    del raw(inner)["m"]
    inner._entries[KEY].created += 1000
    assert (loaded(store).owner, loaded(store).fields) == ("alice", {"n": b"1"})


# ---- rotation


def test_keys_rotate_without_losing_a_session_or_an_update(inner: MemoryStore) -> None:
    before, during, after = (EncryptedStore(inner, keys) for keys in ([OLD], [NEW, OLD], [NEW]))
    before.create(KEY, {"n": b"1", "m": b"1"}, None, HOUR)
    assert during.update(KEY, Changes({"n": b"2"}, expect={"n": b"0"}), HOUR) is Outcome.CONFLICT
    assert during.update(KEY, Changes({"n": b"2"}, expect={"n": b"1"}), HOUR) is Outcome.APPLIED
    assert during.update(KEY, Changes({"n": b"3"}, expect={"n": b"2", "x": None}), HOUR) is Outcome.APPLIED
    assert dict(loaded(during).fields) == {"n": b"3", "m": b"1"}
    with pytest.raises(UnknownKey):
        after.load(KEY)
    during.update(KEY, Changes({"m": b"2"}), HOUR)
    assert dict(loaded(after).fields) == {"n": b"3", "m": b"2"}


def test_a_write_without_a_read_takes_one_update(monkeypatch: pytest.MonkeyPatch, inner: MemoryStore) -> None:
    browser = Browser(application(EncryptedStore(inner, [NEW, OLD])))
    browser.visit(lambda session: session.renew("alice"))
    asked: list[str] = []
    for name in ("load", "update"):
        asks = getattr(inner, name)
        monkeypatch.setattr(inner, name, lambda *what, name=name, asks=asks: (asked.append(name), asks(*what))[1])
    browser.visit(lambda session: session.update(n=1))
    assert asked == ["update"]


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b"x" * 33]])
def test_missing_keys_and_keys_of_a_wrong_length_are_refused(inner: MemoryStore, keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        EncryptedStore(inner, keys)


def test_sessions_shared_with_another_application_cannot_be_encrypted(inner: MemoryStore) -> None:
    class OfAnotherApplication(SignedCookie):
        to_key = staticmethod(lambda session_id: session_id)

    inner.cookie = OfAnotherApplication()
    with pytest.raises(ValueError, match="shared"):
        EncryptedStore(inner, [NEW])
