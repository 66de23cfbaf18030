"""Sessions encrypted at rest: what the store can see, what it can't change unnoticed, how keys rotate, and plain values
beside encrypted ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sessions import (
    Changes,
    EncryptedStore,
    Encryption,
    MemoryStore,
    Outcome,
    Record,
    SessionMark,
    Store,
    UnknownKey,
)
from nodes.sessions.codec import OVERHEAD, DecodeError, MsgpackCodec, is_encrypted
from nodes.sessions.cookie import SignedCookie
from nodes.sessions.encryption import FieldCipher
from nodes.sessions.stores.express.format import JsonCodec
from tests.integration.sessions.test_state_machine import VALUES
from tests.support.browser import Browser, application
from tests.support.records import HOUR, KEY, OTHER, load

OLD, NEW = b"o" * 32, b"n" * 32
READ, WRITE, REQUIRE = Encryption.READ, Encryption.WRITE, Encryption.REQUIRE
each_step = pytest.mark.parametrize("step", [READ, WRITE, REQUIRE], ids=lambda step: step.value)
each_open_step = pytest.mark.parametrize("step", [READ, WRITE], ids=lambda step: step.value)
"""The steps that accept plain values."""


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def store(inner: MemoryStore) -> EncryptedStore:
    return EncryptedStore(inner, [NEW])


def raw(inner: MemoryStore, key: str = KEY) -> dict[str, bytes]:
    return inner._entries[key].fields


def content(store: Store) -> tuple[str | None, dict[str, bytes]]:
    record = load(store)
    return record.owner, dict(record.fields)


def is_quarantined(store: EncryptedStore, key: str = KEY) -> bool:
    return store.load(key) is None and store.wraps.load(key) is None


# ---- values


def test_an_encrypted_value_has_the_bytes_of_earlier_versions() -> None:
    expected = "e1f37a84029ba4d7a2a8386c809037c546a0c6266b8bb13e7c2842a52caa90745f40c2a6814e"
    assert FieldCipher(NEW).encrypt(b"value", b"place").hex() == expected


def test_the_store_sees_no_value(inner: MemoryStore, store: EncryptedStore) -> None:
    store.create(KEY, {"card": b"4111 1111"}, "alice", HOUR)
    store.update(KEY, Changes({"note": b"secret words", "empty": b""}), HOUR)
    dump = b"".join(raw(inner).values())
    assert b"4111" not in dump
    assert b"secret" not in dump
    sizes = {name: len(value) - OVERHEAD for name, value in raw(inner).items()}
    assert sizes == {"card": 9, "note": 12, "empty": 0, "~owner": 5}
    assert content(store) == ("alice", {"card": b"4111 1111", "note": b"secret words", "empty": b""})


@each_step
@pytest.mark.parametrize("at", [5, 17, -1], ids=["nonce", "ciphertext", "tag"])
def test_a_changed_byte_is_detected_and_the_record_quarantined(inner: MemoryStore, step: Encryption, at: int) -> None:
    EncryptedStore(inner, [NEW]).create(KEY, {"a": b"1"}, None, HOUR)
    changed = bytearray(raw(inner)["a"])
    changed[at] ^= 1
    raw(inner)["a"] = bytes(changed)
    store = EncryptedStore(inner, [NEW], step)
    assert store.update(KEY, Changes({"b": b"1"}, expect={"a": b"1"}), HOUR) is not Outcome.APPLIED
    assert is_quarantined(store)


def test_a_value_is_valid_in_its_own_record_and_field_only(inner: MemoryStore, store: EncryptedStore) -> None:
    store.create(KEY, {"role": b"admin"}, None, HOUR)
    stolen = raw(inner)["role"]
    store.create(OTHER, {"role": b"guest"}, None, HOUR)
    raw(inner, OTHER)["role"] = stolen
    assert is_quarantined(store, OTHER)
    raw(inner)["name"] = stolen
    assert is_quarantined(store)


def test_a_plain_value_is_quarantined_where_encryption_is_required(inner: MemoryStore, store: EncryptedStore) -> None:
    store.create(KEY, {"a": b"1"}, None, HOUR)
    raw(inner)["b"] = b"1"
    assert is_quarantined(store)


def test_encryption_does_not_detect_old_values_missing_fields_and_other_times(
    inner: MemoryStore, store: EncryptedStore
) -> None:
    """As docs/sessions.md says."""
    store.create(KEY, {"n": b"1", "m": b"1"}, "alice", HOUR)
    before = raw(inner)["n"]
    store.update(KEY, Changes({"n": b"2"}), HOUR)
    raw(inner)["n"] = before
    del raw(inner)["m"]
    inner._entries[KEY].created += 1000
    assert content(store) == ("alice", {"n": b"1"})


@given(VALUES)
def test_no_plain_value_has_the_form_of_an_encrypted_one(value: Any) -> None:
    assert not is_encrypted(MsgpackCodec().encode(value))


@given(st.binary(min_size=OVERHEAD - 1, max_size=80))
def test_no_codec_decodes_an_encrypted_value(data: bytes) -> None:
    assert is_encrypted(b"\xe1" + data)
    with pytest.raises(UnknownKey):
        MsgpackCodec().decode(b"\xe1" + data)
    with pytest.raises(DecodeError):  # sessions shared with Express are never encrypted
        JsonCodec().decode(b"\xe1" + data)


# ---- the owner


@each_step
@pytest.mark.parametrize(("owner", "other"), [("mallory", "alice"), ("mallory", None), (None, "alice")])
def test_write_access_to_the_store_cannot_change_the_owner_of_a_session(
    inner: MemoryStore, step: Encryption, owner: str | None, other: str | None
) -> None:
    EncryptedStore(inner, [OLD]).create(KEY, {"n": b"1"}, owner, HOUR)
    store = EncryptedStore(inner, [NEW, OLD], step)
    assert content(store) == (owner, {"n": b"1"})
    inner._entries[KEY].owner = other
    # A plain record has no proof, and neither has one without an owner.
    assert is_quarantined(store) is (owner is not None or step is REQUIRE)


def test_the_proof_of_another_session_does_not_change_the_owner(inner: MemoryStore, store: EncryptedStore) -> None:
    store.create(OTHER, {}, "alice", HOUR)
    for proof in (raw(inner, OTHER), {}):
        store.create(KEY, {"n": b"1"}, "mallory", HOUR)
        inner._entries[KEY].owner = "alice"
        inner._entries[KEY].fields = {"n": raw(inner)["n"], **proof}
        assert store.load(KEY) is None
        store.delete(KEY)


@each_open_step
def test_an_owner_without_proof_is_accepted_beside_plain_values(inner: MemoryStore, step: Encryption) -> None:
    store = EncryptedStore(inner, [NEW], step)
    inner.create(KEY, {"n": b"1"}, "alice", HOUR)
    assert content(store) == ("alice", {"n": b"1"})
    raw(inner)["~owner"] = b"bob"  # what anybody with write access could write
    assert is_quarantined(store)


def test_the_proof_of_the_owner_is_not_written_as_a_field(store: EncryptedStore) -> None:
    store.create(KEY, {}, "alice", HOUR)
    with pytest.raises(ValueError, match="~owner"):
        store.update(KEY, Changes({"~owner": b"bob"}), HOUR)


# ---- keys


def test_keys_rotate_without_losing_a_session_or_an_update(inner: MemoryStore) -> None:
    before, during, after = (EncryptedStore(inner, keys) for keys in ([OLD], [NEW, OLD], [NEW]))
    before.create(KEY, {"n": b"1", "m": b"1"}, None, HOUR)
    assert during.update(KEY, Changes({"n": b"2"}, expect={"n": b"0"}), HOUR) is Outcome.CONFLICT
    assert during.update(KEY, Changes({"n": b"2"}, expect={"n": b"1"}), HOUR) is Outcome.APPLIED
    assert during.update(KEY, Changes({"n": b"3"}, expect={"n": b"2", "x": None}), HOUR) is Outcome.APPLIED
    assert content(during) == (None, {"n": b"3", "m": b"1"})
    with pytest.raises(UnknownKey):
        after.load(KEY)
    during.update(KEY, Changes({"m": b"2"}), HOUR)
    assert content(after) == (None, {"n": b"3", "m": b"2"})


@each_step
def test_a_record_of_an_unknown_key_is_unavailable_and_can_be_ended(inner: MemoryStore, step: Encryption) -> None:
    EncryptedStore(inner, [OLD]).create(KEY, {"n": b"1"}, "alice", HOUR)
    store = EncryptedStore(inner, [NEW], step)
    with pytest.raises(UnknownKey):
        store.load(KEY)
    store.delete(KEY)
    assert inner.load(KEY) is None


def test_a_write_without_a_read_takes_one_update(monkeypatch: pytest.MonkeyPatch, inner: MemoryStore) -> None:
    browser = Browser(application(EncryptedStore(inner, [NEW, OLD])))
    browser.log_in()
    asked: list[str] = []
    for name in ("load", "update"):
        asks = getattr(inner, name)
        monkeypatch.setattr(inner, name, lambda *what, name=name, asks=asks: (asked.append(name), asks(*what))[1])
    browser.put(n=1)
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


# ---- plain values beside encrypted ones


@pytest.mark.parametrize("writer", [READ, WRITE], ids=lambda step: step.value)
@each_open_step
def test_values_are_compared_in_either_form(inner: MemoryStore, writer: Encryption, step: Encryption) -> None:
    EncryptedStore(inner, [NEW], writer).create(KEY, {"n": b"1", "m": b"1"}, "alice", HOUR)
    store = EncryptedStore(inner, [NEW], step)
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": b"0"}), HOUR) is Outcome.CONFLICT
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": None}), HOUR) is Outcome.CONFLICT
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": b"1", "x": None}), HOUR) is Outcome.APPLIED
    assert store.update(KEY, Changes({"n": b"3"}, expect={"n": b"2", "m": b"1"}), HOUR) is Outcome.APPLIED
    assert content(store) == ("alice", {"n": b"3", "m": b"1"})
    assert is_encrypted(raw(inner)["n"]) == (step is WRITE)


@pytest.mark.parametrize(("writer", "step"), [(READ, WRITE), (WRITE, READ)])
def test_a_write_during_a_comparison_of_forms_is_a_conflict(writer: Encryption, step: Encryption) -> None:
    class Overtaken(MemoryStore):
        """Another writer changes a value after each load."""

        def load(self, key: str) -> Record | SessionMark | None:
            record = super().load(key)
            raw(self)["n"] = b"9"
            return record

    inner = Overtaken()
    EncryptedStore(inner, [NEW], writer).create(KEY, {"n": b"1"}, None, HOUR)
    store = EncryptedStore(inner, [NEW], step)
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": b"1"}), HOUR) is Outcome.CONFLICT
    assert raw(inner)["n"] == b"9"


def test_the_bound_counts_what_is_stored(inner: MemoryStore) -> None:
    reading, writing = (EncryptedStore(inner, [NEW], step) for step in (READ, WRITE))
    reading.create(KEY, {"a": b"123"}, None, HOUR)
    assert reading.update(KEY, Changes({"b": b"123"}, max_bytes=8), HOUR) is Outcome.APPLIED
    assert writing.update(KEY, Changes({"b": b"12"}, max_bytes=7 + OVERHEAD - 1), HOUR) is Outcome.TOO_LARGE
    assert content(reading) == (None, {"a": b"123", "b": b"123"})
    assert writing.update(KEY, Changes({"b": b"12"}, max_bytes=7 + OVERHEAD), HOUR) is Outcome.APPLIED
    assert reading.update(KEY, Changes({"b": b"12"}, max_bytes=7), HOUR) is Outcome.APPLIED
