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


def test_values_signed_by_cookie_signature_verify() -> None:
    assert COOKIE.sign("abc", SECRET) == "s%3Aabc.BpxCrWRpvZMh%2Fwk%2Fdjl34N%2Bm%2BVQEU7K%2F5WenLwJCgFU"
    assert COOKIE.sign(ID, SECRET) == VALUE
    assert COOKIE.verify(VALUE, [SECRET]) == ID


def test_a_cookie_without_percent_encoding_is_read_as_well() -> None:
    session_id = "A" * 32
    raw = COOKIE.sign(session_id, SECRET).replace("%3A", ":").replace("%2F", "/").replace("%2B", "+")
    assert "%" not in raw
    assert COOKIE.verify(raw, [SECRET]) == session_id


def test_an_invalid_escape_leaves_the_whole_value_undecoded_as_in_express() -> None:
    session_id = "A" * 32 + "%zz"
    value = COOKIE.sign(session_id, SECRET)
    assert COOKIE.verify(value, [SECRET]) == session_id
    assert COOKIE.verify(value.replace("%25", "%"), [SECRET]) is None
    assert COOKIE.verify(unquote(value), [SECRET]) == session_id


def test_any_secret_verifies_and_no_other_one() -> None:
    value = COOKIE.sign("A" * 32, b"old")
    assert COOKIE.verify(value, [b"new", b"old"]) == "A" * 32
    assert COOKIE.verify(value, [b"new"]) is None


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
def test_a_malformed_cookie_of_express_session_is_rejected(value: str) -> None:
    assert COOKIE.verify(value, [SECRET]) is None


PRINTABLE = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")


@settings(max_examples=50)
@given(st.text(PRINTABLE, min_size=16, max_size=128))
def test_every_id_survives_signing_and_verification(session_id: str) -> None:
    assert COOKIE.verify(COOKIE.sign(session_id, SECRET), [SECRET]) == session_id


@pytest.mark.parametrize("session_id", ["short", "x" * 129, "a" * 20 + "\n", "a" * 20 + "\0", "\u2028" * 20])
def test_ids_with_line_breaks_are_not_canonical(session_id: str) -> None:
    assert not COOKIE.is_canonical(session_id)
