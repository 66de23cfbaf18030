"""Whatever text a cookie holds, it is nobody's session unless this server signed it."""

from hypothesis import given
from hypothesis import strategies as st

from nodes.sessions import cookie
from nodes.sessions.stores.express import ExpressCookie

SECRET = b"a secret of more than thirty-two bytes"
FORGED = st.from_regex(r"(s:)?[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}", fullmatch=True)
VALUES = FORGED | st.text() | st.text(alphabet="s:%3A.=_-aA0\x00\xa0\u2000\ud800", max_size=120)


@given(VALUES)
def test_no_text_is_a_signed_cookie(value: str) -> None:
    assert cookie.verify(value, [SECRET]) is None
    assert ExpressCookie().verify(value, [SECRET]) is None
