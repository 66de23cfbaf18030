"""express-session's cookie, byte for byte: vectors made by the original."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sessions.stores.express import ExpressCookie

COOKIE = ExpressCookie()
SECRET = b"keyboard cat"
ID = "abcDEF-_+/=1234 é"
VALUE = "s%3AabcDEF-_%2B%2F%3D1234%20%C3%A9.4e8hPT15DuhJzsC1lpka9N%2Fw2%2FOt7mNsXfynOV2p%2FR4"


def test_a_cookie_has_the_bytes_of_the_original() -> None:
    assert COOKIE.sign("abc", SECRET) == "s%3Aabc.BpxCrWRpvZMh%2Fwk%2Fdjl34N%2Bm%2BVQEU7K%2F5WenLwJCgFU"
    assert COOKIE.sign(ID, SECRET) == VALUE


def test_a_value_that_is_not_encoded_is_read_as_well() -> None:
    session_id = "A" * 32
    raw = unquote(COOKIE.sign(session_id, SECRET))
    assert "%" not in raw
    assert COOKIE.verify(raw, [SECRET]) == session_id


def test_a_value_with_a_bad_escape_is_not_decoded_as_in_express() -> None:
    session_id = "A" * 32 + "%zz"
    value = COOKIE.sign(session_id, SECRET)
    assert COOKIE.verify(value, [SECRET]) == session_id
    assert COOKIE.verify(value.replace("%25", "%"), [SECRET]) is None
    assert COOKIE.verify(unquote(value), [SECRET]) == session_id


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s:",
        "s%3A",
        ".",
        "s:.",
        "s%3Aabc",
        VALUE[:-1],
        VALUE + "A",
        VALUE.replace("s%3A", "j%3A"),
        "%",
        "%zz" + VALUE,
        "s%3A%ff%fe.x",
        "x" * 5000,
        VALUE.replace("%2F", "%2f%"),
        "s:é.é",
        VALUE.replace("abc", "abd"),
    ],
)
def test_any_other_value_is_refused(value: str) -> None:
    assert COOKIE.verify(value, [SECRET]) is None


PRINTABLE = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")


@settings(max_examples=50)
@given(st.text(PRINTABLE, min_size=16, max_size=128))
def test_every_id_verifies_under_any_of_the_secrets(session_id: str) -> None:
    value = COOKIE.sign(session_id, SECRET)
    assert COOKIE.verify(value, [b"new", SECRET]) == session_id
    assert COOKIE.verify(value, [b"new"]) is None


@pytest.mark.parametrize("session_id", ["short", "x" * 129, "a" * 20 + "\n", "a" * 20 + "\0", "\u2028" * 20])
def test_an_id_of_a_wrong_length_or_with_a_line_break_is_refused(session_id: str) -> None:
    assert not COOKIE.is_canonical(session_id)
