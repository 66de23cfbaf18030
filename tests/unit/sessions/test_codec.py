"""The codec: which values come back, and which are refused. Any bytes: test_fuzz_records.py."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sessions.codec import DecodeError, MsgpackCodec

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(datetime.UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 100), inner),
)


@settings(max_examples=50)
@given(VALUES)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    codec = MsgpackCodec()
    data = codec.encode(value)
    assert codec.decode(data) == value
    assert codec.encode(codec.decode(data)) == data


def test_deep_nesting_is_refused_both_ways() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError):
        MsgpackCodec().encode(deep)
    with pytest.raises(DecodeError):
        MsgpackCodec().decode(b"\x91" * 100_000 + b"\xc0")
    while deep:  # taken apart by hand: the interpreter's own recursion would overflow
        deep = deep[0]  # type: ignore[assignment]


@pytest.mark.parametrize("value", [object(), 2**64, -(2**63) - 1, lambda: None, {"a": object()}])
def test_a_value_that_cannot_be_encoded_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="a session can't hold this value"):
        MsgpackCodec().encode(value)
