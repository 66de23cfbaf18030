"""Reserved fields: out of the application's reach and sight, and checked when they are read."""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from nodes.sessions import Changes, EncryptedStore, MemoryStore, Store, current_session
from nodes.sessions.data import SessionData
from tests.support.browser import Browser, View, application
from tests.support.harness import Harness
from tests.support.harnesses.memory import MemoryHarness
from tests.support.records import HOUR

KEYS = ["_client", "_cookie", "~_client", "~_cookie", "~~_cookie", "~", "~a", "a", "owner", "~owner", "~~owner"]


# ---- apart from the application's fields


@pytest.fixture
def browser(harness: Harness) -> Browser:
    """Logged in as alice; the session remembers the client and has a lifetime of its own."""
    made = Browser(application(harness.store, remember_client=True, idle_timeout=1000, absolute_timeout=5000))
    made.put(n=1)
    with made.request(environ={"HTTP_USER_AGENT": "Firefox"}):
        current_session.renew("alice")
        current_session.max_age = 3000
    return made


def test_reserved_fields_are_not_among_the_data(browser: Browser) -> None:
    assert browser.visit(lambda session: (dict(session), len(session))).value == ({"n": 1}, 1)
    assert browser.visit(lambda session: ("_client" in session, "_cookie" in session)).value == (False, False)
    assert browser.visit(lambda session: session.get("_cookie")).value is None
    with pytest.raises(KeyError):
        browser.visit(lambda session: session.pop("_client"))


def test_clearing_a_session_clears_the_reserved_fields_too(browser: Browser) -> None:
    browser.visit(lambda session: (session.clear(), session.update(m=2)))
    assert browser.read() == (None, {"m": 2})
    assert browser.visit(lambda session: current_session.max_age).value is None
    assert browser.users.of("alice") == []


class Key(str, enum.Enum):  # noqa: UP042 - the str() of a StrEnum is its text
    """Members whose `str()` and format are not their text."""

    CART = "cart"
    RESERVED = "_cookie"


@pytest.mark.parametrize("key", [*Key, Markup("cart")], ids=repr)
@pytest.mark.parametrize(
    "store", [MemoryStore(), EncryptedStore(MemoryStore(), (bytes(32),))], ids=["plain", "encrypted"]
)
def test_a_key_of_a_subclass_of_str_is_its_text(store: Store, key: str) -> None:
    browser, text = Browser(application(store)), str.__str__(key)
    browser.put(a=1)

    def assign(session: SessionData) -> None:
        session[key] = [1]
        assert [type(each) for each in session] == [str, str]
        assert current_session.mutate(key, lambda value: [*value, 2]) == [1, 2]

    browser.visit(assign)
    assert browser.visit(lambda session: session.pop(key)).value == [1, 2]
    browser.visit(assign)
    assert browser.data == {"a": 1, text: [1, 2]}
    assert browser.visit(lambda session: (session[key], key in session, session.get(text))).value == (
        [1, 2],
        True,
        [1, 2],
    )


@pytest.mark.parametrize("key", KEYS)
def test_an_application_may_use_any_key(browser: Browser, key: str) -> None:
    browser.put(**{key: {"max_age": "x"}})
    browser.visit(lambda session: current_session.mutate(key, lambda value: value | {"address": 1}))
    expected = {"max_age": "x", "address": 1}
    assert browser.data == {"n": 1, key: expected}
    assert browser.visit(lambda session: (session[key], key in session, len(session))).value == (expected, True, 2)
    assert browser.visit(lambda session: current_session.max_age).value == 3000
    assert [one.browser for one in browser.users.of("alice")] == ["Firefox"]
    browser.visit(lambda session: session.pop(key))
    assert browser.data == {"n": 1}


def test_keys_that_resemble_reserved_fields_are_kept_apart(browser: Browser) -> None:
    values = {key: position for position, key in enumerate(KEYS)}
    browser.put(**values)
    assert browser.data == {"n": 1} | values


# ---- corrupt in the store

