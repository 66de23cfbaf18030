"""The cookie: what is set, accepted, and refused before the store is asked."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sessions import MemoryStore, OptionsError, Resave, SameSite, Secure, SessionOptions, current_session
from nodes.sessions.cookie import SignedCookie, cookie_values
from nodes.sessions.options import generate_id
from nodes.sessions.stores.express import ExpressCookie
from tests.support.browser import SECRET, Browser, View, application
from tests.support.harnesses.memory import MemoryHarness

KEY = SECRET.encode()
COOKIE = SignedCookie()


def test_ids_are_32_bytes_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: f"{size} random bytes")
    assert generate_id() == "32 random bytes"


def test_ids_are_256_bits_unique_and_of_one_alphabet_and_length() -> None:
    ids = {generate_id() for _ in range(100_000)}
    assert len(ids) == 100_000
    assert {len(session_id) for session_id in ids} == {43}
    assert set("".join(ids)) <= set(string.ascii_letters + string.digits + "-_")


def test_the_cookie_over_tls_has_the_host_prefix_and_a_plain_one_is_refused() -> None:
    app = application(MemoryStore())
    plain, secure = Browser(app), Browser(app, "https://site.example")
    name, _, attributes = (secure.put(a=1).set_cookie or "").partition("=")
    assert name == "__Host-session"
    assert attributes.partition("; ")[2] == "Secure; HttpOnly; Path=/; SameSite=Lax"
    assert secure.data == {"a": 1}
    plain.put(a=1)
    assert secure.read(header=plain.header) == (None, {})
    cleared = secure.log_out().set_cookie or ""
    assert cleared.startswith("__Host-session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Secure; ")


def test_resave_always_keeps_a_session_alive_without_erasing_a_concurrent_write() -> None:
    harness = MemoryHarness()
    browser = Browser(application(harness.store, resave=Resave.ALWAYS))
    browser.put(a=1)
    with browser.request() as (reader, _):
        assert reader["a"] == 1
        browser.put(a=2, b=3)
    assert browser.data == {"a": 2, "b": 3}
    harness.advance(60)  # less than a touch needs
    browser.visit()
    harness.advance(1799)
    assert browser.data == {"a": 2, "b": 3}


def test_generate_id_is_asked_again_when_its_id_is_taken() -> None:
    ids = iter(["own-id-0123456789", "own-id-0123456789", "other-id-0123456789"])
    browsers = [Browser(application(MemoryStore(), generate_id=lambda: next(ids)))]
    browsers.append(Browser(browsers[0].app))
    for browser, session_id in zip(browsers, ("own-id-0123456789", "other-id-0123456789"), strict=True):
        browser.put(a=1)
        assert browser.header == f"session={COOKIE.sign(session_id, KEY)}"


def test_a_generate_id_whose_ids_are_always_taken_is_an_error() -> None:
    app = application(MemoryStore(), generate_id=lambda: "own-id-0123456789")
    Browser(app).put(a=1)
    with pytest.raises(OptionsError, match="must be unpredictable"):
        Browser(app).put(a=1)


SESSION_ID = "A" * 43
GOOD = COOKIE.sign(SESSION_ID, KEY)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "session",
        "session=",
        f"session={SESSION_ID}",
        f"session={SESSION_ID}.",
        f"session=.{GOOD.partition('.')[2]}",
        f"session={GOOD[:-1]}",
        f"session={GOOD}A",
        f"session={GOOD}=",
        f"session={'B' + GOOD[1:]}",
        f'session="{GOOD}"',
        f"session={GOOD.replace('.', '%2E')}",
        f"session={GOOD}; session={GOOD}",
        f"session={GOOD}; other=1; session={COOKIE.sign('B' * 43, KEY)}",
        f"$Version=1; $session={GOOD}",
        f"SESSION={GOOD}",
        f"\xa0session={GOOD}",
        f"\x85session={GOOD}",
        f"\x0bsession={GOOD}",
        f"session ={GOOD}",
        f"session= {GOOD}",
        f"session={GOOD},",
        f"session={'x' * 8192}",
        f"session={GOOD}{'x' * 8192}",
        "session=\xff\xfe\x00.\x80",
        f"session={COOKIE.sign(SESSION_ID, b'another secret of at least 32 bytes')}",
        f"session={SESSION_ID}.{'é' * 43}",
        f"__Host-session={GOOD}",
        "=" * 100 + ";" * 100,
    ],
)
def test_a_cookie_that_is_not_exactly_what_was_set_is_anonymous_and_asks_no_store(header: str) -> None:
    class Untouchable(MemoryStore):
        def load(self, key: str) -> None:
            raise AssertionError("the store was asked")

    answer = Browser(application(Untouchable())).visit(lambda session: current_session.is_new, header=header)
    assert (answer.status, answer.value, answer.set_cookie) == (200, True, None)


def test_the_exact_cookie_among_others_is_found() -> None:
    for header in (f"session={GOOD}", f"a=1; session={GOOD} ;b=session", f"x;session={GOOD};\t__Host-session=1"):
        assert [COOKIE.verify(value, [KEY]) for value in cookie_values(header, "session")] == [SESSION_ID]


FORGED = st.from_regex(r"(s:)?[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}", fullmatch=True)


@given(FORGED | st.text() | st.text(alphabet="s:%3A.=_-aA0\x00\xa0\u2000\ud800", max_size=120))
def test_no_text_is_a_signed_cookie(text: str) -> None:
    for value in (text, *cookie_values(f"a=1; session={text}", "session")):
        assert COOKIE.verify(value, [KEY]) is None
        assert ExpressCookie().verify(value, [KEY]) is None


@given(st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=16, max_size=128), st.integers(0, 200))
def test_a_signed_id_verifies_and_one_changed_character_does_not(session_id: str, position: int) -> None:
    value = COOKIE.sign(session_id, KEY)
    assert COOKIE.verify(value, [b"x" * 32, KEY]) == session_id
    at = position % len(value)
    changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
    assert COOKIE.verify(changed, [KEY]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secrets": ()}, "secrets must have at least one"),
        ({"secrets": ("short",)}, "secret 1 must have at least 32 bytes, not 5"),
        ({"secrets": (SECRET, "é" * 15)}, "secret 2 must have at least 32 bytes, not 30"),
        ({"name": "a b"}, "name must be 1 to 64"),
        ({"name": ""}, "name must be 1 to 64"),
        ({"name": "__Host-x"}, "must not have a prefix"),
        ({"idle_timeout": 0}, "above 0"),
        ({"idle_timeout": 10, "absolute_timeout": 5}, "idle at most absolute"),
        ({"absolute_timeout": float("inf")}, "above 0"),
        ({"idle_timeout": float("nan")}, "above 0"),
        ({"path": "x"}, "path"),
        ({"path": "/;x"}, "path"),
        ({"domain": "a b"}, "domain"),
        ({"domain": "a;b"}, "domain"),
        *[({"max_age": seconds}, "max_age") for seconds in (0, -1, 3_155_760_001)],
        ({"absolute_timeout": 1e300}, "at most 100 years"),
        ({"max_sessions": 0}, "max_sessions"),
        ({"same_site": SameSite.NONE, "secure": Secure.OFF}, "needs secure"),
        ({"partitioned": True, "secure": Secure.OFF}, "needs secure"),
        ({"max_bytes": 0}, "max_bytes"),
    ],
)
def test_options_out_of_range_are_refused_with_their_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        SessionOptions(**{"secrets": (SECRET,), **options})


@pytest.mark.parametrize(
    ("own", "message"),
    [({"max_age": 0}, "max_age must"), ({"idle_timeout": 5}, "unknown attributes of a cookie: idle_timeout")],
)
def test_attributes_of_cookie_for_out_of_range_are_refused(own: Any, message: str) -> None:
    options = SessionOptions(secrets=(SECRET,), cookie_for=lambda request: own)
    with pytest.raises(OptionsError, match=message):
        options.for_request(object())


def test_a_secret_is_in_no_representation() -> None:
    assert SECRET not in repr(SessionOptions(secrets=(SECRET,)))


def test_of_cookies_with_one_name_the_only_genuine_one_is_used() -> None:
    app = application(MemoryStore())
    browser, other = Browser(app), Browser(app)
    browser.put(a=1)
    other.put(a=2)
    genuine, forged = browser.header, f"session={GOOD[:-1]}"
    for header in (f"{forged}; {genuine}", f"{genuine}; {forged}; session=; session=x"):
        assert browser.read(header=header) == (None, {"a": 1})
    assert browser.read(header=f"{genuine}; {other.header}") == (None, {})


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        (None, "no-store"),
        ("", "no-store"),
        ("no-store", "no-store"),
        ("private, max-age=3600", "private, max-age=3600"),
        ("Private, Max-Age=5, must-revalidate", "Private, Max-Age=5, must-revalidate"),
        ("no-cache", "private, no-cache"),
        ("max-age=3600", "private, max-age=3600"),
        ("public, max-age=60, s-maxage=600", "private, max-age=60"),
        ("private, public", "private"),
        ('private="set-cookie"', "no-store"),
        ("public; max-age=60", "no-store"),
    ],
)
@pytest.mark.parametrize(
    "view", [lambda session: session.get("a"), lambda session: session.update(a=1)], ids=["r", "w"]
)
def test_the_own_cache_control_is_kept_but_for_shared_caches(own: str | None, sent: str, view: View) -> None:
    with Browser(application(MemoryStore())).request() as (session, answer):
        view(session)
        answer.response.headers["CDN-Cache-Control"] = "public, max-age=60"
        if own is not None:
            answer.response.headers["Cache-Control"] = own
    assert answer.response.headers.getlist("Cache-Control") == [sent]
    assert "CDN-Cache-Control" not in answer.response.headers
    assert answer.response.headers["Vary"] == "Cookie"


@pytest.mark.parametrize(
    "name",
    [
        *("CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Netlify-CDN-Cache-Control", "acme-cache-control"),
        *("Surrogate-Control", "Edge-Control", "X-Accel-Expires"),
    ],
)
def test_no_header_for_one_kind_of_cache_lets_it_keep_the_page(name: str) -> None:
    with Browser(application(MemoryStore())).request() as (session, answer):
        session["a"] = 1
        answer.response.headers[name] = "3600" if name == "X-Accel-Expires" else "max-age=3600"
    assert name not in answer.response.headers
    assert answer.response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("own", "sent"),
    [(None, "private, no-cache"), ("public", "private"), ("no-store", "no-store"), ('a="b"', "no-store")],
)
def test_browsers_may_keep_pages_where_the_option_says_so(own: str | None, sent: str) -> None:
    with Browser(application(MemoryStore(), caching="private")).request() as (session, answer):
        session["a"] = 1
        if own is not None:
            answer.response.headers["Cache-Control"] = own
    assert answer.response.headers.getlist("Cache-Control") == [sent]


def test_a_page_that_used_no_session_keeps_its_headers() -> None:
    with Browser(application(MemoryStore())).request() as (_, answer):
        answer.response.headers["Cache-Control"] = "public, max-age=60"
    assert answer.response.headers["Cache-Control"] == "public, max-age=60"
