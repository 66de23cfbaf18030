"""Plain values and encrypted ones beside each other: how they are told apart, compared, counted and believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sessions import Changes, EncryptedStore, Encryption, Lifetime, MemoryStore, Outcome, Record, UnknownKey
from nodes.sessions.codec import OVERHEAD, DecodeError, MsgpackCodec, is_encrypted
from nodes.sessions.stores.express.format import JsonCodec
from tests.integration.sessions.test_state_machine import VALUES
from tests.support.steps import BOTH, KEY, SECRET, loaded, named, raw, store_at

UNKNOWN = b"o" * 32
HOUR = Lifetime(600, 3600)


class Overtaken(MemoryStore):
    """Another writer changes a value after each load."""

    def load(self, key: str) -> Record | None:
        record = super().load(key)
        raw(self)["n"] = b"9"
        return record


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


# ---- what sets the two apart


@given(VALUES)
def test_no_plain_value_has_the_form_of_an_encrypted_one(value: Any) -> None:
    assert not is_encrypted(MsgpackCodec().encode(value))


@given(st.binary(min_size=OVERHEAD - 1, max_size=80))
def test_nothing_that_looks_sealed_is_a_plain_value(data: bytes) -> None:
    assert is_encrypted(b"\xe1" + data)
    for codec in (MsgpackCodec(), JsonCodec()):
        with pytest.raises(DecodeError):
            codec.decode(b"\xe1" + data)


# ---- what is compared, and what it takes


@pytest.mark.parametrize("writer", BOTH, ids=named)
@pytest.mark.parametrize("step", BOTH, ids=named)
def test_values_are_compared_however_they_were_written(
    inner: MemoryStore, writer: Encryption, step: Encryption
) -> None:
    store_at(writer, inner).create(KEY, {"n": b"1", "m": b"1"}, "alice", HOUR)
    store = store_at(step, inner)
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": b"0"}), HOUR) is Outcome.CONFLICT
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": None}), HOUR) is Outcome.CONFLICT
    assert store.update(KEY, Changes({"n": b"2"}, expect={"n": b"1", "x": None}), HOUR) is Outcome.APPLIED
    assert store.update(KEY, Changes({"n": b"3"}, expect={"n": b"2", "m": b"1"}), HOUR) is Outcome.APPLIED
    assert (loaded(store).owner, loaded(store).fields) == ("alice", {"n": b"3", "m": b"1"})
    assert is_encrypted(raw(inner)["n"]) == (step is Encryption.WRITE)


@pytest.mark.parametrize("step", BOTH, ids=named)
def test_what_changes_while_its_form_is_looked_at_is_a_conflict(step: Encryption) -> None:
    inner = Overtaken()
    store_at(Encryption.READ if step is Encryption.WRITE else Encryption.WRITE, inner).create(
        KEY, {"n": b"1"}, None, HOUR
    )
    assert store_at(step, inner).update(KEY, Changes({"n": b"2"}, expect={"n": b"1"}), HOUR) is Outcome.CONFLICT
    assert raw(inner)["n"] == b"9"


def test_the_bound_counts_what_is_stored(inner: MemoryStore) -> None:
    reading, writing = (store_at(step, inner) for step in BOTH)
    reading.create(KEY, {"a": b"123"}, None, HOUR)
    assert reading.update(KEY, Changes({"b": b"123"}, max_bytes=8), HOUR) is Outcome.APPLIED
    assert writing.update(KEY, Changes({"b": b"12"}, max_bytes=7 + OVERHEAD - 1), HOUR) is Outcome.TOO_LARGE
    assert dict(loaded(reading).fields) == {"a": b"123", "b": b"123"}
    assert writing.update(KEY, Changes({"b": b"12"}, max_bytes=7 + OVERHEAD), HOUR) is Outcome.APPLIED
    assert reading.update(KEY, Changes({"b": b"12"}, max_bytes=7), HOUR) is Outcome.APPLIED


# ---- what is believed meanwhile


@pytest.mark.parametrize("step", BOTH, ids=named)
def test_an_owner_without_proof_is_accepted_and_one_with_a_false_proof_is_not(
    inner: MemoryStore, step: Encryption
) -> None:
    store = store_at(step, inner)
    inner.create(KEY, {"n": b"1"}, "alice", HOUR)
    assert loaded(store).owner == "alice"
    inner.delete(KEY)
    for owner in ("alice", None):
        store_at(Encryption.WRITE, inner).create(KEY, {"n": b"1"}, "mallory", HOUR)
        inner._entries[KEY].owner = owner
        assert store.load(KEY) is None
        assert inner.load(KEY) is None  # set aside
    inner.create(KEY, {"~owner": b"alice"}, "mallory", HOUR)  # anybody could write that
    assert store.load(KEY) is None


@pytest.mark.parametrize("step", [*BOTH, Encryption.REQUIRE], ids=named)
def test_a_changed_value_is_corrupt_and_an_unknown_key_is_unavailable(inner: MemoryStore, step: Encryption) -> None:
    store = store_at(step, inner)
    EncryptedStore(inner, [UNKNOWN]).create(KEY, {"n": b"1"}, None, HOUR)
    with pytest.raises(UnknownKey):
        store.load(KEY)
    last = store.delete(KEY)
    assert last is not None
    assert all(map(is_encrypted, last.fields.values()))
    EncryptedStore(inner, [SECRET]).create(KEY, {"n": b"1"}, None, HOUR)
    raw(inner)["n"] = raw(inner)["n"][:-1] + bytes([raw(inner)["n"][-1] ^ 1])
    assert store.load(KEY) is None
    assert inner.load(KEY) is None