TEXTS = st.text(max_size=3)
NUMBERS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXTS
SHAPES = NUMBERS | st.lists(NUMBERS, max_size=2) | st.dictionaries(TEXTS, NUMBERS, max_size=2)
CLIENT = SHAPES | st.fixed_dictionaries({}, optional={"address": SHAPES, "browser": SHAPES})
CORRUPT: list[Any] = [
    *("x", [1], {"max_age": "x"}, {"expires": "x"}, {"max_age": [1]}, {"max_age": -5}, {"max_age": 0}),
    *({name: value} for name in ("max_age", "expires") for value in (1e300, math.nan, math.inf, -math.inf, True)),
]


def planted(name: str, value: Any) -> tuple[MemoryHarness, Browser]:
    harness = MemoryHarness()
    browser = Browser(application(harness.store, rolling=True))
    browser.log_in()
    (entry,) = harness.memory._entries.values()
    entry.fields[name] = harness.memory.codec.encode(value)
    return harness, browser


@pytest.mark.parametrize(
    "view",
    [
        lambda session: current_session.owner,
        lambda session: session.update(a=1),
        lambda session: (current_session.max_age, current_session.expires),
        lambda session: current_session.mutate("n", lambda n: n + 1, 0),
        lambda session: current_session.renew(),
        lambda session: current_session.touch(),
    ],
    ids=["read", "write", "lifetime", "mutate", "renew", "touch"],
)
@pytest.mark.parametrize("own", CORRUPT, ids=str)
def test_a_session_with_a_corrupt_lifetime_is_quarantined_by_any_use(
    own: Any, view: View, caplog: pytest.LogCaptureFixture
) -> None:
    harness, browser = planted("_cookie", own)
    (listed,) = browser.users.of("alice")  # a list shows it until it is used
    (key,) = before = harness.keys()
    assert listed.key == key
    assert browser.visit(view).status in {200, 409}
    assert not harness.keys() & before
    assert f"session {key} is corrupt and was quarantined" in caplog.text
    assert browser.owner is None
    browser.log_in()
    assert [one.key for one in browser.users.of("alice")] == [browser.key]


@given(CLIENT)
def test_a_valid_client_is_listed_and_a_corrupt_one_is_not(client: Any) -> None:
    _, browser = planted("_client", client)
    (one,) = browser.users.of("alice")
    assert all(value is None or isinstance(value, str) for value in (one.address, one.browser))
    assert browser.owner == "alice"


def test_a_lifetime_corrupted_by_a_concurrent_writer_is_noticed() -> None:
    harness, browser = planted("a", 1)
    with browser.request() as (session, answer):
        assert session["a"] == 1
        (key,) = harness.keys()
        damage = {"a": harness.store.codec.encode(2), "_cookie": harness.store.codec.encode({"max_age": "x"})}
        harness.store.update(key, Changes(damage), HOUR)
        current_session.mutate("a", lambda a: a + 1)
    assert answer.status == 409
    assert harness.keys() == set()


# ---- what may be assigned


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_age", value) for value in (0, -1, math.inf, math.nan, 3_155_760_001, 1e14, 1e300, True, "60", [60])),
        ("expires", datetime(2030, 1, 1)),
        ("expires", datetime(1960, 1, 1, tzinfo=UTC)),
        ("expires", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12)))),
    ],
)
def test_a_lifetime_out_of_range_is_refused(name: str, value: Any) -> None:
    with Browser(application(MemoryStore())).request(), pytest.raises(ValueError, match=name):
        setattr(current_session, name, value)


@pytest.mark.parametrize(("max_age", "sent"), [(0.5, 1), (1, 1), (1.5, 2), (3_155_760_000, 3_155_760_000)])
def test_the_cookie_never_ends_before_the_session(harness: Harness, max_age: float, sent: int) -> None:
    answer = Browser(application(harness.store)).visit(
        lambda session: (session.update(a=1), setattr(current_session, "max_age", max_age))
    )
    assert (answer.status, f"Max-Age={sent};" in (answer.set_cookie or "")) == (200, True)


def test_the_last_representable_date_is_accepted(harness: Harness) -> None:
    browser = Browser(application(harness.store))
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    browser.visit(lambda session: (session.update(a=1), setattr(current_session, "expires", end)))
    assert browser.visit(lambda session: current_session.expires).value == end
