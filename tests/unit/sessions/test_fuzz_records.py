"""Any bytes that a store finds where a record was are a record, or one of the documented errors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sessions import EncryptedStore, MemoryStore, Record
from nodes.sessions.codec import OVERHEAD, DecodeError, MsgpackCodec
from nodes.sessions.store import CorruptRecord, UnknownKey, UnsupportedRecordVersion
from nodes.sessions.stores.express.format import Document, JsonCodec
from nodes.sessions.stores.file import layout
from nodes.sessions.stores.redis.scripts import FORMAT, META, to_record
from nodes.sessions.stores.saved import SavedSession
from nodes.sessions.stores.sql import SqlStore
from tests.support.records import HOUR, KEY

BYTES = st.binary(max_size=200)


def mutated(genuine: bytes) -> st.SearchStrategy[bytes]:
    """Draw `genuine` with a byte changed, a part cut out, or bytes inserted."""
    places = st.integers(0, len(genuine))
    changed = st.builds(lambda at, byte: genuine[:at] + bytes([byte]) + genuine[at + 1 :], places, st.integers(0, 255))
    cut = st.builds(lambda at, to: genuine[:at] + genuine[to:], places, places)
    grown = st.builds(lambda at, more: genuine[:at] + more + genuine[at:], places, BYTES)
    return changed | cut | grown


DIGITS = st.integers(0, 10**25).map(lambda number: b"%d" % number) | st.sampled_from(
    [b"9" * 400, b"9" * 5000, b"-1", b"1e3", b"nan", b" 1", b"1_0", "\u00b2".encode(), "\u0661".encode(), b""]
)
METAS = (
    BYTES
    | mutated(b"1:1795850000000:f:alice")
    | st.builds(lambda *parts: b":".join(parts), DIGITS, DIGITS, st.sampled_from([b"f", b"", b"x"]), BYTES)
    | st.builds(lambda created: b"1:" + created + b"::alice", DIGITS)
)


@given(METAS, st.dictionaries(BYTES, BYTES, max_size=4), st.integers(-2, 10**18))
def test_any_hash_is_a_record_corrupt_or_of_a_later_version(meta: bytes, fields: dict[bytes, bytes], ttl: int) -> None:
    try:
        record = to_record(KEY, fields | {META: meta}, ttl)
    except CorruptRecord:
        return
    except UnsupportedRecordVersion:
        version = meta.partition(b":")[0]
        assert version.isdigit()
        assert version.lstrip(b"0") > b"1"
        return
    assert meta.startswith(b"%d:" % FORMAT)
    assert datetime.fromtimestamp(record.created, UTC)
    assert META.decode() not in record.fields
    assert len(record.fields) <= len(fields)


SAVED = SavedSession({"cart": b"\x81\xa5apple\x01"}, "alice", 1795850000.0, 1795851800.0, final=False)


def with_digest(data: bytes) -> bytes:
    """Return a file of this content with the right digest."""
    return b"SC\x01" + hashlib.blake2b(data, digest_size=16).digest() + data


@given(
    BYTES
    | mutated(layout.pack(SAVED))
    | BYTES.map(with_digest)
    | mutated(msgspec.msgpack.encode(SAVED)).map(with_digest)
    | st.builds(lambda version, rest: b"SC" + bytes([version]) + rest, st.integers(0, 255), BYTES)
)
def test_any_file_is_a_session_corrupt_or_of_a_later_version(data: bytes) -> None:
    try:
        saved = layout.unpack(data)
    except CorruptRecord:
        return
    except UnsupportedRecordVersion:
        assert data[2] > layout.FORMAT
        return
    assert isinstance(saved.created, float)
    assert all(isinstance(value, bytes) for value in saved.fields.values())


@pytest.mark.parametrize("created", [-1.0, 253_402_300_800.0, math.nan, math.inf])
def test_a_file_with_an_impossible_time_of_creation_is_corrupt(created: float) -> None:
    with pytest.raises(CorruptRecord, match="time of creation"):
        layout.unpack(layout.pack(msgspec.structs.replace(SAVED, created=created)))


@given(mutated(layout.pack(SAVED)))
def test_no_changed_file_is_read_as_another_session(data: bytes) -> None:
    try:
        assert layout.unpack(data) == SAVED
    except (CorruptRecord, UnsupportedRecordVersion):
        assert data != layout.pack(SAVED)


TEMPLATE = (
    b'{"cookie":{"originalMaxAge":%s,"expires":"2026-11-23T07:13:56.386Z","httpOnly":true,"path":"/"},'
    b'"user":%s,"visits":3,"_created":%s,"_cookie":{"max_age":%s,"expires":1795850000}}'
)
GENUINE = (b"3600000", b'"alice"', b"1795850000000", b"60")
NUMBERS = st.sampled_from(
    [b"9" * 400, b"9" * 5000, b"-1", b"1e999", b"1e308", b"null", b"true", b'"x"', b"[]", b"{}", b'"\\ud800"', b"0"]
)
DOCUMENTS = (
    BYTES
    | mutated(TEMPLATE % GENUINE)
    | st.tuples(*(NUMBERS | st.just(value) for value in GENUINE)).map(lambda values: TEMPLATE % values)
    | NUMBERS.map(lambda lifetime: b'{"cookie":{},"_cookie":%s}' % lifetime)
    | st.integers(1, 5000).map(lambda depth: b'{"cookie":{},"a":' + b"[" * depth + b"]" * depth + b"}")
)


@given(DOCUMENTS)
def test_any_json_is_a_session_of_express_or_corrupt(data: bytes) -> None:
    codec = JsonCodec()
    try:
        document = Document.parse(data, "user")
    except CorruptRecord:
        return
    assert document.owner is None or isinstance(document.owner, str)
    assert datetime.fromtimestamp(document.created_or(0.0), UTC)
    fields = {name: codec.decode(value) for name, value in document.fields().items()}
    if own := fields.get("_cookie"):
        assert own["expires"] is None or datetime.fromtimestamp(own["expires"], UTC)
        assert own["max_age"] is None or own["max_age"] > 0
    again = Document.parse(document.dump(), "user")
    assert (again.values.keys(), again.owner) == (document.values.keys(), document.owner)


ROW = msgspec.msgpack.encode({"cart": b"\x81\xa5apple\x01", "visits": b"\x03"})
STORE = SqlStore.from_url("sqlite:////nowhere/sessions.db")  # connects to nothing here


@given(BYTES | mutated(ROW) | st.integers(1, 5000).map(lambda depth: b"\x91" * depth))
def test_any_row_holds_fields_or_is_corrupt(data: bytes) -> None:
    row: Any = SimpleNamespace(format=1, fields=data)
    try:
        fields = STORE._fields(row)
    except ValueError:  # the store quarantines the row
        return
    assert all(isinstance(name, str) and isinstance(value, bytes) for name, value in fields.items())


@given(BYTES | mutated(ROW))
def test_any_bytes_are_a_value_or_a_decode_error(data: bytes) -> None:
    for codec in (MsgpackCodec(), JsonCodec()):
        try:
            codec.decode(data)
        except (DecodeError, UnknownKey):
            continue


def encrypted(change: Callable[[bytes], bytes]) -> tuple[EncryptedStore, MemoryStore]:
    inner = MemoryStore()
    store = EncryptedStore(inner, keys=(b"k" * 32,))
    store.create(KEY, {"a": b"secret"}, "alice", HOUR)
    entry = inner._entries[KEY]
    entry.fields["a"] = change(entry.fields["a"])
    return store, inner


@given(BYTES | st.builds(lambda more: b"\xe1" + more, st.binary(min_size=OVERHEAD, max_size=80)))
def test_any_encrypted_value_is_corrupt_or_of_an_unknown_key(data: bytes) -> None:
    store, inner = encrypted(lambda _: data)
    of_another_key = data.startswith(b"\xe1") and len(data) >= OVERHEAD and data[1:5] != store._first.id
    try:
        assert store.load(KEY) is None
    except UnknownKey:
        assert of_another_key
        assert inner.load(KEY) is not None  # another node may have the key
        return
    assert not of_another_key
    assert inner.load(KEY) is None  # quarantined


@given(st.data())
def test_no_changed_encrypted_value_is_read(data: st.DataObject) -> None:
    seen: list[bytes] = []

    def change(genuine: bytes) -> bytes:
        seen[:] = [genuine, data.draw(mutated(genuine))]
        return seen[1]

    store, _ = encrypted(change)
    try:
        record = store.load(KEY)
    except UnknownKey:
        record = None
    assert (record is not None) == (seen[0] == seen[1])
    assert not isinstance(record, Record) or record.fields == {"a": b"secret"}
